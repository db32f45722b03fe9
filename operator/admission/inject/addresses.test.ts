import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressesFor, isInjectedAddress, namesOf } from './addresses.ts';
import { quantity } from './quantities.ts';

test('the names of a host, as the pod may look it up', () => {
  const full = ['db.shop.svc.cluster.local', 'db.shop.svc', 'db.shop'];
  for (const host of ['db', 'db.shop', 'db.shop.svc', 'DB.shop.svc.cluster.local.']) {
    assert.deepEqual(namesOf(host, 'shop', 'ops', 'cluster.local'), full, host);
    assert.deepEqual(namesOf(host, 'shop', 'shop', 'cluster.local'), [...full, 'db'], host);
  }
  assert.deepEqual(namesOf('api.example.com', 'shop', 'shop', 'cluster.local'), ['api.example.com']);
  for (const host of ['10.1.2.3', 'fd00::1']) assert.deepEqual(namesOf(host, 'shop', 'shop', 'cluster.local'), []);
});

test('many hosts have an address each, and all are known again', () => {
  const resources = Array.from({ length: 600 }, (_, i) => ({
    namespace: 'shop',
    name: `r${i}`,
    address: { host: `h${i}.example.com`, port: 5432 },
  }));
  const { listens, hostAliases } = addressesFor(resources, 'shop', 'cluster.local');
  assert.equal(new Set(listens.map(({ host }) => host)).size, 600);
  assert.equal(hostAliases.length, 600);
  assert.ok(listens.every(({ host }) => isInjectedAddress(host)));
  for (const ip of ['127.0.0.1', '10.0.1.1', '127.1.0.1']) assert.equal(isInjectedAddress(ip), false);
});

test("a resource on a port of the sidecar's own keeps no pod from its start", () => {
  const at = (port: number) => ({ namespace: 'shop', name: `r${port}`, address: { host: 'api.example.com', port } });
  const { listens, warnings } = addressesFor([at(15020), at(443), at(15001)], 'shop', 'cluster.local');
  assert.deepEqual(
    listens.map(({ key }) => key),
    ['shop/r443'],
  );
  assert.match(warnings.join(), /shop\/r15001 has no address.*15001.*shop\/r15020 has no address/);
});

test('quantities', () => {
  const cases = {
    '100m': 0.1,
    '1': 1,
    '0.5': 0.5,
    '256Mi': 268_435_456,
    '1Gi': 1_073_741_824,
    '5k': 5000,
    '1e3': null,
    '': null,
    '-1': null,
    '1mi': null,
  };
  for (const [text, value] of Object.entries(cases)) assert.equal(quantity(text), value, text);
});
