import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LimitMeter } from './limits.ts';

test('rows and bytes count over the whole session', () => {
  const meter = new LimitMeter(0);
  meter.returned(10, 100);
  assert.equal(meter.over({ maxRows: 10, maxBytes: 100 }, 0, true), null);
  meter.returned(1, 0);
  assert.equal(meter.over({ maxRows: 10 }, 0, true), 'maxRows');
  assert.equal(meter.over({ maxBytes: 99 }, 0, true), 'maxBytes');
});

test('a busy session is not idle, but its duration counts', () => {
  const meter = new LimitMeter(0);
  assert.equal(meter.over({ idleTimeoutSeconds: 5 }, 6000, true), null);
  assert.equal(meter.over({ idleTimeoutSeconds: 5 }, 6000, false), 'idleTimeoutSeconds');
  meter.touch(3000);
  assert.equal(meter.over({ idleTimeoutSeconds: 5 }, 6000, false), null);
  assert.equal(meter.over({ maxDurationSeconds: 5 }, 6000, true), 'maxDurationSeconds');
});

test('the rate is that of the last minute', () => {
  const meter = new LimitMeter(0);
  const limits = { maxActionsPerMinute: 2 };
  assert.equal(meter.action(limits, 0), null);
  assert.equal(meter.action(limits, 1000), null);
  assert.equal(meter.action(limits, 2000), 'maxActionsPerMinute');
  assert.equal(meter.action(limits, 60_001), null);
});
