import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ControlPlane, startControlPlane } from '#e2e/cluster/control-plane.ts';
import { connect, type KubeClient } from '#operator/kube/client.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { SECRETS } from '#operator/kube/resources.ts';
import { createSecretWatcher, type SecretObject } from '#operator/kube/secrets.ts';
import { collection } from '#operator/kube/source.ts';
import { type Change, startWatch, type WatchTimes } from '#operator/kube/watch.ts';
import { CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, CONFIG_MAPS, NAMESPACES } from './resources.ts';
import { clientThroughProxy, collectLog, until } from './testing.ts';

let plane: ControlPlane;
let admin: KubeClient;
const stops: (() => Promise<unknown> | void)[] = [];

before(async () => {
  plane = await startControlPlane();
  admin = connect(plane.kubeconfig);
  await admin.create(NAMESPACES, { metadata: { name: 'shop' } });
});
after(async () => {
  for (const stop of stops.reverse()) await stop();
  admin?.close();
  await plane?.stop();
});

let last = 0;
/** An object of its own for each test, told apart by a label. */
async function create(set: string): Promise<string> {
  const name = `${set}-${++last}`;
  await admin.create(CONFIG_MAPS, { metadata: { namespace: 'shop', name, labels: { set } } });
  return name;
}

async function follow(set: string, times: Partial<WatchTimes> = {}, onChange: (change: Change<KubeObject>) => void = () => {}) {
  const { kube, proxy } = await clientThroughProxy(plane);
  const log = collectLog();
  const watch = startWatch({
    source: collection<KubeObject>(kube, CONFIG_MAPS, { namespace: 'shop', labelSelector: `set=${set}` }),
    onChange,
    log,
    times: { backoff: { firstMs: 20, maxMs: 300 }, ...times },
  });
  stops.push(
    () => proxy.close(),
    () => kube.close(),
    () => watch.stop(),
  );
  const names = () => [...watch.values()].map(({ metadata }) => metadata.name).sort((a, b) => a.localeCompare(b));
  const sees = (...wanted: string[]) =>
    until(`${set}: ${wanted.join(', ')}; there is ${names().join(', ')}`, () => names().join() === wanted.join());
  return { kube, proxy, watch, log, names, sees };
}

test('it follows: what is there, what comes, what changes, what goes', async () => {
  const first = await create('plain');
  const changes: string[] = [];
  const { watch, sees } = await follow('plain', {}, ({ type, object }) => changes.push(`${type} ${object.metadata.name}`));
  await watch.synced;
  await sees(first);
  const second = await create('plain');
  await sees(first, second);
  await admin.patch(CONFIG_MAPS, { namespace: 'shop', name: first }, { data: { a: '1' } });
  await admin.delete(CONFIG_MAPS, { namespace: 'shop', name: second });
  await sees(first);
  assert.deepEqual(changes, [`Set ${first}`, `Set ${second}`, `Set ${first}`, `Removed ${second}`]);
  const { synced, connected, lastEventAgeMs, restarts } = watch.state();
  assert.deepEqual([synced, connected, restarts], [true, true, 0]);
  assert.ok(lastEventAgeMs < 10_000);
});

test('a handler that throws is counted, and the watch goes on', async () => {
  const first = await create('throws');
  const { watch, sees, log } = await follow('throws', {}, ({ object }) => {
    if (object.metadata.name === first) throw new Error('a bug');
  });
  await sees(first);
  const second = await create('throws');
  await sees(first, second);
  assert.deepEqual([watch.state().handlerErrors, watch.state().restarts], [1, 0]);
  assert.ok(log.lines.some((line) => line.includes('a bug')));
});

test('a line that is cut: the copy stays, what happened meanwhile is seen afterwards, without a list', async () => {
  const first = await create('cut');
  const { watch, sees, names, proxy } = await follow('cut');
  await sees(first);
  proxy.cut();
  await until('the failure', () => watch.state().restarts > 2);
  assert.deepEqual([names(), watch.state().connected], [[first], false]);
  const second = await create('cut');
  await admin.delete(CONFIG_MAPS, { namespace: 'shop', name: first });
  proxy.mend();
  await sees(second);
  assert.equal(watch.state().relists, 0);
});

test('a line that is dead without a word is noticed, and opened anew', async () => {
  const first = await create('dead');
  const { watch, sees, proxy, log } = await follow('dead', { silentMs: 1_500 });
  await sees(first);
  proxy.freeze();
  const second = await create('dead');
  await until('the silence', () => log.lines.some((line) => line.includes('silent for too long')));
  assert.ok(watch.state().lastEventAgeMs >= 1_400);
  proxy.mend();
  await sees(first, second);
});

