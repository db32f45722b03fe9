import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type ControlPlane, startControlPlane } from '#e2e/cluster/control-plane.ts';
import { connect, type KubeClient } from '#operator/kube/client.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { LEASES, ofKind, SECRETS, SIDECAR_SLICES } from '#operator/kube/resources.ts';
import { CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, NAMESPACES } from './resources.ts';
import { installCrds, until } from './testing.ts';

const MAIN = fileURLToPath(new URL('../../operator/main.ts', import.meta.url));
const OPS = 'chaperone-system';
let plane: ControlPlane;
let admin: KubeClient;
const children: ChildProcess[] = [];

before(async () => {
  plane = await startControlPlane();
  admin = connect(plane.kubeconfig);
  await installCrds(admin);
  for (const name of [OPS, 'shop']) await admin.create(NAMESPACES, { metadata: { name } });
});
after(async () => {
  for (const child of children) child.kill('SIGKILL');
  admin?.close();
  await plane?.stop();
});

interface Line {
  readonly msg: string;
  readonly telemetry?: number;
}

function start(pod: string, kubeconfig = plane.kubeconfig) {
  const flags = [
    '--kubeconfig',
    kubeconfig,
    '--telemetry-port',
    '0',
    '--enrolment-port',
    '0',
    '--webhook-port',
    '0',
    '--control-port',
    '0',
    '--listen-host',
    '127.0.0.1',
  ];
  const child = spawn(process.execPath, [MAIN, ...flags], { env: { POD_NAME: pod }, stdio: ['ignore', 'pipe', 'pipe'] });
  children.push(child);
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const lines = () =>
    said
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as Line);
  return {
    lines,
    serves: () =>
      until('the operator to serve', () => lines().find(({ msg }) => msg === 'the operator serves')?.telemetry, 60_000).catch(() =>
        assert.fail(said),
      ),
    said: () => said,
    stop: async (): Promise<unknown> => {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      return (await exited)[0];
    },
  };
}

const get = async (port: number, path: string) => {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: answer.status, body: await answer.text() };
};
const holder = async () =>
  (await admin.get<KubeObject & { spec: { holderIdentity: string } }>(LEASES, { namespace: OPS, name: 'chaperone-operator' })).spec
    .holderIdentity;

test('two replicas: ready, one writes status, both stop cleanly and give back what they held', async () => {
  const one = start('replica-one');
  const port = await one.serves();
  await until('readiness', async () => (await get(port, '/readyz')).status === 200);
  assert.equal((await get(port, '/healthz')).body, 'ok\n');
  assert.equal(await holder(), 'replica-one');
  assert.match((await get(port, '/metrics')).body, /^chaperone_operator_leader 1$/m);
  // What it follows for approvals is seen as what it follows for policy.
  assert.match((await get(port, '/metrics')).body, /^chaperone_operator_watch_synced\{resource="approvalrequests"\} 1$/m);
  const two = start('replica-two');
  const otherPort = await two.serves();
  await until('readiness', async () => (await get(otherPort, '/readyz')).status === 200);
  assert.match((await get(otherPort, '/metrics')).body, /^chaperone_operator_leader 0$/m);

  // One CA for both.
  const { data = {} } = await admin.get<KubeObject & { data?: Record<string, string> }>(SECRETS, { namespace: OPS, name: 'chaperone-ca' });
  assert.ok(data['ca.crt']);
  await until('a slice each', async () => (await admin.list(SIDECAR_SLICES, { namespace: OPS })).items.length === 2);

  const gate = { metadata: { namespace: 'shop', name: 'dba' }, spec: { approvers: [{ group: 'dba' }] } };
  await admin.create<KubeObject>(ofKind('ApprovalGate'), gate);
  const isReady = async () => {
    const { status } = await admin.get<KubeObject & { status?: { conditions: { type: string; status: string }[] } }>(
      ofKind('ApprovalGate'),
      gate.metadata,
    );
    return status?.conditions.some((condition) => condition.type === 'Ready' && condition.status === 'True');
  };
  await until('its status', isReady);

  assert.equal(await one.stop(), 0, one.said());
  await until('the other to lead', async () => (await holder()) === 'replica-two');
  assert.equal((await admin.list(SIDECAR_SLICES, { namespace: OPS })).items.length, 1);
  await admin.patchStatus(ofKind('ApprovalGate'), gate.metadata, { status: { conditions: [] } });
  await until('its status, by the other', isReady);
  assert.equal(await two.stop(), 0, two.said());
  assert.equal(await holder(), '');
  // Each line is JSON (or `lines` throws), and none has the CA's key.
  for (const { lines, said } of [one, two]) {
    assert.ok(lines().length > 3);
    assert.doesNotMatch(said(), /PRIVATE KEY/);
    assert.ok(!said().includes(data['current.key']?.slice(0, 40) ?? '-'));
  }
});

test('a replica whose CA is not in the webhook configurations is not ready: the API server could not call it', async () => {
  const groups = ['', 'chaperone.dev', 'coordination.k8s.io', 'events.k8s.io', 'authentication.k8s.io', 'authorization.k8s.io'];
  await admin.create(CLUSTER_ROLES, {
    metadata: { name: 'limited' },
    rules: [{ apiGroups: groups, resources: ['*'], verbs: ['*'] }],
  } as KubeObject);
  await admin.create(CLUSTER_ROLE_BINDINGS, {
    metadata: { name: 'limited' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'limited' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'limited' }],
  } as KubeObject);
  const limited = start('limited', await plane.kubeconfigOf('limited'));
  const port = await limited.serves();
  const readiness = async () => await get(port, '/readyz');
  await until('all else', async () => (await readiness()).body === 'the CA is not in the webhook configurations yet\n').catch(async () =>
    assert.fail((await readiness()).body),
  );
  assert.equal((await readiness()).status, 503);
  assert.equal((await get(port, '/healthz')).status, 200);
  await admin.patch(CLUSTER_ROLES, { name: 'limited' }, { rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }] });
  // There are none to write it into: no pod waits for them.
  await until('readiness', async () => (await readiness()).status === 200);
  assert.equal(await limited.stop(), 0, limited.said());
});

test('an API server that is away at the start is waited for; told to stop meanwhile, it does', async () => {
  await plane.stopApiServer();
  const impatient = start('impatient');
  await until('its tries', () => impatient.said().includes('the CA could not be read'));
  assert.equal(await impatient.stop(), 0);
  const patient = start('patient');
  await until('its tries', () => patient.said().includes('the CA could not be read'));
  await plane.startApiServer();
  const port = await patient.serves();
  await until('readiness', async () => (await get(port, '/readyz')).status === 200);
  assert.equal(await patient.stop(), 0);
});

test('--version, and a wrong flag', async () => {
  const run = async (...flags: string[]) => {
    const child = spawn(process.execPath, [MAIN, ...flags], { env: {}, stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    return { code, said };
  };
  assert.match((await run('--version')).said, /^\d+\.\d+\.\d+/);
  const wrong = await run('--telemetry-port', 'x');
  assert.deepEqual([wrong.code, /telemetry-port/.test(wrong.said)], [2, true]);
});
