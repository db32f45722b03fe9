/** Expressions of a kind over the columns in scope, right more often than not. */
import type { Dice } from '../mutate.ts';
import { FORMS, LITERALS } from './forms.ts';
import type { GrammarColumn, Kind } from './schema.ts';

/** A FROM item that is in scope. */
export interface Item {
  readonly alias: string;
  readonly columns: readonly GrammarColumn[];
}

/** A function of the server, called with arguments of these types. */
export interface ServerFunction {
  readonly name: string;
  readonly arguments: readonly string[];
}

export interface Around {
  readonly dice: Dice;
  /** Only what seldom fails: an error at the start hides what would come after it. */
  readonly tame: boolean;
  readonly functions: readonly ServerFunction[];
  /** A sub-select of one column, or of many. */
  query(depth: number, outer: readonly Item[], columns: 'one' | 'many'): string;
}

const KINDS = Object.keys(LITERALS) as Kind[];

/** Depends on what the values are, or on which of its types a kind has. */
const RISKY =
  /text\}::|\{time\}|\{list\}|\{any\} = |decode|unistr|chr\(|\/|ln\(|sqrt|power|exp\(|div\(|IS JSON|convert_from|normalize|\{row\} = |xpath|jsonb_set|tableoid|bit\(|_byte|regexp_count|crc32|::xml|SIMILAR|~|regexp|substring\(|%I|hstore|format\(|repeat|collation|jsonb_object|to_timestamp|width_bucket|to_char|translate|encode|\^@|make_interval/;

/** A sub-select of one row and column. */
function oneOf(around: Around, kind: Kind, items: readonly Item[], depth: number): string {
  if (around.dice.roll(4) === 0) return `(${around.query(depth - 1, items, 'one')})`;
  const cast = kind === 'text' ? '::text' : kind === 'int' && !around.tame ? '::int' : '';
  return cast === ''
    ? expression(around, kind, items, depth - 1)
    : `(SELECT min(z.v::text) FROM (${around.query(depth - 1, items, 'one')}) AS z(v))${cast}`;
}

/** An expression of the kind; any in scope of `items`. */
export function expression(around: Around, kind: Kind, items: readonly Item[], depth: number): string {
  const { dice } = around;
  const roll = dice.roll(100);
  if (depth <= 0 || roll < 35) return columnOf(dice, kind, items) ?? dice.pick(LITERALS[kind]);
  if (roll < 45) return dice.pick(LITERALS[kind]);
  if (roll < 50)
    return `CASE WHEN ${expression(around, 'bool', items, depth - 1)} THEN ${expression(around, kind, items, depth - 1)} ELSE ${expression(around, kind, items, depth - 1)} END`;
  if (roll < 55) return oneOf(around, kind, items, depth);
  if (roll < 58 && kind === 'bool') return `EXISTS (${around.query(depth - 1, items, 'many')})`;
  if (roll < 60 && kind === 'bool')
    return `(${expression(around, 'text', items, depth - 1)}) ${dice.pick(['IN', '= ANY', '> ALL', '<> SOME'])} (${around.query(depth - 1, items, 'one')})`;
  if (roll < 66 && !around.tame && around.functions.length > 0) return call(around, items, depth);
  if (roll < 70 && kind === 'row') return wholeRow(dice, items) ?? 'ROW(1)';
  const makers = around.tame ? FORMS[kind].filter((maker) => !RISKY.test(maker)) : FORMS[kind];
  return made(around, dice.pick(makers.length > 0 ? makers : LITERALS[kind]), items, depth);
}

function made(around: Around, template: string, items: readonly Item[], depth: number): string {
  if (template === 'array_agg_of') return `ARRAY(${around.query(depth - 1, items, 'one')})`;
  return template.replace(/\{(int|text|numeric|json|bytes|time|bool|row|list|any)\}/g, (_, kind: string) =>
    expression(around, kind === 'any' ? around.dice.pick(KINDS) : (kind as Kind), items, depth - 1),
  );
}

/** In one of the ways to write it. */
function columnOf(dice: Dice, kind: Kind, items: readonly Item[]): string | null {
  if (items.length === 0) return null;
  const able = items.filter(({ columns }) => kind === 'row' || columns.some((column) => column.kind === kind));
  if (able.length === 0) return null;
  const { alias, columns } = dice.pick(able);
  if (kind === 'row' && dice.roll(2) === 0) return dice.pick([alias, `(${alias})`, `ROW(${alias}.*)`]);
  const fitting = columns.filter((column) => column.kind === kind);
  if (fitting.length === 0) return null;
  const { name } = dice.pick(fitting);
  switch (dice.roll(40)) {
    case 0:
      return name;
    case 1:
      return `(${alias}).${name}`;
    case 2:
      return `(${alias}.*).${name}`;
    case 3:
      return `${name}(${alias})`;
    case 4:
      return `"${alias}"."${name}"`;
    case 5:
      return `${alias} . ${name.toUpperCase()}`;
    case 6:
      return `(SELECT ${alias}.${name})`;
    case 7:
      return `/* ${name} */ ${alias}.${name} -- ${alias}\n`;
    default:
      return `${alias}.${name}`;
  }
}

function wholeRow(dice: Dice, items: readonly Item[]): string | null {
  if (items.length === 0) return null;
  return dice.pick(items).alias;
}

const TYPES_OF: Readonly<Partial<Record<Kind, string>>> = {
  text: 'text varchar name bpchar citext cstring regclass regproc anyelement anycompatible any anynonarray',
  int: 'int4 int8 int2 oid',
  numeric: 'numeric float8 float4',
  bool: 'bool',
  json: 'json jsonb',
  bytes: 'bytea',
  time: 'date timestamptz timestamp interval',
  row: 'record',
  list: 'anyarray anycompatiblearray _text',
};
const OF_TYPE = new Map(Object.entries(TYPES_OF).flatMap(([kind, types]) => types.split(' ').map((type) => [type, kind as Kind] as const)));
export const CALLABLE_TYPES: readonly string[] = [...OF_TYPE.keys()];
/** Those that no expression of the kind has by itself. */
const NEEDS_CAST = new Set(
  'json date timestamptz timestamp interval regclass name int2 oid float4 float8 bytea citext regproc _text int8 bpchar varchar'.split(' '),
);

/** Any function that the server has, whether we allow it or not. */
function call(around: Around, items: readonly Item[], depth: number): string {
  const { name, arguments: types } = around.dice.pick(around.functions);
  const given = types.map((type) => {
    const value = expression(around, OF_TYPE.get(type) ?? 'text', items, depth - 2);
    return NEEDS_CAST.has(type) ? `(${value})::${type === '_text' ? 'text[]' : type}` : value;
  });
  return `${name}(${given.join(', ')})`;
}