test('the API server goes and comes back: changes from before its restart are seen, by a new list (410)', async () => {
  const first = await create('restart');
  const { watch, sees, proxy } = await follow('restart');
  await sees(first);
  proxy.cut();
  // The new API server starts its memory of events here: what is older is Gone.
  const second = await create('restart');
  for (let i = 0; i < 20; i++) await admin.delete(CONFIG_MAPS, { namespace: 'shop', name: await create('noise') });
  await admin.delete(CONFIG_MAPS, { namespace: 'shop', name: first });
  await plane.stopApiServer();
  proxy.mend();
  const before = watch.state().restarts;
  await until('failures while it is away', () => watch.state().restarts > before + 2);
  await plane.startApiServer();
  await sees(second);
  const third = await create('restart');
  await sees(second, third);
  assert.ok(watch.state().relists >= 1, JSON.stringify(watch.state()));
});

test('it lists again from time to time, and tells only what is different', async () => {
  const first = await create('relist');
  const changes: string[] = [];
  const { watch, sees } = await follow('relist', { relistMs: 700 }, ({ type }) => changes.push(type));
  await sees(first);
  await until('three lists', () => watch.state().relists >= 3);
  assert.deepEqual(changes, ['Set']);
  assert.equal(watch.state().restarts, 0);
});

test('what is stopped has no connection left, also when it never reached the server', async () => {
  const { watch, proxy, kube } = await follow('stopped');
  await watch.synced;
  await watch.stop();
  kube.close();
  proxy.cut();
  const { accepted } = proxy;
  proxy.mend();
  await new Promise((done) => setTimeout(done, 500));
  assert.equal(proxy.accepted, accepted);
  const other = await follow('stopped-early');
  other.proxy.cut();
  await other.watch.stop();
  await other.watch.synced;
});

test('Secrets by name alone: who may only get and watch one never lists, and sees it come, change and go', async () => {
  const rules = [{ apiGroups: [''], resources: ['secrets'], resourceNames: ['db'], verbs: ['get', 'watch'] }];
  await admin.create(CLUSTER_ROLES, { metadata: { name: 'one-secret' }, rules } as KubeObject);
  await admin.create(CLUSTER_ROLE_BINDINGS, {
    metadata: { name: 'one-secret' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'one-secret' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'operator' }],
  } as KubeObject);
  const kube = connect(await plane.kubeconfigOf('operator'));
  const log = collectLog();
  const secrets = createSecretWatcher(kube, log);
  stops.push(
    () => kube.close(),
    () => secrets.stop(),
  );
  const heard: (string | null)[] = [];
  const also: unknown[] = [];
  const end = secrets.watch('shop', 'db', (secret) => heard.push(secret?.data?.['password'] ?? null));
  const endOther = secrets.watch('shop', 'db', (secret) => also.push(secret));
  assert.equal(secrets.current('shop', 'db'), undefined);
  const hears = (...wanted: (string | null)[]) =>
    until(`${JSON.stringify(wanted)}, there is ${JSON.stringify(heard)}`, () => JSON.stringify(heard) === JSON.stringify(wanted));
  await hears(null);
  const password = (text: string) => ({ password: Buffer.from(text).toString('base64') });
  await admin.create<SecretObject>(SECRETS, { metadata: { namespace: 'shop', name: 'db' }, data: password('one') });
  await hears(null, 'b25l');
  await admin.patch(SECRETS, { namespace: 'shop', name: 'db' }, { data: password('two') });
  await hears(null, 'b25l', 'dHdv');
  assert.equal(secrets.current('shop', 'db')?.data?.['password'], 'dHdv');
  await plane.stopApiServer();
  await plane.startApiServer();
  await admin.delete(SECRETS, { namespace: 'shop', name: 'db' });
  await hears(null, 'b25l', 'dHdv', null);
  assert.equal(also.length, 4);
  endOther();
  assert.equal(secrets.states().length, 1);
  end();
  end();
  assert.deepEqual([secrets.states().length, secrets.current('shop', 'db')], [0, undefined]);

  // One that it may not read is never taken for one that is not there.
  const forbidden: unknown[] = [];
  secrets.watch('shop', 'another', (secret) => forbidden.push(secret));
  await until('the refusal', () => log.lines.some((line) => line.includes('cannot watch resource')));
  assert.deepEqual([forbidden, secrets.current('shop', 'another')], [[], undefined]);
  assert.ok(!log.lines.some((line) => /b25l|dHdv/.test(line)));
});
