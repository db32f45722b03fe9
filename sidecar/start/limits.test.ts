import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEFAULT_PROCESS_LIMITS } from '#crds/policy/limits.ts';
import { slow } from '../mask/slow.ts';
import { Metrics } from '../telemetry/metrics.ts';
import { ByteBudget } from '../wire/postgres/budget.ts';
import { parseSql } from '../wire/postgres/sql/parse.ts';
import { parseLimits } from '../wire/postgres/sql/parse-limits.ts';
import { readLimits, watchProcess } from './limits.ts';

test('limits of the process are read, within their bounds', () => {
  assert.deepEqual(readLimits([]), DEFAULT_PROCESS_LIMITS);
  assert.deepEqual(readLimits(['slowParseMs=10', 'maxStatementDepth=50']), {
    ...DEFAULT_PROCESS_LIMITS,
    slowParseMs: 10,
    maxStatementDepth: 50,
  });
  const refused: readonly [string[], RegExp][] = [
    [['slowParseMs'], /write NAME=NUMBER/],
    [['slowParse=1'], /one of maxBufferedTotalBytes, /],
    [['toString=1'], /write NAME=NUMBER/],
    [['slowParseMs=9'], /must be 10 to 10000 milliseconds/],
    [['slowParseMs=-1'], /write NAME=NUMBER/],
    [['eventLoopLagMs=20', 'eventLoopLagMs=30'], /twice/],
  ];
  for (const [texts, message] of refused) assert.throws(() => readLimits(texts), { name: 'StartError', message });
});

test('what the modules begin with is what the table says', () => {
  const { maxStatementBytes, maxStatementDepth, slowParseMs, slowDetectorMs } = DEFAULT_PROCESS_LIMITS;
  assert.deepEqual(parseLimits, { maxBytes: maxStatementBytes, maxDepth: maxStatementDepth });
  assert.deepEqual([slow.parseMs, slow.detectorMs], [slowParseMs, slowDetectorMs]);
});

test('slow work and a busy event loop are counted each time, and told in the log once', async (t) => {
  const lines: string[] = [];
  const counted: string[] = [];
  const log = { info: () => {}, error: () => {}, warn: (fields: object) => lines.push(JSON.stringify(fields)) };
  const metrics = new Metrics();
  const limits = readLimits(['eventLoopLagMs=20', 'maxStatementBytes=1024']);
  const budget = new ByteBudget(100);
  const watched = watchProcess({ limits, log, now: () => 0, budget, metrics, onLimit: (limit) => counted.push(limit) });
  t.after(() => {
    watched.close();
    watchProcess({ limits: DEFAULT_PROCESS_LIMITS, log, now: () => 0, budget, metrics, onLimit: () => {} }).close();
  });
  slow.onParse(300);
  slow.onParse(400);
  assert.deepEqual(counted, ['slowParseMs', 'slowParseMs']);
  assert.deepEqual(lines, ['{"limit":"slowParseMs","tookMs":300}']);
  const parsed = parseSql(`SELECT '${'x'.repeat(1024)}'`);
  assert.match(parsed.ok ? '' : parsed.message, /longer than 1024 bytes/);
  budget.take(7);
  assert.match(metrics.text(), /chaperone_buffered_bytes 7\n/);
  while (!counted.includes('eventLoopLagMs')) {
    const until = performance.now() + 60;
    while (performance.now() < until);
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  assert.match(lines.join('\n'), /"limit":"eventLoopLagMs","lagMs"|"eventLoopLagMs","tookMs":\d+/);
});
