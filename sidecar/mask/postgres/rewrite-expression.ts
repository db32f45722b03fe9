/** The SQL expression that stands for a masked column. It never names the column, but for Partial. */
import type { ColumnMask } from '#crds/policy/mask.ts';
import type { Catalog, CatalogType, Column } from './catalog.ts';
import { FIRST_USER_OID } from './catalog-queries.ts';
import { REDACTED, shortRedacted } from './placeholder.ts';
import { lengthOf } from './token-types.ts';

const TEXT_TYPES: ReadonlySet<string> = new Set(['text', 'varchar', 'bpchar', 'name', 'char', 'citext']);
const CONSTANTS: ReadonlyMap<string, string> = new Map([
  ...['int2', 'int4', 'int8', 'numeric', 'float4', 'float8', 'money'].map((name): [string, string] => [name, '0']),
  ['bool', 'false'],
  ['date', '1970-01-01'],
  ['timestamp', '1970-01-01 00:00:00'],
  ['timestamptz', '1970-01-01 00:00:00+00'],
  ['uuid', '00000000-0000-0000-0000-000000000000'],
  ['json', `"${REDACTED}"`],
  ['jsonb', `"${REDACTED}"`],
  ['bytea', ''],
  ['time', '00:00:00'],
  ['timetz', '00:00:00+00'],
  ['interval', '00:00:00'],
  ['inet', '0.0.0.0'],
  ['cidr', '0.0.0.0/32'],
  ['macaddr', '00:00:00:00:00:00'],
  ['macaddr8', '00:00:00:00:00:00:00:00'],
  ...['oid', 'xid', 'xid8', 'cid', 'bit', 'varbit'].map((name): [string, string] => [name, '0']),
  ['pg_lsn', '0/0'],
  ['tsvector', ''],
  ['int2vector', ''],
  ['oidvector', ''],
  ['tsquery', ''],
  ['jsonpath', '$'],
  ['point', '(0,0)'],
  ['lseg', '[(0,0),(0,0)]'],
  ['box', '(0,0),(0,0)'],
  ['path', '((0,0))'],
  ['polygon', '((0,0))'],
  ['circle', '<(0,0),0>'],
]);

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** `row` is the alias that the column is reached by. */
export function maskExpression(catalog: Catalog, column: Column, mask: ColumnMask, row: string): string {
  const { type, typmod } = baseType(catalog, column);
  if (type === null) return 'NULL';
  // The modifier of an interval is not the number that it is written with.
  const modifier = type.name === 'interval' || type.name === '_interval' ? '' : typmod;
  const cast = (expression: string): string => `${expression}::${quoteIdentifier(type.schema)}.${quoteIdentifier(type.name)}${modifier}`;
  const isText = TEXT_TYPES.has(type.name) && (type.oid < FIRST_USER_OID || type.name === 'citext');
  switch (mask.strategy.type) {
    case 'Null':
      return cast('NULL');
    case 'Partial':
      if (isText) return cast(partial(`${row}.${quoteIdentifier(column.name)}`, mask.strategy.keepStart, mask.strategy.keepEnd));
      return cast(redacted(type, isText, typmod));
    case 'Redact':
    case 'FormatPreserving':
    case 'Token':
      // The server knows no key: what it computes with is the placeholder.
      return cast(redacted(type, isText, typmod));
    default:
      return mask.strategy satisfies never;
  }
}

/** A domain may refuse the mask, so its base type stands for it; the wire shows the base type anyway. */
export function baseType(catalog: Catalog, column: Column): { readonly type: CatalogType | null; readonly typmod: string } {
  let type = catalog.typesByOid.get(column.type) ?? null;
  let typmod = column.typmod;
  for (let depth = 0; type !== null && type.kind === 'd' && depth < 32; depth++) {
    type = catalog.typesByOid.get(type.base) ?? null;
    typmod = '';
  }
  return { type, typmod };
}

function redacted(type: CatalogType, isText: boolean, typmod: string): string {
  if (isText) return `'${shortRedacted(type.name === 'char' ? 1 : lengthOf(type.name, typmod))}'`;
  const constant = type.oid < FIRST_USER_OID ? CONSTANTS.get(type.name) : undefined;
  if (constant !== undefined) return `'${constant}'`;
  if (type.element !== 0 || type.kind === 'm') return `'{}'`;
  return type.kind === 'r' ? `'empty'` : 'NULL';
}

/** Keeps characters at both ends; nothing of a value shorter than twice what is kept. Only qualified names of pg_catalog. */
function partial(column: string, keepStart: number, keepEnd: number): string {
  const value = `${column}::pg_catalog.text`;
  const length = `pg_catalog.length(${value})`;
  const kept = keepStart + keepEnd;
  const whole = `pg_catalog.repeat('*'::pg_catalog.text, ${length})`;
  const middle = `pg_catalog.repeat('*'::pg_catalog.text, ${length} OPERATOR(pg_catalog.-) ${kept})`;
  const start = `pg_catalog."left"(${value}, ${keepStart})`;
  const end = `pg_catalog."right"(${value}, ${keepEnd})`;
  const concat = 'OPERATOR(pg_catalog.||)';
  return `(CASE WHEN ${length} OPERATOR(pg_catalog.<) ${2 * kept} THEN ${whole} ELSE ${start} ${concat} ${middle} ${concat} ${end} END)`;
}
