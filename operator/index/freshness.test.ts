import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { KubeObject } from '#operator/kube/resource.ts';
import { keyOf } from '#operator/kube/watch.ts';
import { type Copy, createFreshness, holds } from './freshness.ts';

const object = (name: string, resourceVersion: string): KubeObject => ({
  metadata: { namespace: 'shop', name, uid: name, resourceVersion },
});

/** A copy that a test moves by hand. */
function copyOf(reached: string | null, ...objects: KubeObject[]) {
  const listeners = new Set<() => void>();
  const state = { reached, objects, relists: 0 };
  const watch: Copy['watch'] = {
    get: (key) => state.objects.find((one) => keyOf(one) === key),
    values: () => state.objects.values(),
    get reached() {
      return state.reached;
    },
    onProgress: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    relist: () => {
      state.relists++;
    },
  };
  const to = (next: string, ...now: KubeObject[]) => {
    Object.assign(state, { reached: next, objects: now });
    for (const listener of listeners) listener();
  };
  return { watch, state, to, listeners };
}

const list = (resourceVersion: string, ...items: KubeObject[]) => ({ resourceVersion, items });

test('a copy holds what a list says where it is the same, or later, and not where something is missing, older or gone', () => {
  const [a, b] = [object('a', '10'), object('b', '20')];
  const is = (reached: string | null, objects: KubeObject[], listed: ReturnType<typeof list>) =>
    holds(copyOf(reached, ...objects).watch, listed);
  assert.equal(is('20', [a, b], list('500', a, b)), true, 'a quiet watch');
  assert.equal(is('500', [a], list('500', a, b)), true, 'what it lacks was deleted since');
  assert.equal(is('20', [], list('20')), true);
  assert.equal(is(null, [], list('20')), false, 'never listed');
  assert.equal(is('20', [a], list('500', a, b)), false, 'an addition');
  assert.equal(is('20', [a, b], list('500', a)), false, 'a deletion');
  assert.equal(is('20', [a, b], list('500', a, object('b', '21'))), false, 'a change');
  assert.equal(is('501', [a, object('b', '501')], list('500', a)), true, 'it came after the list');
  // Numbers, and not text: 9 is before 10.
  assert.equal(is('9', [object('a', '9')], list('10', object('a', '10'))), false);
  // A server whose versions are no numbers: only the same is the same.
  assert.equal(is('x', [object('a', 'x')], list('y', object('a', 'x'))), true);
  assert.equal(is('x', [object('a', 'x')], list('y', object('a', 'z'))), false);
  assert.equal(is('x', [object('a', 'x'), object('b', 'y')], list('y', object('a', 'x'))), false);
});

const log = { warn: () => {} };
const times = { behindMs: 500, relistMs: 500, apartMs: 1 };

test('an event under way is waited for; a copy that stays behind is listed anew, and until then nothing is proven', async () => {
  const [a, b] = [object('a', '10'), object('b', '20')];
  const copy = copyOf('10', a);
  const freshness = createFreshness({
    copies: [{ kind: 'AccessPolicy', watch: copy.watch, list: async () => list('20', a, b) }],
    log,
    times,
  });
  const proof = freshness.prove();
  await delay(20);
  copy.to('20', a, b);
  assert.deepEqual([await proof, copy.state.relists, freshness.revisions()], [true, 0, 'revisions AccessPolicy=20']);
  copy.to('10', a);
  assert.deepEqual([await freshness.prove(), copy.state.relists], [false, 1]);
  assert.deepEqual([freshness.proofs, copy.listeners.size], [{ held: 1, failed: 1 }, 0]);
});

test('who asks while a list is under way is served by the next one; all who wait share it; a server that fails proves nothing', async () => {
  const copy = copyOf('10', object('a', '10'));
  const seen = { lists: 0 };
  let answer: () => void = () => {};
  const slow = () =>
    new Promise<ReturnType<typeof list>>((resolve, reject) => {
      seen.lists++;
      const number = seen.lists;
      answer = () => (number === 3 ? reject(new Error('away')) : resolve(list('10', object('a', '10'))));
    });
  const freshness = createFreshness({ copies: [{ kind: 'AccessPolicy', watch: copy.watch, list: slow }], log, times });
  const until = async (count: number) => {
    while (seen.lists < count) await delay(1);
  };
  const first = freshness.prove();
  await until(1);
  const [second, third] = [freshness.prove(), freshness.prove()];
  assert.equal(second, third);
  assert.notEqual(second, first);
  answer();
  assert.equal(await first, true);
  await until(2);
  answer();
  assert.equal(await third, true);
  const fourth = freshness.prove();
  await until(3);
  answer();
  assert.equal(await fourth, false);
});
