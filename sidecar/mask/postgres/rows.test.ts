import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SnapshotStrategy } from '#crds/policy/snapshot.ts';
import { decodeDataRow, encodeDataRow } from '../../wire/postgres/messages/data_row.ts';
import { compileDetectors } from '../detect.ts';
import { createRowFilter } from './rows.ts';
import { numericText } from './rows-number.ts';

const author = { kind: 'MaskingRule', namespace: 'shop', name: 'data', generation: 1, rule: 'x' } as const;
const detectorsWith = (strategy: SnapshotStrategy) =>
  compileDetectors([
    { type: 'Card', name: 'card', strategy, author },
    { type: 'Email', name: 'email', strategy, author },
  ]);
const detectors = detectorsWith({ type: 'Redact' });

const int8 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(value);
  return bytes;
};
const float8 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes;
};
const int16s = (...values: number[]): Buffer => Buffer.concat(values.map((v) => Buffer.from([(v >> 8) & 0xff, v & 0xff])));
const text = (value: string): Buffer => Buffer.from(value);
const CARD = '4111111111111111';
/** A one-dimensional array, as array_send writes it. */
const arrayOf = (type: number, ...elements: (Buffer | null)[]): Buffer => {
  const int32 = (value: number) => int16s(value >> 16, value & 0xffff);
  const header = [1, elements.includes(null) ? 1 : 0, type, elements.length, 1].map(int32);
  return Buffer.concat([...header, ...elements.flatMap((one) => (one === null ? [int32(-1)] : [int32(one.length), one]))]);
};
/** An int4 array of one, as array_send writes it. */
const ARRAY = Buffer.from('000000010000000000000017000000010000000100000004000004d2', 'hex');

const CASES: readonly {
  readonly name: string;
  readonly oid: number;
  readonly format: 0 | 1;
  readonly value: Buffer;
  readonly out: Buffer | null | 'same';
  /** One where absent. */
  readonly hits?: number;
}[] = [
  { name: 'text', oid: 25, format: 0, value: text(`a ${CARD} b`), out: text('a [redacted] b') },
  { name: 'clean text', oid: 25, format: 0, value: text('Ada'), out: 'same' },
  { name: 'varchar in binary', oid: 1043, format: 1, value: text('ada@example.com'), out: text('[redacted]') },
  { name: 'json keeps being JSON', oid: 114, format: 0, value: text('{"mail":"ada@example.com"}'), out: text('{"mail":"[redacted]"}') },
  { name: 'json with a number that is hit', oid: 114, format: 0, value: text(`{"card":${CARD}}`), out: text('{"card":"[redacted]"}') },
  {
    name: 'json with an escape and a number',
    oid: 114,
    format: 0,
    value: text(`{"a":[1.50, ${CARD}],"m":"x ada\\u0040example.com"}`),
    out: text('{"a":[1.50, "[redacted]"],"m":"x [redacted]"}'),
    hits: 2,
  },
  { name: 'jsonb in binary', oid: 3802, format: 1, value: text('\x01{"m": "ada@example.com"}'), out: text('\x01{"m": "[redacted]"}') },
  { name: 'jsonb of another version', oid: 3802, format: 1, value: text('\x02{}'), out: null },
  { name: 'int8 in text', oid: 20, format: 0, value: text(CARD), out: null },
  { name: 'int8 in binary', oid: 20, format: 1, value: int8(4111111111111111n), out: null },
  { name: 'int8 that is no card', oid: 20, format: 1, value: int8(4111111111111112n), out: 'same' },
  { name: 'numeric in binary', oid: 1700, format: 1, value: int16s(4, 3, 0, 0, 4111, 1111, 1111, 1111), out: null },
  { name: 'numeric that is no card', oid: 1700, format: 1, value: int16s(4, 3, 0, 0, 4111, 1111, 1111, 1112), out: 'same' },
  { name: 'numeric that is malformed', oid: 1700, format: 1, value: int16s(4, 3, 0, 0, 4111), out: null },
  { name: 'int4 in binary', oid: 23, format: 1, value: Buffer.from([0, 0, 0, 1]), out: 'same' },
  { name: 'float8 in binary', oid: 701, format: 1, value: float8(4111111111111111), out: null },
  { name: 'float8 that is no card', oid: 701, format: 1, value: float8(4111111111111112), out: 'same' },
  { name: 'float8 that is no number', oid: 701, format: 1, value: float8(Number.NaN), out: 'same' },
  { name: 'timestamp in binary', oid: 1184, format: 1, value: int8(4111111111111111n), out: 'same' },
  {
    name: 'bytea in hex',
    oid: 17,
    format: 0,
    value: text(`\\x${text(`a ${CARD}`).toString('hex')}`),
    out: text(`\\x${text('a [redacted]').toString('hex')}`),
  },
  {
    name: 'bytea in binary that is no UTF-8',
    oid: 17,
    format: 1,
    value: Buffer.concat([Buffer.from([0xff]), text(CARD)]),
    out: Buffer.concat([Buffer.from([0xff]), text('[redacted]')]),
  },
  { name: 'an array in text', oid: 1009, format: 0, value: text(`{a,${CARD}}`), out: text('{a,[redacted]}') },
  { name: 'an array of numbers that hold nothing, in binary', oid: 1007, format: 1, value: ARRAY, out: 'same' },
  {
    name: 'an array of texts in binary',
    oid: 1009,
    format: 1,
    value: arrayOf(25, text('a'), null, text(`b ${CARD}`)),
    out: arrayOf(25, text('a'), null, text('b [redacted]')),
  },
  {
    name: 'an array of int8 in binary',
    oid: 1016,
    format: 1,
    value: arrayOf(20, int8(7n), int8(4111111111111111n)),
    out: arrayOf(20, int8(7n), null),
  },
  { name: 'an array in binary of another type than it says', oid: 1009, format: 1, value: arrayOf(23, text('abcd')), out: null },
  { name: 'an array in binary that is cut off', oid: 1009, format: 1, value: arrayOf(25, text('abcd')).subarray(0, -1), out: null },
  { name: 'an array of a user in binary can not be searched', oid: 16_403, format: 1, value: arrayOf(16_400, text('abcd')), out: null },
  { name: 'an array of numbers in text', oid: 1016, format: 0, value: text(`{1,${CARD}}`), out: null },
  { name: 'a type of a user in binary that is text', oid: 16_400, format: 1, value: text(`x ${CARD}`), out: text('x [redacted]') },
  { name: 'an enum label in binary', oid: 16_401, format: 1, value: text('shipped'), out: 'same' },
  { name: 'a composite in binary', oid: 16_402, format: 1, value: Buffer.from('0000000100000019000000036164610a', 'hex'), out: null },
];

