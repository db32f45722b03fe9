/** What expressions are made of: literals of each kind, and forms with places for others. Two spaces or a line part them. */
import type { Kind } from './schema.ts';

const apart = (text: string): readonly string[] => text.trim().split(/\s{2,}/);

export const LITERALS: Readonly<Record<Kind, readonly string[]>> = {
  int: apart(String.raw`0  1  2  -1  11  2147483647  NULL`),
  text: apart(String.raw`'a'  ''  '[redacted]'  'customers'  'ssn'  'public.customers'  'SELECT ssn FROM customers'  '7%'  '{1,2}'  '1'  NULL
    E'\\d'  U&'\0061'  $$q$$`),
  numeric: apart(String.raw`0  1.5  -3  'NaN'::numeric  1e10  NULL`),
  json: apart(String.raw`'{"a":1}'::jsonb  '[1,2]'::jsonb  NULL::jsonb  '"x"'::jsonb`),
  bytes: apart(String.raw`'\x6162'::bytea  ''::bytea`),
  time: apart(String.raw`'2024-01-01'::date  '2020-02-02 01:02:03+00'::timestamptz  '1 day'::interval  'epoch'::timestamptz`),
  bool: apart(String.raw`true  false  NULL::bool`),
  row: apart(String.raw`ROW(1, 2)  ROW('a', NULL)`),
  list: apart(String.raw`ARRAY[1,2]  '{a,b}'::text[]  ARRAY[]::text[]`),
  other: apart(String.raw`'10.0.0.1'::inet  '[1,3)'::int4range  '(1,2)'::point  B'1010'`),
};

/** Of the kind that they are listed under; `{kind}` is an expression of that kind. */
export const FORMS: Readonly<Record<Kind, readonly string[]>> = {
  int: apart(String.raw`length({text})  ascii({text})  octet_length({text})  strpos({text}, {text})  ({int} + {int})  ({int} / ({int}))
    {text}::int  extract(year from {time})::int  jsonb_array_length({json})  cardinality({list})  hashtext({text})
    get_byte({bytes}, {int})  mod({int}, {int})  num_nulls({any}, {any})  width_bucket({numeric}, 0, 10, 5)  length({bytes})
    bit_length({text})  regexp_count({text}, {text})  array_position({list}, NULL)  {numeric}::int  sign({numeric})::int
    crc32({bytes})::int`),
  text: apart(String.raw`substr({text}, {int}, {int})  left({text}, {int})  right({text}, 4)  reverse({text})  upper({text})  md5({any}::text)
    translate({text}, {text}, {text})  replace({text}, {text}, {text})  lpad({text}, 20, {text})  repeat({text}, 2)
    ({text} || {any}::text)  concat({any}, {any})  concat_ws('-', {any}, {any})  format('%s %I %L', {any}, {text}, {any})
    coalesce({text}, {text})  nullif({text}, {text})  greatest({text}, {text})  least({text}, {text})  quote_literal({any})
    quote_nullable({any})  quote_ident({text})  {any}::text  CAST({any} AS varchar(3))  encode({bytes}, 'base64')
    split_part({text}, {text}, {int})  regexp_replace({text}, {text}, {text})  substring({text} from {text})
    substring({text} from {int} for {int})  overlay({text} placing {text} from {int})  trim(both {text} from {text})
    initcap({text})  to_char({time}, {text})  to_char({numeric}, '999D99')  ({json} ->> {text})  ({json} #>> '{a}')
    string_to_array({text}, {text})::text  array_to_string({list}, {text})  sha256({bytes})::text  chr({int})  to_hex({int})
    pg_typeof({any})::text  normalize({text})  collation for ({text})  xmlelement(name x, {any})::text
    xmlforest({any} AS y)::text  row_to_json({row})::text  to_json({any})::text  (SELECT {text})  {text} COLLATE "C"
    host({text}::inet)  unistr({text})  tableoid::regclass::text  json_build_object({text}, {any})::text
    convert_from({bytes}, {text})  to_tsvector({text})::text`),
  numeric: apart(String.raw`({numeric} + {numeric})  ({numeric} / {numeric})  ({numeric} * {int})  round({numeric}, {int})  trunc({numeric})
    ln({numeric})  sqrt({numeric})  power({numeric}, {int})  abs({numeric})  {text}::numeric  {int}::numeric  exp({numeric})
    div({numeric}, {numeric})  scale({numeric})  random() * 0 + {numeric}  extract(epoch from {time})`),
  json: apart(String.raw`to_jsonb({any})  to_jsonb({row})  jsonb_build_object({text}, {any})  jsonb_build_array({any}, {any})  ({json} -> {text})
    ({json} || {json})  jsonb_set({json}, {list}::text[], {json})  jsonb_path_query_first({json}, '$.**')
    jsonb_strip_nulls({json})  {text}::jsonb  ({json} - {text})  (to_jsonb({row}) -> {text})  jsonb_object({list}::text[])`),
  bytes: apart(String.raw`convert_to({text}, 'UTF8')  ({bytes} || {bytes})  sha256({bytes})  decode({text}, {text})  substr({bytes}, {int})
    {text}::bytea  set_byte({bytes}, 0, {int})`),
  time: apart(String.raw`({time} + {time})  ({time} - {time})  date_trunc('day', {time})  {text}::date  make_interval({int})  age({time})
    to_timestamp({numeric}::float8)  {time} AT TIME ZONE {text}`),
  bool: apart(String.raw`({any} = {any})  ({text} < {text})  ({text} LIKE {text})  ({text} ~ {text})  ({int} > {int})  ({numeric} >= {numeric})
    ({bool} AND {bool})  ({bool} OR {bool})  (NOT {bool})  ({any} IS NULL)  ({any} IS NOT DISTINCT FROM {any})
    ({text} IN ({text}, {text}))  ({text} = ANY ({list}))  ({int} BETWEEN {int} AND {int})  starts_with({text}, {text})
    ({json} @> {json})  ({json} ? {text})  ({row} = {row})  ({row} IS NULL)  ({text} SIMILAR TO {text})
    jsonb_path_exists({json}, '$ ? (@ == 1)')  ({text} ^@ {text})  ({list} && {list})  ({bool} IS TRUE)
    row({any}, {any}) < row({any}, {any})  ({text} IS JSON)`),
  row: apart(String.raw`ROW({any}, {any})  ({row})  ROW({row})`),
  list: apart(String.raw`ARRAY[{text}, {text}]  string_to_array({text}, {text})  regexp_split_to_array({text}, '')  array_append({list}, {text})
    ARRAY(SELECT {text})  regexp_match({text}, {text})  array_cat({list}, {list})  array_agg_of
    xpath({text}, {text}::xml)::text[]  trim_array({list}, {int})`),
  other:
    apart(String.raw`{text}::inet  int4range({int}, {int})  point({numeric}::float8, {numeric}::float8)  {int}::bit(8)  to_tsvector({text})
    {text}::xml  hstore({text}, {text})  hstore({row})  {text}::regclass  {text}::citext`),
};
