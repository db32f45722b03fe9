import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import { readSocketAddress } from './original-destination.ts';
import { TargetTable } from './targets.ts';

const resource = (name: string, host: string, port: number, aliases: SnapshotResource['aliases'] = []) =>
  ({ namespace: 'shop', name, address: { host, port }, aliases, policies: [] }) as unknown as SnapshotResource;

function tableOf(resources: readonly SnapshotResource[], dns: Record<string, string[]>) {
  const state = { nowMs: 0, resources, dns };
  const addresses = (host: string, namespace: string) => {
    const found = state.dns[`${namespace}/${host}`];
    return found === undefined ? Promise.reject(new Error('no such name')) : Promise.resolve(found);
  };
  const table = new TargetTable({ resources: () => state.resources, addresses, now: () => state.nowMs });
  const named = async (ip: string, port: number) => {
    const found = await table.find({ ip, port });
    return found.type === 'resource' ? found.resource.name : found.type;
  };
  return { state, table, named };
}

test('by address and port: names of several addresses, plain addresses, aliases', async () => {
  const { table, named } = tableOf(
    [
      resource('orders', 'orders', 5432, [{ host: 'old', port: 6000 }]),
      resource('replica', 'orders', 5433),
      resource('fixed', 'fd00:0::9', 80),
    ],
    { 'shop/orders': ['10.0.0.1', 'fd00:0:0::1'], 'shop/old': ['10.0.0.7'] },
  );
  assert.equal(await named('10.0.0.1', 5432), 'orders');
  assert.equal(await named('fd00::1', 5432), 'orders');
  assert.equal(await named('10.0.0.1', 5433), 'replica');
  assert.equal(await named('10.0.0.7', 6000), 'orders');
  assert.equal(await named('fd00::9', 80), 'fixed');
  for (const [ip, port] of [
    ['10.0.0.1', 22],
    ['10.0.0.2', 5432],
    ['10.0.0.7', 5432],
    ['fd00::9', 81],
  ] as const)
    assert.equal(await named(ip, port), 'none');
  table.close();
});

test('two resources at one address and port: neither, as nobody could say which was meant', async () => {
  const { table, named } = tableOf([resource('a', 'a', 443), resource('b', 'b', 443)], {
    'shop/a': ['10.0.0.1', '10.0.0.2'],
    'shop/b': ['10.0.0.2'],
  });
  assert.equal(await named('10.0.0.1', 443), 'a');
  assert.equal(await named('10.0.0.2', 443), 'ambiguous');
  table.close();
});

test('a target that moved is found at once; the old address is remembered for ten minutes, and forgotten with its resource', async () => {
  const { state, table, named } = tableOf([resource('orders', 'orders', 5432)], { 'shop/orders': ['10.0.0.1'] });
  assert.equal(await named('10.0.0.1', 5432), 'orders');
  state.dns = { 'shop/orders': ['10.0.0.2'] };
  assert.equal(await named('10.0.0.2', 5432), 'orders');
  state.nowMs = 9 * 60_000;
  assert.equal(await named('10.0.0.1', 5432), 'orders');
  state.nowMs = 11 * 60_000;
  assert.equal(await named('10.0.0.1', 5432), 'none');
  state.dns = {};
  assert.equal(await named('10.0.0.2', 5432), 'orders');
  state.resources = [];
  assert.equal(await named('10.0.0.2', 5432), 'none');
  table.close();
});

test("the kernel's socket addresses, and nothing else", () => {
  const v4 = Buffer.from('02001538c0000201', 'hex');
  const v6 = Buffer.from('0a000009000000002001 0db8 0000 0000 0000 0000 0000 0001 00000000'.replaceAll(' ', ''), 'hex');
  assert.deepEqual(readSocketAddress(v4), { ip: '192.0.2.1', port: 5432 });
  assert.deepEqual(readSocketAddress(v6), { ip: '2001:db8::1', port: 9 });
  for (const bad of [Buffer.alloc(0), v4.subarray(0, 7), v6.subarray(0, 20), Buffer.from('0100000000000000', 'hex')])
    assert.equal(readSocketAddress(bad), null);
});

test('what no policy lets the workload ask for does not stand in the way of what one does', async () => {
  const own = { ...resource('own', '10.0.0.1', 80), policies: [{}] } as unknown as SnapshotResource;
  const strange = resource('strange', '10.0.0.1', 80);
  assert.equal(await tableOf([strange, own], {}).named('10.0.0.1', 80), 'own');
  assert.equal(await tableOf([own, strange, own], {}).named('10.0.0.1', 80), 'ambiguous');
  assert.equal(await tableOf([strange, strange], {}).named('10.0.0.1', 80), 'ambiguous');
  assert.equal(await tableOf([strange], {}).named('10.0.0.1', 80), 'strange');
});
