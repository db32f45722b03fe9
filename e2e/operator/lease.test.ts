import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ControlPlane, startControlPlane } from '#e2e/cluster/control-plane.ts';
import { connect, type KubeClient } from '#operator/kube/client.ts';
import { createEvents } from '#operator/kube/events.ts';
import { type Leader, startLeader } from '#operator/kube/lease.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { EVENTS, LEASES, PODS } from '#operator/kube/resources.ts';
import { NAMESPACES } from './resources.ts';
import { clientThroughProxy, collectLog, until } from './testing.ts';

const TIMES = { durationMs: 4_000, renewDeadlineMs: 2_500, retryMs: 300 };
let plane: ControlPlane;
let admin: KubeClient;
const stops: (() => Promise<unknown> | void)[] = [];

before(async () => {
  plane = await startControlPlane();
  admin = connect(plane.kubeconfig);
  await admin.create(NAMESPACES, { metadata: { name: 'ops' } });
});
after(async () => {
  for (const stop of stops.reverse()) await stop();
  admin?.close();
  await plane?.stop();
});

async function replica(name: string, identity: string) {
  const { kube, proxy } = await clientThroughProxy(plane);
  const changes: boolean[] = [];
  const leader = startLeader({
    kube,
    namespace: 'ops',
    name,
    identity,
    onChange: (leads) => changes.push(leads),
    log: collectLog(),
    times: TIMES,
  });
  stops.push(
    () => proxy.close(),
    () => kube.close(),
    () => leader.stop(),
  );
  return { leader, proxy, changes };
}

/** Looks all the time, from outside. */
function neverTwo(...leaders: readonly Leader[]): () => void {
  let most = 0;
  const timer = setInterval(() => {
    most = Math.max(most, leaders.filter(({ leads }) => leads).length);
  }, 5).unref();
  return () => {
    clearInterval(timer);
    assert.equal(most, 1);
  };
}

test('of two, one leads; who is cut off stops leading before the other begins', async () => {
  const [one, two] = [await replica('cut', 'one'), await replica('cut', 'two')];
  const check = neverTwo(one.leader, two.leader);
  const first = await until('a leader', () => [one, two].find(({ leader }) => leader.leads));
  const second = first === one ? two : one;
  await new Promise((done) => setTimeout(done, 1_500));
  assert.deepEqual([first.leader.leads, second.leader.leads, first.changes, second.changes], [true, false, [true], []]);
  assert.equal(second.leader.holder, first === one ? 'one' : 'two');
  first.proxy.freeze();
  await until('the first to give up', () => !first.leader.leads, 6_000);
  assert.equal(second.leader.leads, false);
  await until('the second', () => second.leader.leads, 10_000);
  first.proxy.mend();
  await new Promise((done) => setTimeout(done, 1_500));
  assert.deepEqual([first.changes, second.changes, first.leader.leads], [[true, false], [true], false]);
  const { spec } = await admin.get<KubeObject & { spec: { leaseTransitions: number } }>(LEASES, { namespace: 'ops', name: 'cut' });
  assert.equal(spec.leaseTransitions, 1);
  check();
});

test('who stops gives the lease back, and the other need not wait', async () => {
  const one = await replica('release', 'one');
  await until('the first', () => one.leader.leads);
  const two = await replica('release', 'two');
  await until('the second to have looked', () => two.leader.holder === 'one');
  await one.leader.stop();
  const stoppedAt = Date.now();
  assert.deepEqual([one.changes, one.leader.leads], [[true, false], false]);
  await until('the second', () => two.leader.leads, TIMES.durationMs);
  assert.ok(Date.now() - stoppedAt < TIMES.durationMs - 500);
});

test('an API server that is away for longer than the lease: nobody leads, and afterwards one does', async () => {
  const [one, two] = [await replica('away', 'one'), await replica('away', 'two')];
  const check = neverTwo(one.leader, two.leader);
  await until('a leader', () => one.leader.leads || two.leader.leads);
  await plane.stopApiServer();
  await until('nobody', () => !one.leader.leads && !two.leader.leads, 8_000);
  await plane.startApiServer();
  await until('a leader again', () => one.leader.leads || two.leader.leads, 15_000);
  check();
});

interface EventObject extends KubeObject {
  readonly reason: string;
  readonly note: string;
  readonly type: string;
  readonly regarding: { readonly name: string; readonly uid?: string };
  readonly series?: { readonly count: number };
}

test('Events: one that is repeated counts, others are others, and one object does not make more than so many', async () => {
  const log = collectLog();
  const events = createEvents({ kube: admin, instance: 'test', log, seriesMs: 200 });
  const pod = { ref: PODS, namespace: 'ops', name: 'agent', uid: '0b5c1c52-3a2c-4c7e-9d0b-0f2f6a2f1a11' };
  for (let i = 0; i < 5; i++) events.emit('SnapshotRejected', pod, 'too new');
  events.emit('SnapshotRejected', pod, `ä${'x'.repeat(2_000)}`);
  const read = async () =>
    (await admin.list<EventObject>(EVENTS, { namespace: 'ops' })).items.filter(({ regarding }) => regarding.name === 'agent');
  const found = await until('both, counted', async () => {
    const items = await read();
    return items.length === 2 && items.some(({ series }) => series?.count === 5) ? items : undefined;
  });
  const short = found.find(({ note }) => note === 'too new');
  assert.deepEqual([short?.type, short?.reason, short?.regarding.uid], ['Warning', 'SnapshotRejected', pod.uid]);
  assert.ok(Buffer.byteLength(found.find(({ note }) => note !== 'too new')?.note ?? '') <= 1024);
  for (let i = 0; i < 100; i++) events.emit('SnapshotRejected', pod, `${i}`);
  events.emit('SnapshotRejected', { ...pod, namespace: 'no-such-namespace' }, 'lost');
  await events.stop();
  assert.equal((await read()).length, 25);
  assert.ok(!log.lines.some((line) => line.includes('could not be written')), log.lines.at(-1) ?? '');
});
