import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, test } from 'node:test';
import { createPeers, type PeersOptions } from './peers.ts';
import { addPod, startTestOperator, startTestSidecar } from './testing.ts';

const opened: { close(): unknown }[] = [];
after(async () => {
  for (const one of opened.reverse()) await one.close();
});

test('a key that the watch knows costs no read; what it does not know, or knows otherwise, is asked of the API server', async () => {
  const operator = await startTestOperator();
  opened.push(operator);
  const pod = addPod(operator);
  const { control, ...sidecar } = await startTestSidecar(operator, pod);
  opened.push(sidecar);
  const der = new X509Certificate(control.identity.certificateChain).raw;
  const key = operator.bindings.get(pod.uid)?.key ?? assert.fail();
  const state = { cached: undefined as string | undefined, stored: key, reads: 0 };
  const options: PeersOptions = {
    trustDomain: 'cluster.local',
    pods: operator.pods,
    bindings: {
      keyOf: async () => {
        state.reads++;
        return state.stored;
      },
    },
    cachedKeyOf: () => state.cached,
    log: { info: () => {}, warn: () => {}, error: () => {} },
    now: Date.now,
    rememberMs: 0,
  };
  const peers = createPeers(options);
  const caller = await peers.verify(der);
  assert.equal(state.reads, 1, 'not known yet');
  state.cached = key;
  for (let i = 0; i < 10; i++) assert.equal(await peers.stillGood(caller), true);
  await peers.verify(der);
  assert.equal(state.reads, 1);
  // The watch is behind: the pod has a new key, and this is its holder, or an old one, and this is not.
  state.cached = 'another';
  assert.equal(await peers.stillGood(caller), true);
  assert.equal(state.reads, 2);
  state.stored = 'another';
  assert.equal(await peers.stillGood(caller), false);
  await assert.rejects(peers.verify(der), /another key speaks for the pod/);
  operator.pods.delete(pod.uid);
  state.cached = key;
  assert.equal(await peers.stillGood(caller), false, 'a pod that is gone');
});
