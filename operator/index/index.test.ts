import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../testing.ts';
import { createPodIndex, prunePod } from './pods.ts';
import { createSnapshots } from './snapshots.ts';
import { createWorldIndex, type RawObject } from './world.ts';

const AGENT = { namespace: 'shop', serviceAccount: 'agent' };
const log = { warn: () => {} };

function gate(generation: number, spec: unknown = { approvers: [{ group: 'dba' }] }, more: object = {}): RawObject {
  const metadata = { namespace: 'shop', name: 'dba', uid: 'u1', generation, resourceVersion: '1' };
  return { apiVersion: 'chaperone.dev/v1alpha1', kind: 'ApprovalGate', metadata, spec, ...more };
}

test('a status is no change of policy; a spec is; an object that cannot be read stays, as broken', () => {
  const index = createWorldIndex();
  assert.equal(index.set('ApprovalGate', gate(1)), true);
  const first = index.world();
  assert.equal(index.set('ApprovalGate', gate(1, undefined, { status: { conditions: 'nonsense' } })), false);
  assert.equal(index.world(), first);
  assert.equal(index.set('ApprovalGate', gate(2, { approvers: 'everybody' })), true);
  assert.deepEqual([index.world().gates.length, index.world().broken.length], [0, 1]);
  assert.equal(index.set('ApprovalGate', gate(3)), true);
  assert.deepEqual([index.world().gates.length, index.world().broken.length], [1, 0]);
  assert.equal(index.remove('ApprovalGate', gate(3)), true);
  assert.equal(index.remove('ApprovalGate', gate(3)), false);
});

test('a wrong status makes no object broken: it is ours', () => {
  const index = createWorldIndex();
  index.set('ApprovalGate', gate(1, { approvers: [{ group: 'dba' }] }, { status: { unknown: true } }));
  assert.equal(index.world().broken.length, 0);
});

const RESOURCE: RawObject = {
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'ProtectedResource',
  metadata: { namespace: 'shop', name: 'api', uid: 'u2', generation: 1 },
  spec: { protocol: 'HTTP', address: { host: 'api.shop', port: 80 }, tls: { mode: 'Disable' } },
};

test('snapshots: none before the world is known, then one a workload, compiled again a moment after a change', async () => {
  const index = createWorldIndex();
  let known = false;
  const snapshots = createSnapshots({ world: () => (known ? index.world() : null), log, inUse: () => new Set() });
  const heard: string[] = [];
  snapshots.onChange(() => {
    throw new Error('a listener that fails');
  });
  snapshots.onChange(({ serviceAccount }) => heard.push(serviceAccount));
  index.set('ProtectedResource', RESOURCE);
  assert.equal(snapshots.current(AGENT), null);
  known = true;
  const first = snapshots.current(AGENT);
  assert.match(first?.version ?? '', /^sha256:[0-9a-f]{64}$/);
  assert.equal(snapshots.current(AGENT), first);

  for (let generation = 2; generation < 30; generation++) {
    index.set('ProtectedResource', { ...RESOURCE, metadata: { ...RESOURCE.metadata, generation } });
    snapshots.changed();
  }
  await until('the announcement', () => heard.length > 0);
  await delay(200);
  assert.deepEqual([heard, snapshots.compiled], [['agent'], 2]);
  const second = snapshots.current(AGENT);
  assert.notEqual(second?.version, first?.version);
  assert.equal(snapshots.sourcesOf(AGENT, first?.version ?? '')?.get('ProtectedResource/shop/api')?.generation, 1);
  assert.equal(snapshots.sourcesOf(AGENT, second?.version ?? '')?.get('ProtectedResource/shop/api')?.generation, 29);

  // Nobody names this gate: the world is another, the snapshot is not, and nobody is told.
  index.set('ApprovalGate', gate(1));
  snapshots.changed();
  await until('the next one', () => snapshots.compiled === 3);
  await delay(100);
  assert.deepEqual([heard, snapshots.compiled], [['agent'], 3]);
  snapshots.stop();
});

test('who asks between a change and its announcement gets the new one, and the others hear of it', async () => {
  const index = createWorldIndex();
  index.set('ProtectedResource', RESOURCE);
  const snapshots = createSnapshots({ world: () => index.world(), log, inUse: () => new Set() });
  const heard: string[] = [];
  const first = snapshots.current(AGENT);
  snapshots.onChange(({ serviceAccount }) => heard.push(serviceAccount));
  index.remove('ProtectedResource', RESOURCE);
  assert.notEqual(snapshots.current(AGENT)?.version, first?.version);
  await until('it', () => heard.length > 0);
  assert.deepEqual(heard, ['agent']);
  snapshots.stop();
});

test('a workload had what it had: the namespaces of resources that are gone are known while the workload is', () => {
  const index = createWorldIndex();
  let known = false;
  const snapshots = createSnapshots({ world: () => (known ? index.world() : null), log, inUse: () => new Set() });
  assert.equal(snapshots.namespacesOf(AGENT), null);
  known = true;
  index.set('ProtectedResource', RESOURCE);
  assert.deepEqual([...(snapshots.namespacesOf(AGENT) ?? [])], ['shop']);
  index.remove('ProtectedResource', RESOURCE);
  assert.deepEqual(snapshots.current(AGENT)?.snapshot.resources, []);
  assert.deepEqual([...(snapshots.namespacesOf(AGENT) ?? [])], ['shop']);
  assert.deepEqual([...(snapshots.namespacesOf({ namespace: 'shop', serviceAccount: 'later' }) ?? [])], []);
  snapshots.stop();
});

test('the versions that are remembered are bounded', () => {
  const index = createWorldIndex();
  const snapshots = createSnapshots({ world: () => index.world(), log, inUse: () => new Set() });
  const versions: string[] = [];
  for (let generation = 1; generation <= 40; generation++) {
    index.set('ProtectedResource', { ...RESOURCE, metadata: { ...RESOURCE.metadata, generation } });
    versions.push(snapshots.current(AGENT)?.version ?? '');
  }
  assert.equal(new Set(versions).size, 40);
  assert.equal(versions.filter((version) => snapshots.sourcesOf(AGENT, version) !== undefined).length, 32);
  snapshots.stop();
});

test('pods: what is kept of one, and a name that comes again with another UID', () => {
  const pods = createPodIndex();
  const pod = (uid: string, running: boolean) =>
    prunePod({
      metadata: { namespace: 'shop', name: 'agent-0', uid, annotations: { 'chaperone.dev/status': '{}', secret: 'x' } },
      spec: { nodeName: 'n1', serviceAccountName: 'agent' },
      status: {
        phase: 'Running',
        containerStatuses: [{ name: 'app', containerID: 'c1' }],
        initContainerStatuses: [{ name: 'chaperone', containerID: 'c2', restartCount: 3, state: running ? { running: {} } : {} }],
      },
    });
  pods.set(pod('u1', true));
  assert.deepEqual(pods.get('u1'), {
    namespace: 'shop',
    name: 'agent-0',
    uid: 'u1',
    node: 'n1',
    serviceAccount: 'agent',
    sidecarContainerId: 'c2',
    sidecarRestarts: 3,
    sidecarRunning: true,
    phase: 'Running',
    deletionTimestamp: null,
    annotations: { 'chaperone.dev/status': '{}' },
  });
  pods.set(pod('u2', false));
  assert.deepEqual(
    [...pods.all()].map(({ uid, sidecarRunning }) => [uid, sidecarRunning]),
    [['u2', false]],
  );
  pods.remove(pod('u2', false));
  assert.equal(pods.get('u2'), undefined);
});