for (const { name, oid, format, value, out, hits = 1 } of CASES) {
  test(`a row with ${name}`, () => {
    const filter = createRowFilter([{ dataType: 23 }, { dataType: oid }, { dataType: 25 }], format === 1 ? [0, 1, 0] : [], detectors);
    const row = encodeDataRow([text('7'), value, null]);
    const result = filter.filter(row, 0, row.length);
    if (out === 'same') {
      assert.equal(result, null);
      assert.equal(filter.maskedValues, 0);
      return;
    }
    assert.notEqual(result, null);
    const fields = decodeDataRow(result as Buffer, 0, (result as Buffer).length);
    assert.deepEqual(
      fields.map((field) => field?.toString('latin1') ?? null),
      ['7', out?.toString('latin1') ?? null, null],
    );
    assert.equal(filter.maskedValues, hits);
  });
}

test('Null makes the whole value NULL', () => {
  const filter = createRowFilter([{ dataType: 25 }], [], detectorsWith({ type: 'Null' }));
  const row = encodeDataRow([text(`a ${CARD} b`)]);
  const result = filter.filter(row, 0, row.length) as Buffer;
  assert.deepEqual(decodeDataRow(result, 0, result.length), [null]);
});

test('a row in the middle of a buffer, and values on both sides of a field border', () => {
  const row = encodeDataRow([text('41111111'), text('11111111')]);
  const around = Buffer.concat([Buffer.from('x'.repeat(9)), row, row]);
  const filter = createRowFilter([{ dataType: 25 }, { dataType: 25 }], [], detectors);
  assert.equal(filter.filter(around, 9, 9 + row.length), null, 'two fields are two values');
});

test('a malformed row throws where it has to be taken apart', () => {
  const row = encodeDataRow([text('ada@example.com')]);
  row.writeInt32BE(-2, 7);
  const filter = createRowFilter([{ dataType: 25 }], [], detectors);
  assert.throws(() => filter.filter(row, 0, row.length), { name: 'WireError' });
});

test('binary numeric in text', () => {
  const cases: readonly [Buffer, string | null][] = [
    [int16s(0, 0, 0, 0), '0'],
    [int16s(1, 0, 0, 2, 12), '12.00'.slice(0, 2)],
    [int16s(2, 0, 0, 2, 12, 3400), '12.34'],
    [int16s(2, 1, 0x4000, 0, 1, 2), '10002'],
    [int16s(1, 1, 0, 0, 5), '50000'],
    [int16s(1, -2, 0, 8, 5), '0.00000005'],
    [int16s(1, 200, 0, 0, 5), null],
    [int16s(1, 0, 0, 0, 10_000), null],
  ];
  for (const [bytes, expected] of cases) assert.equal(numericText(bytes, 0, bytes.length), expected);
});
