import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, before, test } from 'node:test';
import { candidates, isRefused, NameService } from './names.ts';
import { startResolver } from './testing.ts';

const own = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
const world = new Map<string, readonly string[] | 'fail'>([
  ['orders.shop.svc.cluster.local', ['10.96.1.2', 'fd77::2']],
  ['orders.evil.svc.cluster.local', ['10.66.6.6']],
  ['api.example.com', ['192.0.2.7']],
  ['rebind.example.com', ['127.0.0.1', '::1', '169.254.169.254', 'fe80::1']],
  ['mixed.example.com', ['127.0.0.1', '192.0.2.8']],
  ['six.example.com', ['fd77::6']],
  ['broken.shop.svc.cluster.local', 'fail'],
  ['broken', ['192.0.2.9']],
  ...(own === undefined ? [] : [['self.example.com', [own]] as const]),
]);
let resolver: Awaited<ReturnType<typeof startResolver>>;
let nowMs = 0;
let names: NameService;
before(async () => {
  resolver = await startResolver(world);
  names = new NameService({ servers: [resolver.server], clusterDomain: 'cluster.local', now: () => nowMs });
});
after(() => resolver.close());

test("a short name is a Service of the resource's namespace, whatever the pod's own has", async () => {
  assert.deepEqual(await names.addresses('orders', 'shop'), ['10.96.1.2', 'fd77::2']);
  assert.deepEqual(await names.addresses('orders.shop.svc', 'ops'), ['10.96.1.2', 'fd77::2']);
  assert.deepEqual(await names.addresses('api.example.com', 'shop'), ['192.0.2.7']);
  assert.deepEqual(await names.addresses('six.example.com', 'shop'), ['fd77::6']);
});

test('a name that leads to loopback, to the node or to the pod itself leads nowhere (4.1, DNS rebinding)', async () => {
  await assert.rejects(names.addresses('rebind.example.com', 'shop'), { code: 'unreachable', message: /where no target can be/ });
  assert.deepEqual(await names.addresses('mixed.example.com', 'shop'), ['192.0.2.8']);
  if (own !== undefined) await assert.rejects(names.addresses('self.example.com', 'shop'), { code: 'unreachable' });
  for (const ip of [
    '127.0.0.1',
    '::1',
    '0.0.0.0',
    '::',
    '::ffff:127.0.0.1',
    '169.254.169.254',
    'fe80::1',
    '224.0.0.1',
    '255.255.255.255',
  ]) {
    assert.equal(isRefused(ip), true, ip);
    await assert.rejects(names.addresses(ip, 'shop'), { code: 'unreachable' });
  }
  for (const ip of ['10.0.0.1', '192.0.2.1', 'fd00::1', '::ffff:10.0.0.1']) assert.equal(isRefused(ip), false, ip);
});

test('/etc/hosts is not asked', async () => {
  await assert.rejects(names.addresses('localhost', 'shop'), { code: 'unreachable' });
});

test('a resolver that can not say is not taken for one that says no: the next name may be somebody else', async () => {
  await assert.rejects(names.addresses('broken', 'shop'), { code: 'unreachable', message: /can't be looked up: ESERVFAIL/ });
});

test('an answer is kept for a few seconds, a failure is not', async () => {
  world.set('late.example.com', 'fail');
  await assert.rejects(names.addresses('late.example.com', 'shop'));
  world.set('late.example.com', ['192.0.2.20']);
  assert.deepEqual(await names.addresses('late.example.com', 'shop'), ['192.0.2.20']);
  world.set('late.example.com', ['192.0.2.21']);
  const before = resolver.asked.length;
  assert.deepEqual(await names.addresses('late.example.com', 'shop'), ['192.0.2.20']);
  assert.equal(resolver.asked.length, before);
  nowMs += 5_001;
  assert.deepEqual(await names.addresses('late.example.com', 'shop'), ['192.0.2.21']);
});

test("a socket dials by it, with and without Node's choice among families", async () => {
  const { lookup } = names.for('shop');
  for (const autoSelectFamily of [true, false]) {
    const seen = await new Promise((resolve) => {
      const socket = connect({ host: 'rebind.example.com', port: 9, lookup, autoSelectFamily });
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
    });
    assert.equal(seen, 'ENOTFOUND');
  }
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const found = await new Promise((resolve) => {
    const socket = connect({
      host: 'api.example.com',
      port,
      lookup: (host, options, done) => lookup(host, options, (error, address, family) => (resolve(address), done(error, address, family))),
    });
    socket.on('error', () => {}).destroy();
  });
  assert.deepEqual(found, [{ address: '192.0.2.7', family: 4 }]);
  server.close();
});

test('names in the order that they are asked for', () => {
  const of = (host: string) => candidates(host, 'shop', 'cluster.local');
  assert.deepEqual(of('db'), ['db.shop.svc.cluster.local.', 'db.']);
  assert.deepEqual(of('db.ops'), ['db.ops.svc.cluster.local.', 'db.ops.']);
  assert.deepEqual(of('db.ops.svc'), ['db.ops.svc.cluster.local.', 'db.ops.svc.']);
  assert.deepEqual(of('db.ops.svc.cluster.local'), ['db.ops.svc.cluster.local.']);
  assert.deepEqual(of('API.example.com'), ['api.example.com.', 'api.example.com.svc.cluster.local.']);
  assert.deepEqual(of('api.example.com.'), ['api.example.com.']);
});
