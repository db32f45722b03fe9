import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CompileObject, World } from './compile.ts';
import { compileWorkload, worldOf } from './compile.ts';
import { conditionsOf } from './conditions.ts';
import { externalHostsOf, isExternalHost, isTakenEverywhere, type Namespaces, serviceNamespaceOf } from './hosts.ts';

const OLD = '2026-01-01T00:00:00Z';
const NEW = '2026-06-01T00:00:00Z';
const namespaces = (externalHosts: readonly string[] = []): Namespaces =>
  new Map([
    ['team', { createdAt: OLD, externalHosts }],
    ['shop', { createdAt: OLD, externalHosts: [] }],
    ['later', { createdAt: NEW, externalHosts: [] }],
  ]);
const TEAM = { namespace: 'team', createdAt: '2026-03-01T00:00:00Z' };

test('names are read as they are looked up', () => {
  const read = (host: string) => serviceNamespaceOf(host, 'team');
  assert.deepEqual(['db', 'db.shop', 'DB.shop.svc', 'a.b.svc.cluster.local.', 'pod-0.db.shop.svc'].map(read), [
    'team',
    'shop',
    'shop',
    'b',
    'shop',
  ]);
  assert.deepEqual(['db.svc', 'fd00::1', '10.0.0.1', 'api.example.com'].map(read), [null, null, null, null]);
});

test('what an admin gives: names, all below a name, addresses; and nothing by accident', () => {
  const given = externalHostsOf(' db.corp.example,*.Given.example\n10.1.2.3  fd00::7');
  assert.deepEqual(given, ['db.corp.example', '*.given.example', '10.1.2.3', 'fd00::7']);
  for (const host of ['db.corp.example', 'DB.corp.example.', 'a.given.example', 'a.b.given.example', '10.1.2.3', 'fd00::7'])
    assert.equal(isExternalHost(host, given), true, host);
  for (const host of ['given.example', 'xgiven.example', '.given.example', 'a.db.corp.example', '10.1.2.30', 'given.example.com'])
    assert.equal(isExternalHost(host, given), false, host);
  assert.deepEqual([externalHostsOf(undefined), externalHostsOf(' ,')], [[], []]);
  assert.equal(isExternalHost('10.0.0.1', externalHostsOf('*.0.0.1')), false);
  assert.equal(isExternalHost('10.0.0.1', ['*']), true);
});

test('everywhere are the own Services, those of a namespace that was there at the claim, and what was given', () => {
  const is = (host: string, given: readonly string[] = []) => isTakenEverywhere(host, TEAM, namespaces(given));
  for (const host of ['db', 'db.team', 'db.team.svc', 'db.shop', 'db.shop.svc.cluster.local']) assert.equal(is(host), true, host);
  for (const host of ['api.example.com', 'example.com', '10.0.0.1', 'fd00::1', 'db.svc', 'db.nowhere', 'db.nowhere.svc']) {
    assert.equal(is(host), false, host);
    assert.equal(is(host, [host]), true, host);
  }
  assert.equal(is('db.later'), false, 'claimed of nobody');
  assert.equal(is('db.later', ['*']), false, "what is outside was given, and not another's Service");
  assert.equal(isTakenEverywhere('db.later', { ...TEAM, createdAt: NEW }, namespaces()), true);
  assert.equal(isTakenEverywhere('db.shop', { namespace: 'team' }, namespaces()), false, 'an age that is not known');
  assert.equal(isTakenEverywhere('api.example.com', TEAM, null), true, 'a folder has one author');
  assert.equal(isTakenEverywhere('api.example.com', { ...TEAM, namespace: 'unknown' }, namespaces(['*'])), false);
});

const resource = (namespace: string, host: string, aliases: readonly string[] = []) =>
  ({
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'ProtectedResource',
    metadata: { namespace, name: 'api', uid: 'u1', generation: 1, createdAt: TEAM.createdAt },
    spec: {
      protocol: 'HTTP',
      address: { host, port: 443 },
      aliases: aliases.map((alias) => ({ host: alias, port: 443 })),
      tls: { mode: 'VerifyFull' },
      agentToken: 'Ignore',
      recording: { results: 'None', sampleRows: 1, fsync: 'Never' },
    },
  }) as unknown as CompileObject;

const placesOf = (world: World, namespace: string) =>
  compileWorkload(world, { namespace, serviceAccount: 'agent' }).resources.map(({ address, aliases }) =>
    [address, ...aliases].map(({ host }) => host).join(),
  );

test('the snapshot of another namespace has only the places that are everywhere, and names no source of the others', () => {
  const outside = (given: readonly string[]) =>
    worldOf([resource('team', 'api.example.com', ['db', 'old.example.com'])], [], namespaces(given));
  assert.deepEqual(placesOf(outside([]), 'team'), ['api.example.com,db,old.example.com']);
  assert.deepEqual(placesOf(outside([]), 'shop'), []);
  assert.deepEqual(compileWorkload(outside([]), { namespace: 'shop', serviceAccount: 'agent' }).sources, []);
  assert.deepEqual(placesOf(outside(['api.example.com']), 'shop'), ['api.example.com,db']);
  assert.deepEqual(placesOf(outside(['*.example.com']), 'shop'), ['api.example.com,db,old.example.com']);
  assert.deepEqual(placesOf(worldOf([resource('team', 'api.example.com')]), 'shop'), ['api.example.com']);

  const broken = {
    kind: 'ProtectedResource',
    namespace: 'team',
    name: 'api',
    uid: 'u',
    generation: 1,
    createdAt: NEW,
    problems: ['x'],
  } as const;
  const spoiled = (host: string) => worldOf([], [{ ...broken, spec: { address: { host, port: 443 } } }], namespaces());
  assert.deepEqual(placesOf(spoiled('api.example.com'), 'shop'), []);
  assert.deepEqual(placesOf(spoiled('api.example.com'), 'team'), ['api.example.com']);
  assert.deepEqual(placesOf(spoiled('db.team.svc'), 'shop'), ['db.team.svc']);
});

test('its status says so', () => {
  const said = (given: readonly string[]) => {
    const object = resource('team', 'db', ['api.example.com']);
    const [accepted] = conditionsOf(object, worldOf([object], [], namespaces(given))).conditions;
    return `${accepted?.status} ${accepted?.reason}: ${accepted?.message}`;
  };
  assert.equal(
    said([]),
    'True OwnNamespaceOnly: The spec is valid. Only pods of team have api.example.com: the namespace has no annotation chaperone.dev/external-hosts for it.',
  );
  assert.equal(said(['*']), 'True Accepted: The spec is valid.');
});
