import assert from 'node:assert/strict';
import { it } from 'node:test';
import { RateLimits } from './rate.ts';

it('a key has its burst at once, then its rate, and what was refused costs nothing', () => {
  let nowMs = 0;
  const limits = new RateLimits(60, 10, () => nowMs);
  assert.equal(limits.take('a', 10), true);
  assert.equal(limits.take('a', 1), false);
  assert.equal(limits.take('b', 10), true, 'another key');
  nowMs = 999;
  assert.equal(limits.take('a', 1), false);
  nowMs = 1000;
  assert.equal(limits.take('a', 1), true);
  nowMs = 3_600_000;
  assert.equal(limits.take('a', 11), false, 'more than the burst never fits');
  assert.equal(limits.take('a', 10), true);
});
