import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadSnapshot } from '#crds/policy/load.ts';
import { CAPABILITIES } from '#crds/policy/snapshot.ts';
import type { Kind } from '#crds/v1alpha1/kinds.ts';
import { validateManifest } from '#crds/v1alpha1/validate.ts';
import { type BrokenObject, type CompileObject, compileWorkload, worldOf } from './compile.ts';

const WORKLOAD = { namespace: 'shop', serviceAccount: 'agent' };

function valid(kind: Kind, name: string, spec: object, namespace = 'shop'): CompileObject {
  const checked = validateManifest({ apiVersion: 'chaperone.dev/v1alpha1', kind, metadata: { name, namespace }, spec });
  assert.ok(checked.ok, JSON.stringify(checked));
  return { ...checked.object, metadata: { ...checked.object.metadata, uid: `${kind}-${name}`, generation: 1 } };
}

function broken(kind: Kind, spec: unknown, namespace = 'shop'): BrokenObject {
  return { kind, namespace, name: 'bad', uid: 'uid-bad', generation: 7, spec, problems: ['no'] };
}

const http = { protocol: 'HTTP', address: { host: 'api.shop', port: 80 }, tls: { mode: 'Disable' } };
const agent = { serviceAccount: { namespace: 'shop', name: 'agent' } };
const OBJECTS = [
  valid('ProtectedResource', 'api', http),
  valid('ProtectedResource', 'other', http),
  valid('AccessPolicy', 'read', {
    targetRefs: [{ name: 'api' }, { name: 'other' }],
    subjects: [agent],
    rules: [{ name: 'all', action: 'Allow' }],
  }),
];

/** Names of the resources that deny although a policy allows, when the object is there too. */
function denied(...objects: readonly BrokenObject[]): readonly string[] {
  const snapshot = compileWorkload(worldOf(OBJECTS, objects), WORKLOAD);
  const loaded = loadSnapshot(JSON.parse(JSON.stringify(snapshot)), CAPABILITIES);
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const keys = snapshot.resources.map(({ namespace, name }) => `${namespace}/${name}`);
  assert.deepEqual(keys, [...keys].sort());
  return snapshot.resources
    .filter(({ requiredCapabilities }) => requiredCapabilities.some((one) => one.startsWith('unresolved/')))
    .map(({ name }) => name);
}

test('without broken objects nothing is denied by them', () => assert.deepEqual(denied(), []));

test('a broken policy denies its targets; where they cannot be read, the whole namespace; never another one', () => {
  const rules = [{ name: 'x', action: 'Deny' }];
  assert.deepEqual(denied(broken('AccessPolicy', { targetRefs: [{ name: 'api' }], rules })), ['api']);
  for (const targetRefs of [undefined, [], 'api', [{}], [{ name: 7 }]])
    assert.deepEqual(denied(broken('AccessPolicy', { targetRefs, rules })), ['api', 'other'], JSON.stringify(targetRefs));
  for (const spec of [undefined, null, 'x', [], {}]) assert.deepEqual(denied(broken('AccessPolicy', spec)), ['api', 'other']);
  assert.deepEqual(denied(broken('AccessPolicy', undefined, 'elsewhere')), []);
});

test('a broken policy that only allows, only audits, or is about others is left out', () => {
  const rules = [{ name: 'x', action: 'Allow' }];
  assert.deepEqual(denied(broken('AccessPolicy', { rules })), []);
  for (const more of [{ limits: { maxRows: 1 } }, { ruleSets: ['readOnly'] }, { minimumAssurance: 'A' }])
    assert.deepEqual(denied(broken('AccessPolicy', { rules, ...more })), ['api', 'other']);
  assert.deepEqual(denied(broken('AccessPolicy', { rules: [...rules, { action: 'Alow' }] })), ['api', 'other']);
  assert.deepEqual(denied(broken('AccessPolicy', { mode: 'Audit', rules: [] })), []);
  const about = (subjects: unknown) => denied(broken('AccessPolicy', { subjects, rules: [] }));
  assert.deepEqual(about([{ serviceAccount: { namespace: 'shop', name: 'another' } }]), []);
  assert.deepEqual(about([{ serviceAccount: { namespace: 'shop', name: 'another' } }, { group: 'x' }]), ['api', 'other']);
  assert.deepEqual(about([agent]), ['api', 'other']);
  assert.deepEqual(about([]), ['api', 'other']);
});

test('a broken masking rule denies its targets', () => {
  assert.deepEqual(denied(broken('MaskingRule', { targetRefs: [{ name: 'other' }] })), ['other']);
  assert.deepEqual(denied(broken('MaskingRule', null)), ['api', 'other']);
});

test('a broken target denies itself and keeps its address', () => {
  const spec = {
    protocol: 'SSH',
    address: { host: 'db.shop', port: 22 },
    aliases: [
      { host: '10.0.0.1', port: 22 },
      { host: '', port: 1 },
      { host: 'x', port: 0 },
    ],
  };
  assert.deepEqual(denied(broken('ProtectedResource', spec)), ['bad']);
  const find = (given: unknown) =>
    compileWorkload(worldOf(OBJECTS, [broken('ProtectedResource', given)]), WORKLOAD).resources.find(({ name }) => name === 'bad');
  assert.deepEqual(find(spec)?.address, { host: 'db.shop', port: 22 });
  assert.deepEqual(find(spec)?.aliases, [{ host: '10.0.0.1', port: 22 }]);
  assert.equal(find(undefined)?.address.host, 'unreadable.invalid');
});

test('what denied is among the sources, with its generation, so that a mended one is told apart', () => {
  const { sources } = compileWorkload(
    worldOf(OBJECTS, [broken('AccessPolicy', {}), broken('MaskingRule', {}), broken('ProtectedResource', {})]),
    WORKLOAD,
  );
  assert.deepEqual(
    sources.filter(({ name }) => name === 'bad').map(({ kind, generation }) => [kind, generation]),
    [
      ['AccessPolicy', 7],
      ['MaskingRule', 7],
      ['ProtectedResource', 7],
    ],
  );
});
