import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { CAPABILITIES } from '#crds/policy/snapshot.ts';
import { waitFor } from '#e2e/cluster/ready.ts';
import { starvedMs } from '#e2e/cluster/starved.ts';
import type { Pod } from '#operator/distribute/sources.ts';
import { testSnapshot, testSnapshots } from '#operator/distribute/testing.ts';
import { type Control, startControl } from '#sidecar/control/control.ts';
import { NAMESPACE, type Replica, type Stage, startStage } from './stage.ts';

const MAIN = new URL('../../sidecar/main.ts', import.meta.url).pathname;
const source = testSnapshots();
const controls: Control[] = [];
let stage: Stage;
let one: Replica;
let two: Replica;

before(async () => {
  stage = await startStage();
  [one, two] = await Promise.all([stage.replica('chaperone-a', source), stage.replica('chaperone-b', source)]);
});
after(async () => {
  for (const control of controls) control.close();
  await stage.stop();
});

/** Enrols with a key of its own; rejects with what the operator said. */
async function enrol(replica: Replica, token: string): Promise<Control> {
  const { tokenFile, caFile } = await stage.sidecarFiles(token);
  const said: string[] = [];
  const note = (_fields: object, message: string) => void said.push(message);
  try {
    const control = await startControl(
      {
        operator: { host: 'localhost', enrolmentPort: replica.ports.enrolment, controlPort: replica.ports.control },
        tokenFile,
        caFile,
        recordingPublicKey: generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' }),
        sidecarVersion: '0.1.0',
        capabilities: CAPABILITIES,
        log: { info: note, warn: note, error: note },
        now: Date.now,
      },
      AbortSignal.timeout(1500),
    );
    controls.push(control);
    return control;
  } catch (error: unknown) {
    throw new Error(said.join('\n') || 'no answer', { cause: error });
  }
}

test('replicas that started together have one CA', () => {
  assert.equal(one.bundle, two.bundle);
});

test("a pod's own token makes its identity; tokens of another audience, of no pod, of dead and of foreign pods do not", async () => {
  const pod = await stage.pod('agent-0');
  const control = await enrol(one, await stage.token(pod));
  assert.deepEqual([control.identity.namespace, control.identity.serviceAccount, control.identity.podUid], ['shop', 'agent', pod.uid]);
  assert.equal((await one.bindings.keyOf(pod.uid))?.length, 64);

  const fresh = await stage.pod('agent-1');
  await assert.rejects(enrol(one, await stage.token(fresh, { audience: 'https://kubernetes.default.svc.cluster.local' })), /TokenNotGood/);
  await assert.rejects(enrol(one, await stage.token(fresh, { bound: false })), /TokenNotOfAPod/);
  await assert.rejects(enrol(one, `${(await stage.token(fresh)).slice(0, -4)}AAAA`), /TokenNotGood/);
  assert.equal(await one.bindings.keyOf(fresh.uid), null);

  const ended = await stage.pod('agent-2');
  const token = await stage.token(ended);
  await stage.podStatus(ended, { phase: 'Failed' });
  await assert.rejects(enrol(one, token), /PodEnded/);
  assert.match(stage.events.at(-1) ?? '', /^EnrolmentRefused agent-2 PodEnded/);
  await stage.kubectl(['-n', 'shop', 'delete', 'pod', 'agent-2', '--grace-period=0', '--force']);
  // The API server remembers a good token for some seconds; then it says itself that the pod is gone.
  await assert.rejects(enrol(one, token), /PodGone|TokenNotGood/);

  await assert.rejects(enrol(one, await stage.token(await stage.pod('agent-3', { injected: false }))), /PodNotInjected/);
  await assert.rejects(enrol(one, await stage.token(await stage.pod('agent-4', { image: 'registry.local/mine:1' }))), /SidecarMissing/);
});

test('an agent that mints a token for its own pod, or for a neighbour that runs, gets nothing; both replicas say so, also after a restart', async () => {
  await stage.kubectl(['-n', 'shop', 'create', 'role', 'minter', '--verb=create', '--resource=serviceaccounts/token']);
  await stage.kubectl(['-n', 'shop', 'create', 'rolebinding', 'minter', '--role=minter', '--serviceaccount=shop:agent']);
  const agent = await stage.plane.kubeconfigOf('system:serviceaccount:shop:agent');
  const pod = await stage.pod('agent-5');
  await enrol(one, await stage.token(pod));
  const minted = await waitFor('the right to mint', async () => (await stage.token(pod, { as: agent }).catch(() => '')) || undefined);
  await assert.rejects(enrol(one, minted), /KeyInUse/);
  await assert.rejects(enrol(two, minted), /KeyInUse/);
  assert.match(stage.events.at(-1) ?? '', /^EnrolmentRefused agent-5 KeyInUse/);
  const later = await stage.replica('chaperone-c', source);
  await assert.rejects(enrol(later, minted), /KeyInUse/);

  const known = stage.pods.get(pod.uid) as Pod;
  await stage.podStatus(known, { restarts: 1, containerId: 'containerd://agent-5-2' });
  await enrol(two, await stage.token(pod));
  await assert.rejects(enrol(one, minted), /KeyInUse/, 'the restart was good for one key');
});

test('of two that enrol at the same moment at two replicas, one is the sidecar', async () => {
  const pod = await stage.pod('agent-6');
  const token = await stage.token(pod);
  const results = await Promise.allSettled([enrol(one, token), enrol(two, token)]);
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
});

test('the bindings of pods that are gone are swept away', async () => {
  assert.equal(await one.bindings.sweep(() => false), 0, 'the young ones stay');
});

test('the sidecar as it runs in a pod: enrols, takes policy, is in the slice of its replica, obeys a change within a second, drains', async () => {
  source.set(testSnapshot(1));
  const pod = await stage.pod('agent-7');
  const { dir, tokenFile, caFile } = await stage.sidecarFiles(await stage.token(pod));
  const at = `localhost:${one.ports.enrolment}:${one.ports.control}`;
  const args = ['--operator', at, '--token', tokenFile, '--ca', caFile, '--state', join(dir, 'state'), '--listen', 'shop/api=127.0.0.1:0'];
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines: string[] = [];
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(line));
  try {
    await waitFor('the ACK', async () => (one.board.get(pod.uid)?.acked ? true : undefined), 30_000).catch((error: unknown) => {
      throw new Error(lines.join('\n'), { cause: error });
    });
    const starved = await starvedMs(process.pid, child.pid);
    const changedAt = performance.now();
    const next = source.set(testSnapshot(2));
    await waitFor('the next ACK', async () => (one.board.get(pod.uid)?.acked === next.version ? true : undefined));
    const tookMs = performance.now() - changedAt;
    const allowedMs = 1000 + (await starvedMs(process.pid, child.pid)) - starved;
    assert.ok(tookMs < allowedMs, `${tookMs} of ${allowedMs} ms`);
    await waitFor('the slice', async () => {
      const { stdout } = await stage.kubectl(['-n', NAMESPACE, 'get', 'sidecarslice', 'chaperone-a-0', '-o', 'json']);
      const { spec } = JSON.parse(stdout) as { spec: { sidecars: { podUid: string; acked?: string }[] } };
      return spec.sidecars.some(({ podUid, acked }) => podUid === pod.uid && acked === next.version) ? true : undefined;
    });
    assert.doesNotMatch(lines.join('\n'), /eyJ|PRIVATE KEY/);
  } finally {
    child.kill('SIGTERM');
  }
  const [code] = (await once(child, 'exit')) as [number | null];
  assert.equal(code, 0, lines.join('\n'));
});
