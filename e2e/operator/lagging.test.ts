/** Two replicas on one API server, of which one is behind: it must not give back what was revoked. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, before, test } from 'node:test';
import { CAPABILITIES } from '#crds/policy/snapshot.ts';
import { createSecretsHandler } from '#operator/credentials/secrets.ts';
import type { Pod } from '#operator/distribute/sources.ts';
import { type Index, startIndex } from '#operator/index/start.ts';
import { connect, type KubeClient } from '#operator/kube/client.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { ofKind, SECRETS } from '#operator/kube/resources.ts';
import { createSecretWatcher, type SecretObject } from '#operator/kube/secrets.ts';
import { type Control, startControl } from '#sidecar/control/control.ts';
import { createPolicyStore, type PublishablePolicyStore } from '#sidecar/policy/store.ts';
import { type Replica, type Stage, startStage } from './stage.ts';
import type { TcpProxy } from './tcp-proxy.ts';
import { clientThroughProxy, collectLog, until } from './testing.ts';

const RESOURCE = ofKind('ProtectedResource');
const POLICY = ofKind('AccessPolicy');
const AGENT = { namespace: 'shop', serviceAccount: 'agent' };
const API = { namespace: 'shop', name: 'api' };

interface Side {
  readonly replica: Replica;
  readonly index: Index;
  readonly proxy: TcpProxy;
  readonly log: ReturnType<typeof collectLog>;
}

let stage: Stage;
let admin: KubeClient;
let good: Side;
let bad: Side;
const stops: (() => unknown)[] = [];

before(async () => {
  stage = await startStage();
  admin = connect(stage.plane.kubeconfig);
  await admin.create<KubeObject & { spec: unknown }>(RESOURCE, {
    metadata: API,
    spec: {
      protocol: 'HTTP',
      address: { host: 'api.shop', port: 80 },
      tls: { mode: 'Disable' },
      http: { credential: { header: 'authorization', secretRef: { name: 'api', key: 'token' } } },
    },
  });
  await admin.create<SecretObject>(SECRETS, { metadata: { namespace: 'shop', name: 'api' }, data: { token: 'c2VjcmV0' } });
  good = await side('good');
  bad = await side('bad');
});
after(async () => {
  for (const stop of stops.reverse()) await stop();
  admin?.close();
  await stage?.stop();
});

async function side(name: string): Promise<Side> {
  const { kube, proxy } = await clientThroughProxy(stage.plane);
  const log = collectLog();
  const index = startIndex(kube, log, { backoff: { firstMs: 20, maxMs: 300 }, listMs: 1000, behindMs: 300, relistMs: 2000 });
  const secrets = createSecretWatcher(connect(stage.plane.kubeconfig), log);
  await index.synced;
  const replica = await stage.replica(name, index.snapshots, {
    freshness: index.freshness,
    heartbeatMs: 500,
    handlers: { secrets: createSecretsHandler(index.snapshots, secrets) },
  });
  stops.push(
    () => proxy.close(),
    () => kube.close(),
    () => secrets.stop(),
    () => index.stop(),
  );
  return { replica, index, proxy, log };
}

interface Sidecar {
  readonly control: Control;
  readonly policy: PublishablePolicyStore;
  readonly credentials: string[];
}

/** A sidecar of the pod at this replica, with the store of one that was at another before where given. */
async function sidecarAt({ replica }: Side, pod: Pod, policy?: PublishablePolicyStore): Promise<Sidecar> {
  const { tokenFile, caFile } = await stage.sidecarFiles(await stage.token(pod));
  const log = { info: () => {}, warn: () => {}, error: () => {} };
  const control = await startControl(
    {
      operator: { host: 'localhost', enrolmentPort: replica.ports.enrolment, controlPort: replica.ports.control },
      tokenFile,
      caFile,
      recordingPublicKey: generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' }),
      sidecarVersion: '0.1.0',
      capabilities: CAPABILITIES,
      log,
      now: Date.now,
    },
    AbortSignal.timeout(10_000),
  );
  const store = policy ?? createPolicyStore({ workload: AGENT, capabilities: CAPABILITIES, now: Date.now });
  const credentials: string[] = [];
  control.attach({
    get version() {
      return store.version;
    },
    publish: async (snapshot) => store.publish(snapshot),
    confirm: (version) => store.confirm(version),
    secrets: (secrets) => void credentials.push(secrets.get('shop/api')?.get('token')?.toString() ?? ''),
  });
  stops.push(
    () => store.close(),
    () => control.close(),
  );
  return { control, policy: store, credentials };
}

