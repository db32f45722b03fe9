import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_RESOURCE_LIMITS, type LimitSpec, PROCESS_LIMITS, RESOURCE_LIMITS, resourceLimits } from './limits.ts';

test('each default lies within its bounds, and each limit says what it is', () => {
  for (const [name, spec] of Object.entries<LimitSpec>({ ...RESOURCE_LIMITS, ...PROCESS_LIMITS })) {
    assert.ok(spec.minimum >= 1 && spec.minimum <= spec.default && spec.default <= spec.maximum, name);
    assert.ok(spec.what.endsWith('.') && spec.exceeded.endsWith('.'), name);
  }
});

test('what is not set has its default', () => {
  assert.equal(resourceLimits(undefined), DEFAULT_RESOURCE_LIMITS);
  assert.deepEqual(resourceLimits({ maxPortals: 5 }), { ...DEFAULT_RESOURCE_LIMITS, maxPortals: 5 });
});
