import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, credentials } from '@grpc/grpc-js';
import { Sidecar } from '#crds/gen/chaperone/v1/sidecar_pb.js';
import type { Snapshot } from '#crds/policy/snapshot.ts';
import { callUnary } from '#sidecar/control/rpc.ts';
import { createSecretsHandler } from '../credentials/secrets.ts';
import { rotated } from '../pki/authority.ts';
import { until } from '../testing.ts';
import type { Pod } from './sources.ts';
import {
  addPod,
  currentOf,
  startTestOperator,
  startTestSidecar,
  type TestSidecarOptions,
  testSnapshot,
  testSnapshots,
  tokenOf,
} from './testing.ts';

const API = { namespace: 'shop', name: 'api' };
const opened: { close(): unknown }[] = [];
after(async () => {
  for (const one of opened.reverse()) await one.close();
});

async function setup(...options: Parameters<typeof startTestOperator>) {
  const operator = await startTestOperator(...options);
  opened.push(operator);
  const join = async (pod: Pod, more: TestSidecarOptions = {}) => {
    const sidecar = await startTestSidecar(operator, pod, more);
    opened.push(sidecar);
    return sidecar;
  };
  return { operator, join };
}

test('a sidecar enrols, takes its snapshot, and a change is in force well within a second; the board knows', async () => {
  const { operator, join } = await setup();
  const first = operator.source.set(testSnapshot(1));
  const pod = addPod(operator);
  const sidecar = await join(pod, { sidecarVersion: '0.1.7' });
  const { identity } = sidecar.control;
  assert.deepEqual(
    [identity.namespace, identity.serviceAccount, identity.pod, identity.podUid, identity.cluster],
    ['shop', 'agent', pod.name, pod.uid, 'test'],
  );
  await until('the first snapshot', () => sidecar.policy.version === first.version);
  await until('the ACK', () => operator.board.get(pod.uid)?.acked === first.version);
  assert.equal(operator.board.get(pod.uid)?.sidecarVersion, '0.1.7');
  assert.deepEqual(operator.board.get(pod.uid)?.peer.pod, pod.name);
  const changedAt = performance.now();
  const second = operator.source.set(testSnapshot(2));
  await until('the change', () => sidecar.policy.version === second.version);
  const took = performance.now() - changedAt;
  assert.ok(took < 1000, `${took} ms`);
  await until('the second ACK', () => operator.board.get(pod.uid)?.acked === second.version);
  sidecar.close();
  await until('the board forgets', () => operator.board.all().length === 0);
});

test('an older generation is refused by the sidecar, the operator hears why, and the next good one is taken', async () => {
  const { operator, join } = await setup();
  const newest = operator.source.set(testSnapshot(5));
  const pod = addPod(operator);
  const sidecar = await join(pod);
  await until('the snapshot', () => operator.board.get(pod.uid)?.acked === newest.version);
  const lagging = operator.source.set(testSnapshot(4));
  await until('the NACK', () => operator.board.get(pod.uid)?.refused?.version === lagging.version);
  assert.match(operator.board.get(pod.uid)?.refused?.problems.join() ?? '', /OlderGeneration.*from generation 5 to 4/);
  assert.equal(operator.board.get(pod.uid)?.acked, newest.version);
  assert.equal(sidecar.policy.version, newest.version);
  assert.match(operator.events.join('\n'), /^SnapshotRejected agent-\d+ sha256:/);
  const next = operator.source.set(testSnapshot(6));
  await until('the next', () => operator.board.get(pod.uid)?.acked === next.version && operator.board.get(pod.uid)?.refused === null);
});

test('a replica that knows less of any kind than the last one did is not believed, with a policy or with a heartbeat; one of before says nothing of it', async () => {
  const { operator, join } = await setup({ heartbeatMs: 50 });
  operator.revisions = 'revisions AccessPolicy=1000 ProtectedResource=900';
  const newest = operator.source.set(testSnapshot(1));
  const sidecar = await join(addPod(operator), { ttlMs: 1500 });
  await until('the snapshot', () => sidecar.policy.version === newest.version);
  // As numbers: 999 is less than 1000.
  operator.revisions = 'revisions AccessPolicy=999 ProtectedResource=5000';
  operator.source.set({ ...testSnapshot(1), sources: [], resources: [] });
  await until('the refusal', () => sidecar.logs.some((line) => line.includes('knows less than another did')));
  operator.source.set(testSnapshot(1));
  await until('stale', () => sidecar.policy.stale);
  assert.equal(sidecar.policy.version, newest.version);
  assert.deepEqual(operator.events, []);
  operator.revisions = 'revisions AccessPolicy=1000 ProtectedResource=5000';
  await until('confirmed again', () => !sidecar.policy.stale);
  operator.revisions = '';
  const older = operator.source.set(testSnapshot(2));
  await until('the policy of an operator that tells no revisions', () => sidecar.policy.version === older.version);
});

