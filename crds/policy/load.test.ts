import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { actionOf, principalsOf, resourceOf, snapshotOf } from '../testdata/decisions/case.ts';
import { canonicalJson } from './json.ts';
import { loadSnapshot, readSnapshot, snapshotVersion } from './load.ts';
import type { Snapshot, SnapshotResource } from './snapshot.ts';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const sound = resourceOf({
  gates: ['dba'],
  policies: {
    p: {
      windows: [{ days: ['Mon'], start: '08:00', end: '18:00' }],
      limits: { maxRows: 5 },
      rules: [
        { name: 'read', action: 'Allow', sql: { statements: ['Select'], relations: ['public.*'] }, gates: [] },
        { name: 'ask', action: 'RequireApproval', http: { paths: ['/v1/**'] }, when: "action.method == 'GET'", gates: ['dba'] },
      ],
    },
  },
  masking: {
    m: {
      columns: [{ column: 'public.customers.email', strategy: { type: 'Partial', keepStart: 1, keepEnd: 0 } }],
      detectors: [{ type: 'Custom', name: 'order', pattern: 'ORD-[0-9]{6}', strategy: { type: 'Redact' } }],
    },
  },
});

/** The sound snapshot with one value put somewhere inside of its resource. */
function spoiled(path: readonly (string | number)[], value: unknown): unknown {
  const copy = JSON.parse(JSON.stringify(snapshotOf(sound)));
  let at = copy.resources[0];
  for (const step of path.slice(0, -1)) at = at[step];
  const last = path.at(-1) as string | number;
  if (value === undefined) delete at[last];
  else at[last] = value;
  return copy;
}

test('a sound snapshot is taken, after JSON too', () => {
  const loaded = loadSnapshot(JSON.parse(JSON.stringify(snapshotOf(sound))), []);
  assert.ok(loaded.ok, JSON.stringify(loaded));
  assert.deepEqual(loaded.problems, []);
  assert.equal(loaded.policies.all.length, 1);
  assert.ok(loaded.policies.get({ namespace: 'shop', name: 'orders-db' }));
  assert.equal(loaded.policies.get({ namespace: 'shop', name: 'constructor' }), undefined);
});

const REFUSED: readonly (readonly [string, readonly (string | number)[], unknown, RegExp])[] = [
  ['an unknown member of a resource', ['extra'], 1, /additional properties/],
  ['an unknown member of a rule', ['policies', 0, 'rules', 0, 'unless'], 'x', /additional properties/],
  ['an unknown member of a match', ['policies', 0, 'rules', 0, 'sql', 'columns'], ['a'], /additional properties/],
  ['an unknown action', ['policies', 0, 'rules', 0, 'action'], 'Permit', /rules\/0\/action/],
  ['an unknown mode', ['policies', 0, 'mode'], 'Warn', /mode/],
  ['an unknown statement kind', ['policies', 0, 'rules', 0, 'sql', 'statements'], ['Selekt'], /statements\/0/],
  ['an empty list of kinds', ['policies', 0, 'rules', 0, 'sql', 'statements'], [], /statements/],
  ['a relation without a schema', ['policies', 0, 'rules', 0, 'sql', 'relations'], ['orders'], /relations\/0/],
  ['a relation of three parts', ['policies', 0, 'rules', 0, 'sql', 'relations'], ['a.b.c'], /relations\/0/],
  ['a column of two parts', ['masking', 0, 'columns', 0, 'column'], 'customers.email', /column/],
  ['an unknown strategy', ['masking', 0, 'columns', 0, 'strategy'], { type: 'Shuffle' }, /strategy/],
  ['a Partial that keeps a negative number', ['masking', 0, 'columns', 0, 'strategy', 'keepStart'], -1, /strategy/],
  ['a custom detector without a pattern', ['masking', 0, 'detectors', 0, 'pattern'], undefined, /not an RE2/],
  ['a custom detector that is not RE2', ['masking', 0, 'detectors', 0, 'pattern'], '(?=x)', /not an RE2/],
  ['a pattern on a detector that has its own', ['masking', 0, 'detectors', 0, 'type'], 'Card', /only for type Custom/],
  ['a rule about SQL and HTTP', ['policies', 0, 'rules', 0, 'http'], {}, /SQL and HTTP/],
  ['gates on a rule that allows', ['policies', 0, 'rules', 0, 'gates'], ['dba'], /only for RequireApproval/],
  ['a window that starts when it ends', ['policies', 0, 'windows', 0, 'end'], '08:00', /starts when it ends/],
  ['a window at an hour that does not exist', ['policies', 0, 'windows', 0, 'end'], '25:00', /end/],
  ['a subject with no member', ['policies', 0, 'subjects', 0], {}, /means nobody/],
  ['a subject that is workload and user', ['policies', 0, 'subjects', 0, 'user'], 'alice', /means nobody/],
  ['a resource without recording', ['recording'], undefined, /recording/],
  ['a port that is none', ['address', 'port'], 0, /port/],
];
for (const [title, path, value, message] of REFUSED)
  test(`refused: ${title}`, () => {
    const loaded = loadSnapshot(spoiled(path, value), []);
    assert.equal(loaded.ok, false);
    assert.match(loaded.problems.map((problem) => problem.message).join('\n'), message);
    assert.deepEqual(loaded.problems[0]?.resource, { namespace: 'shop', name: 'orders-db' });
  });

