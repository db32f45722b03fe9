import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type ControlPlane, startControlPlane } from '#e2e/cluster/control-plane.ts';
import { connect, type KubeClient, type WatchEvent } from '#operator/kube/client.ts';
import { isKubeError, type KubeErrorCode } from '#operator/kube/error.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { CONFIG_MAPS, NAMESPACES, SERVICE_ACCOUNTS } from './resources.ts';

let plane: ControlPlane;
let kube: KubeClient;

interface ConfigMap extends KubeObject {
  readonly data?: { readonly [key: string]: string };
}

before(async () => {
  plane = await startControlPlane();
  kube = connect(plane.kubeconfig);
  await kube.create(NAMESPACES, { metadata: { name: 'shop' } });
  await kube.create(SERVICE_ACCOUNTS, { metadata: { namespace: 'shop', name: 'default' } });
});
after(async () => {
  kube?.close();
  await plane?.stop();
});

const fails = (code: KubeErrorCode) => (error: unknown) =>
  isKubeError(error, code) || assert.fail(`expected ${code}, got ${String(error)}`);
const at = (name: string) => ({ namespace: 'shop', name });

test('create, get, update, patch, delete', async () => {
  const created = await kube.create<ConfigMap>(CONFIG_MAPS, { metadata: at('one'), data: { a: '1' } });
  assert.ok(created.metadata.uid);
  await assert.rejects(kube.create<ConfigMap>(CONFIG_MAPS, { metadata: at('one') }), fails('AlreadyExists'));
  const updated = await kube.update<ConfigMap>(CONFIG_MAPS, { ...created, data: { a: '2' } });
  assert.deepEqual(updated.data, { a: '2' });
  await assert.rejects(kube.update<ConfigMap>(CONFIG_MAPS, { ...created, data: { a: '3' } }), fails('Conflict'));
  await kube.patch(CONFIG_MAPS, at('one'), { data: { b: '3' } });
  assert.deepEqual((await kube.get<ConfigMap>(CONFIG_MAPS, at('one'))).data, { a: '2', b: '3' });
  await assert.rejects(kube.delete(CONFIG_MAPS, at('one'), { uid: '00000000-0000-0000-0000-000000000000' }), fails('Conflict'));
  await kube.delete(CONFIG_MAPS, at('one'));
  await assert.rejects(kube.get(CONFIG_MAPS, at('one')), fails('NotFound'));
  await assert.rejects(kube.create(CONFIG_MAPS, { metadata: at('No Such Name') }), fails('Invalid'));
});

test('apply owns its fields; another manager conflicts unless forced', async () => {
  const apply = (fieldManager: string, value: string, force = false) =>
    kube.apply<ConfigMap>(CONFIG_MAPS, { metadata: at('applied'), data: { a: value } }, { fieldManager, force });
  await apply('one', '1');
  await assert.rejects(apply('two', '2'), fails('Conflict'));
  assert.deepEqual((await apply('two', '2', true)).data, { a: '2' });
});

test('a list is whole though it comes in pages', async () => {
  const names = Array.from({ length: 620 }, (_, index) => `page-${index}`);
  for (let from = 0; from < names.length; from += 31) {
    await Promise.all(
      names.slice(from, from + 31).map((name) => kube.create(CONFIG_MAPS, { metadata: { ...at(name), labels: { set: 'pages' } } })),
    );
  }
  const { items, resourceVersion } = await kube.list(CONFIG_MAPS, { namespace: 'shop', labelSelector: 'set=pages' });
  assert.deepEqual(items.map(({ metadata }) => metadata.name).sort(), [...names].sort());
  assert.match(resourceVersion, /^\d+$/);
});

test('a watch goes on from where a list was', async () => {
  const { resourceVersion } = await kube.list(CONFIG_MAPS, { namespace: 'shop' });
  await kube.create<ConfigMap>(CONFIG_MAPS, { metadata: at('seen'), data: { a: 'é' } });
  await kube.delete(CONFIG_MAPS, at('seen'));
  const seen: WatchEvent<ConfigMap>[] = [];
  const watch = await kube.watch<ConfigMap>(CONFIG_MAPS, { namespace: 'shop', resourceVersion, timeoutSeconds: 2 });
  for await (const event of watch) seen.push(event);
  const types = seen.filter(({ type }) => type !== 'BOOKMARK').map(({ type }) => type);
  assert.deepEqual(types, ['ADDED', 'DELETED']);
  const giveUp = AbortSignal.timeout(300);
  const open = await kube.watch(CONFIG_MAPS, { resourceVersion, timeoutSeconds: 60, signal: giveUp });
  await assert.rejects(async () => {
    for await (const _ of open);
  }, fails('Aborted'));
});

test('whose token it is, and for whom', async () => {
  const token = await mint('default', ['chaperone.dev']);
  const identity = await kube.tokenReview(token, ['chaperone.dev']);
  assert.equal(identity?.username, 'system:serviceaccount:shop:default');
  assert.deepEqual(identity?.audiences, ['chaperone.dev']);
  assert.equal(await kube.tokenReview(token, ['another']), null);
  assert.equal(await kube.tokenReview(`${token.slice(0, -6)}AAAAAA`, ['chaperone.dev']), null);
  assert.equal(await kube.tokenReview('', ['chaperone.dev']).catch(() => null), null);
});

test('who may do what', async () => {
  const ask = (user: string, groups: readonly string[]) =>
    kube.subjectAccessReview({ user, groups, verb: 'get', group: '', resource: 'secrets', namespace: 'shop' });
  assert.equal(await ask('ana', []), false);
  assert.equal(await ask('root', ['system:masters']), true);
  const ana = connect(await plane.kubeconfigOf('ana'));
  await assert.rejects(ana.list(CONFIG_MAPS, { namespace: 'shop' }), fails('Forbidden'));
  ana.close();
});

test('a server that is away is Unavailable, and is found again', async () => {
  await plane.stopApiServer();
  await assert.rejects(kube.get(NAMESPACES, { name: 'shop' }), fails('Unavailable'));
  await plane.startApiServer();
  assert.equal((await kube.get(NAMESPACES, { name: 'shop' })).metadata.name, 'shop');
});

async function mint(account: string, audiences: readonly string[]): Promise<string> {
  for (let left = 100; ; left--) {
    try {
      const path = `/api/v1/namespaces/shop/serviceaccounts/${account}/token`;
      const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences, expirationSeconds: 600 } };
      await kube.get(SERVICE_ACCOUNTS, at(account));
      return ((await kube.raw({ method: 'POST', path, body })) as { status: { token: string } }).status.token;
    } catch (error) {
      if (!isKubeError(error, 'NotFound') || left === 0) throw error;
      await new Promise((done) => setTimeout(done, 100));
    }
  }
}