test('garbage from the operator changes nothing: another workload, a wrong hash, no JSON, a closed schema', async () => {
  const { operator, join } = await setup();
  const good = operator.source.set(testSnapshot(1));
  const pod = addPod(operator);
  const sidecar = await join(pod);
  await until('the snapshot', () => operator.board.get(pod.uid)?.acked === good.version);
  const other = currentOf(testSnapshot(9, { workload: { namespace: 'shop', serviceAccount: 'other' } }));
  const wrongHash = { ...currentOf(testSnapshot(9)), version: `sha256:${'0'.repeat(64)}` };
  const json = Buffer.from('{"schemaVersion":1,');
  const noJson = { ...currentOf(testSnapshot(9)), json };
  const open = currentOf({ ...testSnapshot(9), surprise: true } as Snapshot);
  for (const [bad, why] of [
    [other, /WrongWorkload/],
    [wrongHash, /Malformed: the hash/],
    [noJson, /Malformed/],
    [open, /Malformed/],
  ] as const) {
    operator.source.setRaw({ namespace: 'shop', serviceAccount: 'agent' }, bad);
    await until(`refusal ${String(why)}`, () => why.test(operator.board.get(pod.uid)?.refused?.problems.join() ?? ''));
    assert.equal(sidecar.policy.version, good.version);
    const next = operator.source.set(testSnapshot(1));
    await until('good again', () => operator.board.get(pod.uid)?.refused === null || operator.board.get(pod.uid)?.acked === next.version);
  }
});

test('a newer operator: a resource that needs what this sidecar lacks is denied, and the others go on', async () => {
  const { operator, join } = await setup();
  const base = testSnapshot(1);
  const [resource] = base.resources;
  assert.ok(resource);
  const newer = { ...resource, name: 'next', requiredCapabilities: ['http/2'], novelty: { deep: true } };
  const skewed = operator.source.set({ ...base, resources: [resource, newer] });
  const pod = addPod(operator);
  const sidecar = await join(pod);
  await until('the snapshot', () => operator.board.get(pod.uid)?.acked === skewed.version);
  assert.notEqual(sidecar.policy.resource(API), null);
  assert.equal(sidecar.policy.resource({ namespace: 'shop', name: 'next' }), null);
  assert.equal(sidecar.policy.why({ namespace: 'shop', name: 'next' }).code, 'MissingCapability');
});

test('the stream alone keeps a policy alive; an operator that can not know whether it holds does not; one that is gone lets it end, and coming back revives it', async () => {
  const { operator, join } = await setup({ heartbeatMs: 50 });
  const current = operator.source.set(testSnapshot(1));
  const pod = addPod(operator);
  const sidecar = await join(pod, { ttlMs: 2000 });
  await until('the snapshot', () => sidecar.policy.version === current.version);
  await delay(3000);
  assert.notEqual(sidecar.policy.resource(API), null, 'heartbeats keep it');
  operator.fresh = false;
  await until('stale', () => sidecar.policy.stale);
  assert.equal(sidecar.policy.resource(API), null);
  assert.equal(sidecar.policy.why(API).code, 'SnapshotStale');
  operator.fresh = true;
  await until('back', () => sidecar.policy.resource(API) !== null);

  const { ports } = operator.servers;
  await operator.servers.close();
  await until('stale again', () => sidecar.policy.stale);
  const revoked = operator.source.set(testSnapshot(2));
  await operator.restart(ports);
  await until(
    'the new one after the operator came back',
    () => sidecar.policy.version === revoked.version && !sidecar.policy.stale,
    15_000,
  );
  await until('the board of the new operator', () => operator.board.get(pod.uid)?.acked === revoked.version);
});

