import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import { type ListenAddress, parseListen, parseListens, parseWorkload } from './address.ts';
import { FIRST_PORT, Listeners } from './listeners.ts';

const quiet = { info() {}, warn() {}, error() {} };
const resource = (name: string, namespace = 'shop', policies: readonly object[] = []) =>
  ({ namespace, name, protocol: 'HTTP', policies }) as SnapshotResource;
const listeners = (fixed: ReadonlyMap<string, ListenAddress> = new Map()) =>
  new Listeners({
    fixed,
    workload: { namespace: 'shop', serviceAccount: 'agent' },
    log: quiet,
    serve: async (_protocol, { stream, resource: key }) => void stream.end(`${key.namespace}/${key.name}`),
  });
const portOf = (all: Listeners, key: string) => all.addresses.get(key)?.port;
const greeting = (port: number) =>
  new Promise<string>((resolve) => {
    let text = '';
    const socket = connect(port, '127.0.0.1');
    socket.on('data', (chunk) => (text += chunk.toString()));
    socket.on('close', () => resolve(text)).on('error', () => resolve('refused'));
    socket.on('connect', () => socket.end());
  });

test('ports go up in the order of the resources, stay over reloads, and come back', async () => {
  const all = listeners();
  await all.reconcile([resource('b'), resource('d')]);
  const [b, d] = [portOf(all, 'shop/b') ?? 0, portOf(all, 'shop/d') ?? 0];
  assert.ok(b >= FIRST_PORT && d > b);
  assert.equal(await greeting(d), 'shop/d');
  await all.reconcile([resource('a'), resource('b')]);
  assert.deepEqual([portOf(all, 'shop/b'), portOf(all, 'shop/d')], [b, undefined]);
  assert.notEqual(portOf(all, 'shop/a'), d);
  assert.equal(await greeting(d), 'refused');
  await all.reconcile([resource('a'), resource('b'), resource('d')]);
  assert.equal(portOf(all, 'shop/d'), d);
  await all.close();
  assert.equal(await greeting(b), 'refused');
});

test('a fixed address is kept to, by name or namespace and name', async () => {
  const zero = { host: '127.0.0.1', port: 0 };
  const all = listeners(
    new Map([
      ['a', zero],
      ['ops/b', zero],
    ]),
  );
  await all.reconcile([resource('a'), resource('b', 'ops')]);
  assert.equal(await greeting(portOf(all, 'ops/b') ?? 0), 'ops/b');
  await assert.rejects(all.reconcile([resource('a', 'ops'), resource('a')]), {
    name: 'StartError',
    message: /write NAMESPACE\/NAME=HOST:PORT/,
  });
  await all.close();
});

test('a port that is taken is a StartError', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as { port: number };
  await assert.rejects(listeners(new Map([['a', { host: '127.0.0.1', port }]])).reconcile([resource('a')]), { name: 'StartError' });
  taken.close();
});

test('in a pod: a squatted port is noticed, and taken when it is free; a resource that the pod was not made for has no listener (4.5)', async () => {
  const squatter = createServer().listen(0, '127.0.1.7');
  await new Promise((resolve) => squatter.once('listening', resolve));
  const { port } = squatter.address() as { port: number };
  const fixed = new Map([['shop/a', { host: '127.0.1.7', port }]]);
  const all = new Listeners({
    fixed,
    others: 'None',
    workload: { namespace: 'shop', serviceAccount: 'agent' },
    log: quiet,
    serve: async () => {},
  });
  assert.equal(all.ready, false);
  await assert.rejects(all.reconcile([resource('a'), resource('late')]), { name: 'StartError', message: /another process has this port/ });
  assert.equal(all.ready, false);
  await new Promise((resolve) => squatter.close(resolve));
  await all.reconcile([resource('a'), resource('late')]);
  assert.equal(all.ready, true);
  assert.deepEqual(all.missing, ['shop/late']);
  assert.deepEqual([...all.addresses.keys()], ['shop/a']);
  // What no policy lets the workload ask for was never meant for the pod.
  await all.reconcile([
    resource('a'),
    resource('strange', 'ops'),
    resource('new', 'ops', [{ subjects: [{ serviceAccount: { namespace: 'shop', name: 'agent' } }] }]),
  ]);
  assert.deepEqual(all.missing, ['ops/new']);
  await all.close();
});

test('addresses are read strictly', () => {
  assert.deepEqual(parseListen('shop/db=[::1]:6432'), { resource: 'shop/db', address: { host: '::1', port: 6432 } });
  assert.deepEqual(parseListen('db=0.0.0.0:0'), { resource: 'db', address: { host: '0.0.0.0', port: 0 } });
  for (const text of ['db', 'db=6432', 'db=:6432', 'db=h:99999', '=h:1', 'a/b/c=h:1', 'db=::1:6432', 'db=h:1 ']) {
    assert.throws(() => parseListen(text), { name: 'StartError' }, text);
  }
  assert.throws(() => parseListens(['a=h:1', 'a=h:2']), { name: 'StartError' });
  assert.deepEqual(parseWorkload('shop/agent'), { namespace: 'shop', serviceAccount: 'agent' });
  for (const text of ['agent', 'a/b/c', '/agent', 'shop/', 'Shop/agent']) assert.throws(() => parseWorkload(text), { name: 'StartError' });
});
