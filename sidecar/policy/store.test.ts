import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CAPABILITIES, type Snapshot, type SnapshotResource, type Source } from '#crds/policy/snapshot.ts';
import { createPolicyStore, type PolicyStoreOptions } from './store.ts';

const workload = { namespace: 'shop', serviceAccount: 'agent' };
const key = { namespace: 'shop', name: 'orders' };
const source = (generation: number, uid = 'u1'): Source => ({ kind: 'AccessPolicy', namespace: 'shop', name: 'agents', uid, generation });
const resource = (over: Partial<SnapshotResource> = {}): SnapshotResource => ({
  ...key,
  generation: 1,
  requiredCapabilities: ['http/1'],
  protocol: 'HTTP',
  address: { host: '127.0.0.1', port: 80 },
  aliases: [],
  tls: { mode: 'Disable' },
  agentToken: 'Ignore',
  http: {},
  recording: { results: 'None', sampleRows: 1, fsync: 'Never' },
  policies: [],
  masking: [],
  gates: [],
  ...over,
});
const snapshot = (over: Partial<Snapshot> = {}): Snapshot => ({
  schemaVersion: 1,
  workload,
  sources: [source(3)],
  resources: [resource()],
  ...over,
});
function setup(over: Partial<PolicyStoreOptions> = {}) {
  const clock = { nowMs: 1000 };
  const store = createPolicyStore({ workload, capabilities: CAPABILITIES, now: () => clock.nowMs, ...over });
  return { store, clock };
}

test('it starts with deny', () => {
  const { store } = setup();
  assert.equal(store.version, 'none');
  assert.equal(store.resource(key), null);
  assert.deepEqual([store.why(key).decision, store.why(key).code], ['Deny', 'NoSnapshot']);
});

test('publishing swaps and tells; the same content again does not', () => {
  const { store } = setup();
  let told = 0;
  const stop = store.onChange(() => told++);
  const first = store.publish(snapshot());
  assert.ok(first.ok && first.changed);
  assert.match(store.version, /^sha256:[0-9a-f]{64}$/);
  assert.equal(store.resource(key)?.resource.name, 'orders');
  assert.equal(store.resource({ namespace: 'shop', name: 'other' }), null);
  const again = store.publish(JSON.parse(JSON.stringify(snapshot())));
  assert.ok(again.ok && !again.changed);
  assert.equal(told, 1);
  stop();
  store.publish(snapshot({ sources: [source(4)] }));
  assert.equal(told, 1);
});

test('a listener that throws does not keep the others from being told', () => {
  const { store } = setup();
  let told = 0;
  store.onChange(() => {
    throw new Error('a session broke');
  });
  store.onChange(() => told++);
  assert.ok(store.publish(snapshot()).ok);
  assert.equal(told, 1);
});

const refused: readonly [string, unknown, string][] = [
  ['not an object', 'x', 'Malformed'],
  ['null', null, 'Malformed'],
  ['an unknown version', { ...snapshot(), schemaVersion: 2 }, 'Malformed'],
  ['an unknown member', { ...snapshot(), extra: 1 }, 'Malformed'],
  ['no sources', { ...snapshot(), sources: undefined }, 'Malformed'],
  ["another workload's", snapshot({ workload: { namespace: 'shop', serviceAccount: 'admin' } }), 'WrongWorkload'],
  ['an older generation', snapshot({ sources: [source(2)] }), 'OlderGeneration'],
];
for (const [name, value, code] of refused) {
  test(`refused, and the last good one stays: ${name}`, () => {
    const { store } = setup();
    store.publish(snapshot());
    const { version } = store;
    const result = store.publish(value);
    assert.equal(result.ok ? 'ok' : result.code, code);
    assert.equal(store.version, version);
    assert.notEqual(store.resource(key), null);
  });
}

test('a source that was gone in between does not come back older', () => {
  const { store } = setup();
  store.publish(snapshot());
  assert.ok(store.publish(snapshot({ sources: [] })).ok);
  const back = store.publish(snapshot({ sources: [source(2)] }));
  assert.equal(back.ok ? 'ok' : back.code, 'OlderGeneration');
  assert.ok(store.publish(snapshot({ sources: [source(1, 'u2')] })).ok, 'a new object of that name has a UID of its own');
});

test('a snapshot past its TTL denies until it is published again', () => {
  const { store, clock } = setup({ ttlMs: 500 });
  store.publish(snapshot());
  clock.nowMs += 500;
  assert.notEqual(store.resource(key), null);
  clock.nowMs += 1;
  assert.equal(store.resource(key), null);
  assert.equal(store.why(key).code, 'SnapshotStale');
  let told = 0;
  store.onChange(() => told++);
  store.publish(snapshot());
  assert.notEqual(store.resource(key), null);
  assert.equal(told, 1);
  store.close();
});

test('when the TTL passes, live sessions are told', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { store } = setup({ ttlMs: 500 });
  store.publish(snapshot());
  let told = 0;
  store.onChange(() => told++);
  t.mock.timers.tick(501);
  assert.equal(told, 1);
  store.close();
});

test('a resource whose capability is missing denies, the others work', () => {
  const { store } = setup();
  const odd = resource({ name: 'odd', requiredCapabilities: ['http/1', 'quantum/1'] });
  const result = store.publish(snapshot({ resources: [odd, resource()] }));
  assert.ok(result.ok);
  assert.match(result.problems[0] ?? '', /quantum\/1/);
  assert.equal(store.resource(odd), null);
  assert.equal(store.why(odd).code, 'MissingCapability');
  assert.notEqual(store.resource(key), null);
});

test('a confirmed version lives on, and comes back from the dead; another one does not', () => {
  const { store, clock } = setup({ ttlMs: 1000 });
  assert.equal(store.confirm('none'), false);
  store.publish(snapshot());
  const { version } = store;
  let told = 0;
  store.onChange(() => told++);
  clock.nowMs += 900;
  assert.equal(store.confirm(version), true);
  clock.nowMs += 900;
  assert.equal(store.stale, false);
  assert.equal(told, 0);
  assert.equal(store.confirm(version.replace(/.$/, 'x')), false);
  clock.nowMs += 200;
  assert.equal(store.resource(key), null);
  assert.equal(store.why(key).code, 'SnapshotStale');
  assert.equal(store.confirm(version), true);
  assert.equal(store.resource(key)?.resource.name, 'orders');
  assert.equal(told, 1);
  store.close();
});