test('a connection to what never answers is given up, and begun anew to the operator that is back', async (t) => {
  const { operator, join } = await setup();
  operator.source.set(testSnapshot(1));
  const sidecar = await join(addPod(operator), { unreachedMs: 1000 });
  await until('the snapshot', () => sidecar.policy.version !== 'none');
  const { ports } = operator.servers;
  await operator.servers.close();
  // As with packets to a pod that is gone: there is no answer, and no end. This one's end is that of the test.
  const silent = new Set<Socket>();
  const hole = createServer((socket) => void silent.add(socket.on('error', () => {}))).listen(ports.control, '::');
  t.after(() => silent.forEach((socket) => void socket.destroy()));
  await until('a connection that hangs', () => silent.size > 0);
  hole.close();
  const changed = operator.source.set(testSnapshot(2));
  await operator.restart(ports);
  await until('the policy of the operator that is back', () => sidecar.policy.version === changed.version);
});

test('who may enrol: each refusal is told to the caller, in the log and in an Event on the pod', async () => {
  const { operator, join } = await setup();
  operator.source.set(testSnapshot(1));
  const good = addPod(operator);
  const ended = addPod(operator, { phase: 'Succeeded' });
  const other = addPod(operator);
  const cases: [what: string, pod: Pod, token: string, code: RegExp][] = [
    ['not a token', good, 'nonsense', /TokenNotGood/],
    ['of a pod that ended', ended, tokenOf(ended), /PodEnded/],
    ['of a pod that was replaced under its name', good, tokenOf({ ...good, uid: other.uid }), /PodGone/],
    ['of another node', good, tokenOf({ ...good, node: 'node-2' }), /WrongNode/],
    ['of another ServiceAccount', good, tokenOf({ ...good, serviceAccount: 'else' }), /WrongServiceAccount/],
    ['of a pod that never was', good, tokenOf({ ...good, name: 'never' }), /PodGone/],
  ];
  for (const [what, pod, token, code] of cases) await assert.rejects(join(pod, { token, timeoutMs: 300 }), code, what);
  assert.match(operator.events.join('\n'), /EnrolmentRefused agent-\d+ PodEnded: the pod has ended \(asked from 127\.0\.0\.1\)/);
  assert.match(operator.events.join('\n'), /WrongNode/);
  assert.equal(operator.bindings.size, 0);
  const unbound = operator.review;
  operator.review = (token) => ({ username: unbound(token)?.username ?? '', extra: {} });
  await assert.rejects(join(good, { timeoutMs: 300 }), /TokenNotOfAPod/);
  operator.review = () => {
    throw new Error('away');
  };
  await assert.rejects(join(good, { timeoutMs: 300 }), /the API server does not answer/);
});

test("the sidecar's key speaks for the pod until its container restarts; then the new one does, and the old one is shut out", async () => {
  const { operator, join } = await setup({ reviewMs: 50 });
  const current = operator.source.set(testSnapshot(1));
  const pod = addPod(operator);
  const sidecar = await join(pod);
  await until('the snapshot', () => operator.board.get(pod.uid)?.acked === current.version);
  // As code in the agent's container would that can mint a token of our audience for its own pod.
  await assert.rejects(join(pod, { timeoutMs: 300 }), /KeyInUse/);
  assert.match(operator.events.at(-1) ?? '', /^EnrolmentRefused agent-\d+ KeyInUse/);
  await delay(100);
  assert.equal(sidecar.control.connected, true, 'the attempt does not disturb the sidecar');

  operator.pods.set(pod.uid, { ...pod, sidecarRestarts: 1, sidecarContainerId: 'containerd://again' });
  const second = await join(pod);
  await until('the second', () => second.policy.version === current.version);
  await until('the first is gone', () => !sidecar.control.connected);
  assert.equal(operator.board.all().length, 1);
});

test('a pod that is gone loses its stream', async () => {
  const { operator, join } = await setup({ reviewMs: 50 });
  const current = operator.source.set(testSnapshot(1));
  const pod = addPod(operator);
  const sidecar = await join(pod);
  await until('the snapshot', () => sidecar.policy.version === current.version);
  operator.pods.delete(pod.uid);
  await until('the end of the stream', () => !sidecar.control.connected && operator.board.all().length === 0);
});

