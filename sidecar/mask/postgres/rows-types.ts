/**
 * How a value is looked at, by the OID of its type and its format. OIDs of built-in types are fixed: pg_type.dat.
 * - `text`: what the client sees is the text itself
 * - `json`: the same, and the result must stay JSON
 * - `jsonb`: a version byte, then JSON
 * - `bytea`: in text `\x` and hex digits, in binary the bytes
 * - `integer`, `float`, `numeric`: binary numbers, looked at as digits
 * - `array`: binary, of elements of built-in types, each looked at as its own type
 * - `value`: text of a type that can't hold a mask: what is hit becomes NULL
 * - `pass`: can't hold a value of any form that is looked for
 * - `never`: expressions of the catalog as the server keeps them, and values of any type: always NULL
 * - `unknown`: binary of no known form: searched where it is plain text, else it becomes NULL
 */
export type Look = 'text' | 'json' | 'jsonb' | 'bytea' | 'integer' | 'float' | 'numeric' | 'array' | 'value' | 'pass' | 'never' | 'unknown';

const BYTEA = 17;
const JSON_OID = 114;
const JSONB = 3802;
const NUMERIC = 1700;
/** Holds 16 digits exactly; float4 holds seven. */
const FLOAT8 = 701;
/** int8, money, xid8, pg_lsn: eight bytes. int2, int4, oid and the like pass: ten digits at most. */
const INT8 = new Set([20, 790, 5069, 3220]);
/** name, text, xml, unknown, bpchar, varchar, cstring, "char". */
const TEXT = new Set([19, 25, 142, 705, 1042, 1043, 2275, 18]);
/** bool, int2, int4, regproc, oid, tid, xid, cid, float4, date, time, timestamp, timestamptz, interval, timetz, uuid, reg*, void. */
const PASS = new Set([
  16, 21, 23, 24, 26, 27, 28, 29, 700, 1082, 1083, 1114, 1184, 1186, 1266, 2950, 2202, 2203, 2204, 2205, 2206, 2278, 3734, 3769, 4089, 4096,
  4191,
]);
/** In binary: inet, cidr, macaddr, macaddr8, bit, varbit, and geometric types. As text they are looked at. */
const BINARY_PASS = new Set([869, 650, 829, 774, 1560, 1562, 600, 601, 602, 603, 604, 628, 718]);
/** int8[], numeric[], and what else is made of numbers and times: arrays and ranges of the types above. */
const NOT_TEXT_ARRAYS = new Set([
  1000, 1005, 1007, 1016, 1021, 1022, 1028, 1115, 1182, 1183, 1185, 1187, 1231, 2951, 3904, 3906, 3908, 3910, 3912, 3926,
]);

/** Binary arrays: the type of their elements. name, text, bpchar, varchar, "char", bytea, json, jsonb, int2, int4, int8, oid, float4, float8, numeric, bool, times, uuid, inet, cidr. */
const ELEMENTS: ReadonlyMap<number, number> = new Map([
  [1003, 19],
  [1009, 25],
  [1014, 1042],
  [1015, 1043],
  [1002, 18],
  [1001, 17],
  [199, 114],
  [3807, 3802],
  [1005, 21],
  [1007, 23],
  [1016, 20],
  [1028, 26],
  [1021, 700],
  [1022, 701],
  [1231, 1700],
  [1000, 16],
  [1182, 1082],
  [1183, 1083],
  [1115, 1114],
  [1185, 1184],
  [1187, 1186],
  [2951, 2950],
  [1041, 869],
  [651, 650],
]);

export function elementType(oid: number): number | undefined {
  return ELEMENTS.get(oid);
}

/** pg_node_tree and anyarray: see vet-catalogs.ts. */
const NEVER = new Set([194, 2277]);

/** True for a column that no client may see whatever it holds. */
export function isNeverShown(oid: number): boolean {
  return NEVER.has(oid);
}

export function lookAt(oid: number, format: number): Look {
  if (NEVER.has(oid)) return 'never';
  if (oid === BYTEA) return 'bytea';
  if (oid === JSON_OID) return 'json';
  if (oid === JSONB) return format === 1 ? 'jsonb' : 'json';
  if (TEXT.has(oid)) return 'text';
  if (format === 0)
    return oid === NUMERIC || oid === FLOAT8 || INT8.has(oid) || PASS.has(oid) || NOT_TEXT_ARRAYS.has(oid) ? 'value' : 'text';
  if (oid === NUMERIC) return 'numeric';
  if (INT8.has(oid)) return 'integer';
  if (oid === FLOAT8) return 'float';
  if (ELEMENTS.has(oid)) return 'array';
  return PASS.has(oid) || BINARY_PASS.has(oid) ? 'pass' : 'unknown';
}

/** True where the form of a hit can be seen in the row's own bytes, so that one look at the whole row is enough. */
export function showsInBytes(look: Look, format: number): boolean {
  switch (look) {
    case 'text':
    case 'json':
    case 'value':
    case 'pass':
      return true;
    case 'bytea':
      return format === 1;
    case 'never':
    case 'jsonb':
    case 'integer':
    case 'float':
    case 'numeric':
    case 'array':
    case 'unknown':
      return false;
    default:
      throw look satisfies never;
  }
}
