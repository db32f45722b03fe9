import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { backoffMs, pause } from './backoff.ts';
import { createQueue } from './queue.ts';

const until = async (condition: () => boolean) => {
  const end = Date.now() + 20_000;
  while (!condition()) assert.ok(await delay(5, Date.now() < end), 'waited too long');
};

const LIMITS = { firstMs: 100, maxMs: 1000 };

test('pauses double up to the limit, with jitter down to a half', () => {
  assert.deepEqual(
    [0, 1, 2, 3, 4, 5, 2000].map((failures) => backoffMs(failures, LIMITS, () => 1)),
    [0, 100, 200, 400, 800, 1000, 1000],
  );
  assert.equal(
    backoffMs(2, LIMITS, () => 0),
    100,
  );
});

test('a pause ends early where the signal is given, before or during it', { timeout: 5000 }, async () => {
  await pause(60_000, AbortSignal.abort());
  await pause(60_000, AbortSignal.timeout(5));
});

test('a burst of one key is one piece of work; a key that is added while it runs runs once more, never beside itself', async () => {
  const runs: string[] = [];
  let running = 0;
  let most = 0;
  const begun = Promise.withResolvers<void>();
  const go = Promise.withResolvers<void>();
  const queue = createQueue({
    work: async (key) => {
      runs.push(key);
      most = Math.max(most, ++running);
      begun.resolve();
      await go.promise;
      running--;
      return undefined;
    },
    onError: () => assert.fail(),
  });
  for (let i = 0; i < 10; i++) queue.add('a');
  await begun.promise;
  for (let i = 0; i < 10; i++) queue.add('a');
  go.resolve();
  await until(() => runs.length === 2 && running === 0);
  await delay(20);
  assert.deepEqual([runs, most], [['a', 'a'], 1]);
  await queue.stop();
});

test('different keys run side by side, but no more than there are workers', async () => {
  let running = 0;
  let most = 0;
  const done = new Set<string>();
  const queue = createQueue({
    workers: 3,
    work: async (key) => {
      most = Math.max(most, ++running);
      await delay(5);
      running--;
      done.add(key);
      return undefined;
    },
    onError: () => assert.fail(),
  });
  for (let i = 0; i < 20; i++) queue.add(`${i}`);
  await until(() => done.size === 20);
  assert.equal(most, 3);
  await queue.stop();
});

test('a failure comes back later, and is forgotten by a success', async () => {
  const failures: number[] = [];
  let calls = 0;
  const queue = createQueue({
    backoff: { firstMs: 5, maxMs: 20 },
    work: async () => {
      calls++;
      if (calls <= 3) throw new Error('not yet');
      return undefined;
    },
    onError: (_, __, count) => failures.push(count),
  });
  queue.add('a');
  await until(() => calls === 4);
  assert.deepEqual([failures, calls, queue.failures], [[1, 2, 3], 4, 3]);
  await queue.stop();
});

test('work can ask to be done again, and what is stopped does nothing more', async () => {
  let calls = 0;
  const queue = createQueue({
    work: async () => {
      calls++;
      return { againMs: 5 };
    },
    onError: () => assert.fail(),
  });
  queue.add('a');
  await until(() => calls > 2);
  await queue.stop();
  const before = calls;
  queue.add('a');
  await delay(50);
  assert.equal(calls, before);
});