test('credentials: only the keys that the own snapshot names, pushed at each change, in no log', async () => {
  const held = new Map<string, { data: Record<string, string> } | null>();
  const listeners = new Map<string, Set<() => void>>();
  const asked: string[] = [];
  const put = (id: string, secret: { data: Record<string, string> } | null) => {
    held.set(id, secret);
    for (const listener of listeners.get(id) ?? []) listener();
  };
  const source = testSnapshots();
  const secrets = createSecretsHandler(source, {
    watch(namespace, name, listener) {
      const id = `${namespace}/${name}`;
      asked.push(id);
      const own = listeners.get(id) ?? new Set();
      listeners.set(id, own.add(listener));
      return () => void own.delete(listener);
    },
    current: (namespace, name) => held.get(`${namespace}/${name}`),
  });
  const { operator, join } = await setup({ snapshots: source, handlers: { secrets } });
  source.set(testSnapshot(1));
  put('shop/other', { data: { token: 'bm8=' } });
  const sidecar = await join(addPod(operator));
  await until('the snapshot', () => sidecar.policy.version !== 'none');
  await delay(100);
  assert.equal(sidecar.secrets.length, 0, 'a Secret that is not known yet is waited for');
  put('shop/api', { data: { token: Buffer.from('hunter-2').toString('base64'), more: 'bm8=' } });
  await until('the credentials', () => sidecar.secrets.length === 1);
  assert.deepEqual([...(sidecar.secrets[0]?.get('shop/api') ?? [])], [['token', Buffer.from('hunter-2')]]);
  assert.deepEqual(asked, ['shop/api']);
  put('shop/api', { data: { token: Buffer.from('hunter-2').toString('base64'), more: 'eWVz' } });
  put('shop/api', { data: { token: Buffer.from('hunter-3').toString('base64') } });
  await until('the change', () => sidecar.secrets.length === 2);
  assert.equal(sidecar.secrets[1]?.get('shop/api')?.get('token')?.toString(), 'hunter-3');
  source.set(testSnapshot(2, { resources: [] }));
  await until('none any more', () => sidecar.secrets.at(-1)?.size === 0);
  assert.equal(listeners.get('shop/api')?.size, 0);
  assert.doesNotMatch(operator.logs.join('\n') + operator.events.join('\n'), /hunter/);
});

test('calls without a certificate, with one that no pod has, and too many of them are refused', async () => {
  const { operator, join } = await setup({ rate: { perSecond: 1, burst: 5 } });
  operator.source.set(testSnapshot(1));
  const anyone = new Client(`localhost:${operator.servers.ports.control}`, credentials.createSsl(Buffer.from(operator.authority.bundle)));
  await assert.rejects(callUnary(anyone, Sidecar.method.report, {}, 2000));
  anyone.close();
  const sidecar = await join(addPod(operator));
  await assert.rejects(sidecar.control.slots({ objects: [] }), /no bucket is configured/);
  const many = await Promise.allSettled(Array.from({ length: 20 }, () => sidecar.control.report({ restartRequiredFor: ['shop/db'] })));
  assert.ok(many.some(({ status }) => status === 'rejected'));
  assert.match(String(many.find(({ status }) => status === 'rejected')), /object/);
});

test('reports reach the board, and what came after the pod is told on the pod', async () => {
  const { operator, join } = await setup();
  const current = operator.source.set(testSnapshot(1));
  const pod = addPod(operator);
  const sidecar = await join(pod);
  await until('the ACK', () => operator.board.get(pod.uid)?.acked === current.version);
  await sidecar.control.report({ snapshotVersion: current.version, restartRequiredFor: ['shop/new', 'shop/db', 'shop/db'] });
  assert.deepEqual(operator.board.get(pod.uid)?.restartRequiredFor, ['shop/db', 'shop/new']);
  const told = () => operator.events.filter((event) => event.includes('RestartRequired'));
  assert.equal(told().length, 1);
  assert.match(told()[0] ?? '', /shop\/db, shop\/new came after this pod/);
  await sidecar.control.report({ snapshotVersion: current.version, restartRequiredFor: ['shop/new', 'shop/db'] });
  assert.equal(told().length, 1, 'the same again is no news');
});