test('refused: a schemaVersion that is not ours, and a head with unknown members', () => {
  const whole = snapshotOf(sound) as Snapshot;
  for (const wrong of [null, 1, 'x', [], {}, { ...whole, schemaVersion: 2 }, { ...whole, schemaVersion: '1' }, { ...whole, extra: 1 }]) {
    assert.equal(loadSnapshot(wrong, []).ok, false, JSON.stringify(wrong)?.slice(0, 40));
    assert.equal(readSnapshot(wrong).ok, false);
  }
  assert.equal(loadSnapshot({ ...whole, resources: [sound, sound] }, []).ok, false, 'twice the same resource');
});

test('a resource that asks for a capability that is missing denies, and does not stop the others', () => {
  const newer = {
    ...sound,
    name: 'newer-db',
    requiredCapabilities: ['postgresql/2'],
    protocol: 'Quantum',
    policies: [{ unheardOf: true }],
  };
  const open: SnapshotResource = resourceOf({ policies: { p: { rules: [{ name: 'all', action: 'Allow', gates: [] }] } } });
  const loaded = loadSnapshot({ ...(snapshotOf(open) as object), resources: [newer, open] }, ['postgresql/1']);
  assert.ok(loaded.ok, JSON.stringify(loaded));
  assert.deepEqual(
    loaded.problems.map(({ resource }) => resource?.name),
    ['newer-db'],
  );
  const input = { principals: principalsOf(), action: actionOf({ sql: [{ kind: 'Select' }] }), nowMs: 0 };
  assert.equal(loaded.policies.get(open)?.judge(input).decision, 'Allow');
  const denying = loaded.policies.get({ namespace: 'shop', name: 'newer-db' });
  assert.equal(denying?.judge(input).code, 'MissingCapability');
  assert.deepEqual(denying?.masking(input.principals).column('any', 'thing', 'at all')?.strategy, { type: 'Null' });
});

test('says whether names matter', () => {
  const matters = (rule: object) => {
    const resource = resourceOf({ policies: { p: { rules: [{ name: 'r', action: 'Allow', gates: [], ...rule }] } } });
    const loaded = loadSnapshot(snapshotOf(resource), []);
    assert.ok(loaded.ok);
    return loaded.policies.all[0]?.namesMatter;
  };
  assert.equal(matters({}), false);
  assert.equal(matters({ sql: { statements: ['Select'], missingWhere: true } }), false);
  assert.equal(matters({ sql: { access: 'Read' } }), true);
  assert.equal(matters({ sql: { relations: ['a.b'] } }), true);
  assert.equal(matters({ sql: { functions: ['a.b'] } }), true);
  assert.equal(matters({ when: "action.statements.exists(s, 'a.b' in s.reached)" }), true);
});

test('masks have the same key exactly where they are the same', () => {
  const masking = { m: { exemptSubjects: [{ group: 'sre' }], columns: [{ column: 'a.b.c', strategy: { type: 'Redact' as const } }] } };
  const loaded = loadSnapshot(snapshotOf(resourceOf({ masking })), []);
  assert.ok(loaded.ok);
  const key = (...who: string[]) => loaded.policies.all[0]?.masking(principalsOf(who)).key;
  assert.equal(key('workload'), key('workload', 'bob'));
  assert.notEqual(key('workload'), key('workload', 'alice'));
  const stricter = { m: { ...masking.m, columns: [{ column: 'a.b.c', strategy: { type: 'Null' as const } }] } };
  const changed = loadSnapshot(snapshotOf(resourceOf({ masking: stricter })), []);
  assert.ok(changed.ok);
  assert.notEqual(changed.policies.all[0]?.masking(principalsOf(['workload'])).key, key('workload'));
});

test('the version is the hash of the canonical JSON, whatever the order of members', () => {
  const snapshot = snapshotOf(sound) as Snapshot;
  const { resources, ...rest } = snapshot;
  const version = snapshotVersion(snapshot, sha256);
  assert.match(version, /^sha256:[0-9a-f]{64}$/);
  assert.equal(snapshotVersion({ resources, ...rest }, sha256), version);
  assert.notEqual(snapshotVersion({ ...snapshot, workload: { namespace: 'shop', serviceAccount: 'other' } }, sha256), version);
});

test('canonical JSON says the same as JSON, with sorted members', () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => assert.deepEqual(JSON.parse(canonicalJson(value)), JSON.parse(JSON.stringify(value)))));
  assert.equal(canonicalJson({ b: 1, a: [{ d: undefined, c: null }] }), '{"a":[{"c":null}],"b":1}');
});

test('never throws, whatever the JSON', () => {
  fc.assert(
    fc.property(
      fc.jsonValue(),
      fc.constantFrom('policies', 'masking', 'gates', 'address', 'requiredCapabilities', 'name'),
      (value, member) => {
        loadSnapshot(value, []);
        loadSnapshot(spoiled([member], value), []);
      },
    ),
  );
});
