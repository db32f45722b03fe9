import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { walker } from './bulk.ts';
import { median, summarise, tableOf } from './report.ts';

test('the median of an odd and of an even number of rounds', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
});

test('a ratio is the median of the rounds of a case and a unit: a slow round is slow for both', () => {
  const m = (target: string, unit: string, ...values: number[]) => ({ case: 'c', unit, target, values });
  const summaries = summarise([
    m('direct', 'tps', 90, 100, 110),
    m('haproxy', 'tps', 80, 80, 80),
    m('ours', 'tps', 45, 40, 440),
    m('haproxy', 'MB', 2),
    m('ours', 'MB', 8),
  ]);
  assert.deepEqual(
    summaries.map((s) => [s.target, s.unit, s.median, s.ofDirect, s.ofHaproxy]),
    [
      ['direct', 'tps', 100, 1, 1.25],
      ['haproxy', 'tps', 80, 0.8, 1],
      ['ours', 'tps', 45, 0.5, 0.5625],
      ['haproxy', 'MB', 2, null, 1],
      ['ours', 'MB', 8, null, 4],
    ],
  );
  assert.equal(summaries[2]?.spread, 200 / 45);
  assert.equal(
    tableOf(summaries, 'tps', 'direct'),
    '| tps |     direct |     haproxy |        ours |\n| --- | ---------: | ----------: | ----------: |\n| c   | 100 (1.00) | 80.0 (0.80) | 45.0 (0.50) |',
  );
});

test('rows are counted wherever the chunks are cut', () => {
  const frame = (type: string, size: number) => {
    const bytes = Buffer.alloc(5 + size, type);
    bytes.writeUInt32BE(4 + size, 1);
    return bytes;
  };
  const result = Buffer.concat([frame('T', 30), ...Array.from({ length: 9 }, (_, i) => frame('D', i * 7)), frame('C', 9), frame('Z', 1)]);
  fc.assert(
    fc.property(fc.array(fc.nat(result.length), { maxLength: 12 }), (cuts) => {
      const walk = walker();
      const ends = [...cuts.toSorted((a, b) => a - b), result.length];
      const seen = ends.map((end, i) => ({ ...walk(result.subarray(ends[i - 1] ?? 0, end)) }));
      assert.deepEqual(seen.at(-1), { rows: 9, ready: true, failed: false });
    }),
  );
});
