import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partsOf } from './slices.ts';

type Entry = Parameters<typeof partsOf>[0][number];

const entry = (number: number, problems: readonly string[] = []): Entry => ({
  podUid: `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`,
  namespace: 'shop',
  pod: `agent-${number}`,
  serviceAccount: 'agent',
  sidecarVersion: '0.1.0',
  connectedAt: '2026-01-01T00:00:00.000Z',
  ...(problems.length === 0 ? {} : { refused: { version: `sha256:${'0'.repeat(64)}`, problems: [...problems] } }),
});
const many = (count: number, problems: readonly string[] = []) => Array.from({ length: count }, (_, i) => entry(i, problems));

test('a thousand sidecars are one slice, and more are more; none are one', () => {
  assert.deepEqual(partsOf([]), [[]]);
  assert.deepEqual(
    partsOf(many(2001)).map(({ length }) => length),
    [1000, 1000, 1],
  );
});

test('a thousand sidecars that all refuse with long reasons are slices that the API server can store, and none is left out', () => {
  // Two bytes a character: it is bytes that count.
  const entries = many(
    1000,
    Array.from({ length: 5 }, () => 'ä'.repeat(512)),
  );
  const parts = partsOf(entries);
  assert.deepEqual(parts.flat(), entries);
  assert.ok(parts.length > 5);
  for (const part of parts) assert.ok(Buffer.byteLength(JSON.stringify(part)) <= 512 * 1024);
});