test('assurance that is reported reaches the board, of resources of the own snapshot alone', async () => {
  const { operator, join } = await setup();
  const current = operator.source.set(testSnapshot(1));
  const pod = addPod(operator);
  const sidecar = await join(pod);
  await until('the ACK', () => operator.board.get(pod.uid)?.acked === current.version);
  const said = (name: string) => ({ resource: name, level: 'B', loweredBy: ['public.t.ssn: app may SELECT it'] });
  await sidecar.control.report({ snapshotVersion: current.version, assurances: [said('shop/api'), said('other/db')] });
  assert.deepEqual(
    operator.board.get(pod.uid)?.assurances.map(({ resource, level }) => `${resource} ${level}`),
    ['shop/api B'],
  );
});

test('approvals: a stream that is open says so, carries calls and states, and opens again', async () => {
  const calls: string[] = [];
  const approvals = (peer: { readonly pod: string }, send: (state: { id: string; message: string }) => void) => ({
    call: ({ call }: { call: { case?: string | undefined; value?: { id: string } | undefined } }) => {
      calls.push(`${peer.pod} ${call.case} ${call.value?.id}`);
      send({ id: call.value?.id ?? '', message: 'heard' });
    },
    end: () => calls.push(`${peer.pod} end`),
  });
  const { operator, join } = await setup({ handlers: { approvals } });
  operator.source.set(testSnapshot(1));
  const pod = addPod(operator);
  const sidecar = await join(pod);
  const states: string[] = [];
  let opens = sidecar.control.approvals.connected ? 1 : 0;
  sidecar.control.approvals.onState(({ id, message }) => states.push(`${id} ${message}`));
  sidecar.control.approvals.onReconnect(() => opens++);
  await until('it is open', () => sidecar.control.approvals.connected);
  sidecar.control.approvals.send({ call: { case: 'withdraw', value: { id: 'a', reason: 'gone' } } });
  await until('the answer', () => states.length === 1);
  assert.deepEqual([calls, states], [[`${pod.name} withdraw a`], ['a heard']]);
  const { ports } = operator.servers;
  await operator.servers.close();
  await until('its end', () => calls.at(-1) === `${pod.name} end` && !sidecar.control.approvals.connected);
  sidecar.control.approvals.send({ call: { case: 'withdraw', value: { id: 'b', reason: 'lost' } } });
  await operator.restart(ports);
  await until('it is open again', () => sidecar.control.approvals.connected && opens === 2);
  assert.equal(
    calls.some((call) => call.endsWith(' b')),
    false,
  );
});

test('a sidecar that says too much on its streams loses the one on which it does', async () => {
  let heard = 0;
  const approvals = () => ({ call: () => void heard++, end: () => {} });
  const { operator, join } = await setup({ messageRate: { perSecond: 1, burst: 50 }, handlers: { approvals } });
  operator.source.set(testSnapshot(1));
  const sidecar = await join(addPod(operator));
  await until('it is open', () => sidecar.control.approvals.connected);
  for (let i = 0; i < 200; i++) sidecar.control.approvals.send({ call: { case: 'withdraw', value: { id: `${i}`, reason: '' } } });
  await until('its end', () => !sidecar.control.approvals.connected);
  assert.ok(heard > 0 && heard <= 50, `${heard} heard`);
});

test('a certificate is renewed with the same key before it ends, and nothing of the policy is lost; so it is after a new CA', async () => {
  const { operator, join } = await setup({ reviewMs: 100 }, 4000);
  const current = operator.source.set(testSnapshot(1));
  const pod = addPod(operator);
  const sidecar = await join(pod);
  await until('the snapshot', () => operator.board.get(pod.uid)?.acked === current.version);
  const { key } = operator.bindings.get(pod.uid) ?? {};
  operator.authority.replace(await rotated(operator.authority.state, Date.now()));
  const first = operator.board.get(pod.uid)?.peer.certificateSerial;
  await until('two renewals', () => sidecar.renewals.length >= 2).catch((error: unknown) => {
    throw new Error(sidecar.logs.join('\n'), { cause: error });
  });
  await until(
    'the stream of the new certificate',
    () => sidecar.control.connected && operator.board.get(pod.uid)?.peer.certificateSerial !== first,
  );
  assert.equal(operator.bindings.get(pod.uid)?.key, key);
  assert.match(sidecar.renewals[1]?.caBundle ?? '', /(BEGIN CERTIFICATE[^]*){2}/);
  assert.notEqual(sidecar.policy.resource(API), null);
  const next = operator.source.set(testSnapshot(2));
  await until('a change after that', () => sidecar.policy.version === next.version);
});