async function policy(name: string): Promise<void> {
  await admin.create<KubeObject & { spec: unknown }>(POLICY, {
    metadata: { namespace: 'shop', name },
    spec: {
      targetRefs: [{ name: 'api' }],
      subjects: [{ serviceAccount: { namespace: 'shop', name: 'agent' } }],
      rules: [{ name: 'reads', action: 'Allow', http: { methods: ['GET'] } }],
    },
  });
}
const policiesOf = ({ snapshot }: PublishablePolicyStore) =>
  snapshot?.resources.flatMap((resource) => resource.policies.map(({ name }) => name)).join() ?? 'none';
const quiet = () => new Promise((done) => setTimeout(done, 2500));

test('a replica whose watches are held up lists anew when a sidecar comes, and serves what is there now', async () => {
  await policy('held');
  const pod = await stage.pod('agent-held');
  await until('both know it', () => [good, bad].every(({ index }) => index.objects.get('AccessPolicy', 'shop', 'held')));
  const first = await sidecarAt(good, pod);
  await until('the policy', () => policiesOf(first.policy) === 'held');
  bad.proxy.freeze('what is open');
  await admin.delete(POLICY, { namespace: 'shop', name: 'held' });
  await until('the revocation', () => policiesOf(first.policy) === '');
  assert.ok(bad.index.objects.get('AccessPolicy', 'shop', 'held'), 'the other is behind');
  first.control.close();

  await stage.podStatus(pod, { restarts: 1, containerId: 'containerd://agent-held-2' });
  const seen: string[] = [];
  const again = await sidecarAt(bad, pod);
  again.policy.onChange(() => seen.push(policiesOf(again.policy)));
  await until('its policy', () => again.policy.version !== 'none');
  assert.deepEqual([...new Set([...seen, policiesOf(again.policy)])], [''], 'the revoked one was never in force');
  assert.equal(again.policy.version, first.policy.version);
  again.control.close();
  bad.proxy.mend();
});

test('a replica that is cut off gives no policy and no credentials: neither to a new sidecar nor to one that was elsewhere', async () => {
  await policy('revoked');
  const [pod, other] = [await stage.pod('agent-moves'), await stage.pod('agent-new')];
  await until('both know it', () => [good, bad].every(({ index }) => index.objects.get('AccessPolicy', 'shop', 'revoked')));
  const before = await sidecarAt(good, pod);
  await until('policy and credentials', () => policiesOf(before.policy) === 'revoked' && before.credentials.at(-1) === 'secret');
  const stale = bad.index.snapshots.current(AGENT)?.version;
  assert.equal(stale, before.policy.version);
  bad.proxy.freeze();
  await admin.delete(POLICY, { namespace: 'shop', name: 'revoked' });
  await policy('added');
  await until('the change', () => policiesOf(before.policy) === 'added');
  const { version } = before.policy;
  before.control.close();

  // The kubelet's word: both may have a new key.
  await stage.podStatus(pod, { restarts: 1, containerId: 'containerd://agent-moves-2' });
  const moved = await sidecarAt(bad, pod, before.policy);
  const fresh = await sidecarAt(bad, other);
  await quiet();
  assert.equal(bad.index.snapshots.current(AGENT)?.version, stale, 'it is behind');
  assert.deepEqual([moved.policy.version, fresh.policy.version], [version, 'none']);
  assert.deepEqual([moved.credentials, fresh.credentials], [[], []]);
  assert.ok(bad.log.lines.some((line) => line.includes("this replica can't tell whether its policy is the cluster's")));

  bad.proxy.mend();
  await until('the policy of now', () => fresh.policy.version === version && fresh.credentials.at(-1) === 'secret', 30_000);
  assert.equal(moved.policy.version, version);
});

test('what a replica has not proven it does not confirm: a policy grows old there', async () => {
  const pod = await stage.pod('agent-old');
  const sidecar = await sidecarAt(bad, pod, createPolicyStore({ workload: AGENT, capabilities: CAPABILITIES, now: Date.now, ttlMs: 2000 }));
  await until('the policy', () => sidecar.policy.version !== 'none');
  await quiet();
  assert.equal(sidecar.policy.stale, false);
  bad.proxy.freeze();
  await until('too old', () => sidecar.policy.stale, 10_000);
  bad.proxy.mend();
  await until('confirmed', () => !sidecar.policy.stale, 30_000);
});
