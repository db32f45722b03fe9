import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseAllDocuments } from 'yaml';
import { loadSnapshot } from '#crds/policy/load.ts';
import { CAPABILITIES } from '#crds/policy/snapshot.ts';
import { validateManifest } from '#crds/v1alpha1/validate.ts';
import { type CompileObject, compile, compileWorkload, worldOf } from './compile.ts';

const GOLDEN = new URL('./testdata/quickstart.json', import.meta.url);
const QUICKSTART = new URL('../../examples/quickstart/', import.meta.url);
const agent = { namespace: 'shop', serviceAccount: 'agent' };

function objectsOf(text: string): CompileObject[] {
  return parseAllDocuments(text).map((document) => {
    const checked = validateManifest(document.toJS());
    assert.ok(checked.ok, JSON.stringify(checked));
    const { kind, metadata } = checked.object;
    return { ...checked.object, metadata: { ...metadata, uid: `uid-of-${kind}-${metadata.name}`, generation: 1 } };
  });
}
const quickstart = readdirSync(QUICKSTART)
  .filter((name) => name.endsWith('.yaml'))
  .flatMap((name) => objectsOf(readFileSync(new URL(name, QUICKSTART), 'utf8')));

const RESOURCE = `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: db, namespace: shop}
spec:
  protocol: PostgreSQL
  address: {host: db.shop, port: 5432}
  tls: {caSecretRef: {name: db-ca}}
  postgresql: {database: shop, users: [{name: app, secretRef: {name: db-credential}}]}`;
const GATE = `
---
apiVersion: chaperone.dev/v1alpha1
kind: ApprovalGate
metadata: {name: dba, namespace: shop}
spec: {approvers: [{group: dba}]}`;
const MASKING = `
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: mask, namespace: shop}
spec: {targetRefs: [{name: db}], columns: [{column: a.b.c, strategy: {type: Redact}}]}`;
interface PolicyText {
  readonly name?: string;
  readonly namespace?: string;
  readonly target?: string;
  readonly subjects?: string;
  readonly mode?: string;
  readonly rules?: string;
}
const AGENT = '{serviceAccount: {namespace: shop, name: agent}}';
const ALLOW = '{name: read, action: Allow, sql: {statements: [Select]}}';
const DENY = '{name: no-drop, action: Deny, sql: {statements: [Drop]}}';
const ASK = '{name: ask, action: RequireApproval, gateRefs: [{name: dba}]}';
function policy({ name = 'p', namespace = 'shop', target = 'db', subjects = AGENT, mode = 'Enforce', rules = ALLOW }: PolicyText): string {
  return `
---
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ${name}, namespace: ${namespace}}
spec: {targetRefs: [{name: ${target}}], subjects: [${subjects}], mode: ${mode}, rules: [${rules}]}`;
}

function compileText(text: string, spoil: (object: CompileObject) => unknown = (object) => object) {
  const compiled = compile(
    objectsOf(text).map((object) => spoil(object) as CompileObject),
    agent,
  );
  const loaded = loadSnapshot(JSON.parse(JSON.stringify(compiled.snapshot)), CAPABILITIES);
  assert.ok(loaded.ok, JSON.stringify(loaded));
  const resource = compiled.snapshot.resources[0];
  const engine = loaded.policies.all[0];
  assert.ok(resource && engine);
  return { ...compiled, resource, engine };
}
function conditions(compiled: ReturnType<typeof compile>, kind: string) {
  return compiled.conditions
    .filter((each) => each.kind === kind)
    .flatMap((each) => each.conditions.map(({ type, status, reason, message }) => `${type}=${status} ${reason}: ${message}`));
}
const workload = [
  { kind: 'ServiceAccount' as const, issuer: 'cluster', subject: 'shop/agent', groups: [], claims: {}, proof: 'listener' as const },
];
/** What a policy is when it got past every validator and is still wrong. */
const spoilPolicy = (object: CompileObject) =>
  object.kind === 'AccessPolicy'
    ? { ...object, spec: { ...object.spec, rules: object.spec.rules.map((rule) => ({ ...rule, when: 'oops(' })) } }
    : object;

test('the quickstart compiles to the committed snapshot', () => {
  const compiled = compile(quickstart, agent);
  const text = `${JSON.stringify(compiled, null, 2)}\n`;
  if (process.argv.includes('--update')) writeFileSync(GOLDEN, text);
  assert.equal(text, readFileSync(GOLDEN, 'utf8'), 'run this file with --update, and read the difference');
});

test('the same objects in another order give the same bytes', () => {
  const wanted = JSON.stringify(compile(quickstart, agent));
  fc.assert(
    fc.property(fc.shuffledSubarray(quickstart, { minLength: quickstart.length }), (shuffled) => {
      assert.equal(JSON.stringify(compile(shuffled, agent)), wanted);
    }),
    { numRuns: 50 },
  );
});

test('what a compiler makes a sidecar takes, and every resource is in it', () => {
  for (const who of [agent, { namespace: 'elsewhere', serviceAccount: 'nobody' }]) {
    const { snapshot } = compile(quickstart, who);
    const loaded = loadSnapshot(JSON.parse(JSON.stringify(snapshot)), CAPABILITIES);
    assert.ok(loaded.ok, JSON.stringify(loaded));
    assert.deepEqual(loaded.problems, []);
    assert.deepEqual(
      snapshot.resources.map(({ name }) => name),
      ['billing-api', 'shop-db'],
    );
  }
});

test('conditions are the same for every workload', () => {
  assert.deepEqual(compile(quickstart, agent).conditions, compile(quickstart, { namespace: 'a', serviceAccount: 'b' }).conditions);
});

test('a workload that no policy is about gets the resource without policies, credentials and masks', () => {
  const text = RESOURCE + MASKING + policy({ subjects: '{serviceAccount: {namespace: shop, name: other}}' });
  const { resource, snapshot } = compileText(text);
  assert.deepEqual([resource.policies, resource.masking, resource.gates], [[], [], []]);
  assert.doesNotMatch(JSON.stringify(snapshot), /db-credential/);
  assert.deepEqual(
    snapshot.sources.map(({ kind }) => kind),
    ['ProtectedResource'],
  );
});

test('a policy about tokens is there for every workload, since any agent may present one', () => {
  const { resource } = compileText(RESOURCE + policy({ subjects: `{serviceAccount: {namespace: shop, name: other}}, {group: sre}` }));
  assert.deepEqual(resource.policies[0]?.subjects, [{ group: 'sre' }]);
});

test('where no policy can ever let the workload in, no Secret is named: its sidecar never has one', () => {
  const http = RESOURCE.replace('PostgreSQL', 'HTTP').replace(
    /postgresql: .*/,
    'http: {credential: {header: authorization, secretRef: {name: db-credential, key: token}}}',
  );
  const inCluster = (text: string) => {
    const world = worldOf(objectsOf(text), [], new Map([['shop', { createdAt: '', externalHosts: [] }]]));
    return JSON.stringify(compileWorkload(world, agent));
  };
  const inFolder = (text: string) => JSON.stringify(compileText(text).snapshot);
  for (const resource of [RESOURCE, http]) {
    for (const useless of [
      policy({ rules: DENY }),
      policy({ mode: 'Audit' }),
      policy({ rules: DENY }) + policy({ name: 'q', mode: 'Audit' }),
    ]) {
      for (const json of [inCluster(resource + useless), inFolder(resource + useless)])
        assert.doesNotMatch(json, /db-credential|db-ca/, useless);
    }
    for (const useful of [policy({ subjects: AGENT }), policy({ rules: ASK }), policy({ rules: `${DENY}, ${ALLOW}` })]) {
      for (const json of [inCluster(resource + useful), inFolder(resource + useful)])
        assert.match(json, /db-ca.*db-credential|db-credential.*db-ca/, useful);
    }
    const tokens = policy({ subjects: '{group: sre}' });
    assert.doesNotMatch(inCluster(resource + tokens), /db-credential|db-ca/, 'a sidecar in a cluster knows no issuer');
    assert.match(inFolder(resource + tokens), /db-credential/);
    assert.doesNotMatch(inFolder(resource.replace('spec:', 'spec:\n  agentToken: Ignore') + tokens), /db-credential/);
  }
});

test('a policy, a mask or a gate of another namespace changes nothing', () => {
  const text = RESOURCE + policy({ rules: ASK });
  const elsewhere = (part: string) => part.replaceAll('namespace: shop}', 'namespace: evil}');
  const compiled = compileText(text + policy({ name: 'q', namespace: 'evil' }) + elsewhere(MASKING) + elsewhere(GATE));
  assert.deepEqual(compiled.resource, compileText(text).resource);
  assert.deepEqual(conditions(compiled, 'MaskingRule'), [
    'Accepted=True Accepted: The spec is valid.',
    'ResolvedRefs=False TargetNotFound: ProtectedResource evil/db does not exist.',
  ]);
});

test('a target that does not exist is reported, and what does exist still counts', () => {
  const compiled = compileText(RESOURCE + policy({ target: 'db}, {name: bd' }));
  assert.equal(compiled.resource.policies.length, 1);
  assert.deepEqual(conditions(compiled, 'AccessPolicy'), [
    'Accepted=True Accepted: The spec is valid.',
    'ResolvedRefs=False TargetNotFound: ProtectedResource shop/bd does not exist.',
  ]);
});

test('a gate that does not exist is reported, and its rule stays and denies', () => {
  const compiled = compileText(RESOURCE + policy({ rules: `${ASK}, ${ALLOW}` }));
  assert.deepEqual(
    conditions(compiled, 'AccessPolicy')[1],
    'ResolvedRefs=False GateNotFound: ApprovalGate shop/dba does not exist, so rule ask denies.',
  );
  const verdict = compiled.engine.judge({
    principals: workload,
    nowMs: 0,
    action: { type: 'http', method: 'GET', host: 'h', path: '/', query: '' },
  });
  assert.equal(verdict.code, 'GateMissing');
});

test('only gates that a rule asks for are in the snapshot', () => {
  const other = GATE.replace('name: dba', 'name: unused');
  assert.deepEqual(
    compileText(RESOURCE + GATE + other + policy({ rules: ASK })).resource.gates.map(({ name }) => name),
    ['dba'],
  );
});

const CAPABILITY_CASES: readonly (readonly [string, string, readonly string[]])[] = [
  ['an Allow', policy({}), ['postgresql/1']],
  ['a condition', policy({ rules: `{name: a, action: Allow, when: "action.type == 'sql'"}` }), ['cel/1', 'postgresql/1']],
  ['an approval', GATE + policy({ rules: ASK }), ['approval/1', 'postgresql/1']],
  ['a column mask', MASKING + policy({}), ['mask-source/1', 'postgresql/1']],
  [
    'a detector',
    `${MASKING.replace('columns: [{column: a.b.c,', 'detectors: [{name: c, type: Card,')}${policy({})}`,
    ['mask-detect/1', 'postgresql/1'],
  ],
  [
    'a token',
    `${MASKING.replace('{type: Redact}', '{type: Token}').replace('spec: {', 'spec: {keySecretRef: {name: k}, ')}${policy({})}`,
    ['mask-source/1', 'mask-token/1', 'postgresql/1'],
  ],
  ['limits', policy({}).replace('mode:', 'limits: {maxRows: 1}, mode:'), ['limits/1', 'postgresql/1']],
  ['a minimumAssurance', policy({}).replace('mode:', 'minimumAssurance: B, mode:'), ['assurance/1', 'postgresql/1']],
  [
    'a window',
    policy({}).replace('mode:', 'timeWindows: [{days: [Mon], start: "01:00", end: "02:00"}], mode:'),
    ['postgresql/1', 'window/1'],
  ],
];
for (const [title, text, capabilities] of CAPABILITY_CASES)
  test(`${title} requires ${capabilities.join(' and ')}`, () => {
    assert.deepEqual(compileText(RESOURCE + text).resource.requiredCapabilities, capabilities);
  });

test('a policy that denies and can not be compiled makes its target deny', () => {
  for (const rules of [DENY, `${ALLOW}, ${DENY}`, ASK]) {
    const compiled = compileText(
      RESOURCE + GATE + policy({ rules }) + policy({ name: 'q', rules: '{name: all, action: Allow}' }),
      (object) => (object.metadata.name === 'p' ? spoilPolicy(object) : object),
    );
    assert.deepEqual(compiled.resource.requiredCapabilities, ['postgresql/1', 'unresolved/AccessPolicy/p']);
    assert.match(conditions(compiled, 'AccessPolicy')[0] ?? '', /^Accepted=False Invalid: rule \S+: when: not a CEL expression/);
    const verdict = compiled.engine.judge({ principals: workload, nowMs: 0, action: { type: 'connect' } });
    assert.equal(verdict.code, 'MissingCapability');
    assert.match(verdict.message, /unresolved\/AccessPolicy\/p/);
    assert.ok(
      compiled.snapshot.sources.some(({ name }) => name === 'p'),
      'a newer generation of it must be told from this one',
    );
  }
});

test('a policy that can not be compiled and only allows, or only audits, is left out', () => {
  for (const broken of [policy({ rules: ALLOW }), policy({ rules: DENY, mode: 'Audit' })]) {
    const compiled = compileText(RESOURCE + broken + policy({ name: 'q', rules: ALLOW }), (object) =>
      object.metadata.name === 'p' ? spoilPolicy(object) : object,
    );
    assert.deepEqual(compiled.resource.requiredCapabilities, ['postgresql/1']);
    assert.deepEqual(
      compiled.resource.policies.map(({ name }) => name),
      ['q'],
    );
    assert.match(conditions(compiled, 'AccessPolicy')[0] ?? '', /^Accepted=False Invalid/);
  }
});

test('a policy that can not be compiled and only allows, but takes something away beside its rules, makes its target deny', () => {
  for (const more of ['limits: {maxRows: 1}', 'ruleSets: [readOnly]', 'minimumAssurance: A']) {
    const text = RESOURCE + policy({ rules: ALLOW }).replace('mode:', `${more}, mode:`) + policy({ name: 'q', rules: ALLOW });
    const compiled = compileText(text, (object) => (object.metadata.name === 'p' ? spoilPolicy(object) : object));
    assert.ok(compiled.resource.requiredCapabilities.includes('unresolved/AccessPolicy/p'), more);
  }
});

test('a policy that can not be compiled and is about another workload hurts only that one', () => {
  const text = RESOURCE + policy({ rules: DENY, subjects: '{serviceAccount: {namespace: shop, name: other}}' }) + policy({ name: 'q' });
  const compiled = compileText(text, (object) => (object.metadata.name === 'p' ? spoilPolicy(object) : object));
  assert.deepEqual(compiled.resource.requiredCapabilities, ['postgresql/1']);
});

test('a MaskingRule that can not be compiled makes its target deny', () => {
  const compiled = compileText(RESOURCE + MASKING + policy({}), (object) =>
    object.kind === 'MaskingRule'
      ? { ...object, spec: { ...object.spec, columns: [{ column: 'a.b', strategy: { type: 'Redact' } }] } }
      : object,
  );
  assert.deepEqual(compiled.resource.requiredCapabilities, ['postgresql/1', 'unresolved/MaskingRule/mask']);
  assert.match(conditions(compiled, 'MaskingRule')[0] ?? '', /^Accepted=False Invalid: /);
});

test('a MaskingRule of columns alone on an HTTP target makes the target deny: it would mask nothing', () => {
  const http = RESOURCE.replace('protocol: PostgreSQL', 'protocol: HTTP').replace(/\n {2}postgresql: .*/, '');
  const compiled = compileText(http + MASKING + policy({}));
  assert.deepEqual(compiled.resource.requiredCapabilities, ['http/1', 'unresolved/MaskingRule/mask']);
  assert.match(conditions(compiled, 'MaskingRule')[0] ?? '', /columns mask nothing of a target that speaks HTTP/);
});

test('a limit on rows makes an HTTP target deny: a service returns none to count', () => {
  const http = RESOURCE.replace('protocol: PostgreSQL', 'protocol: HTTP').replace(/\n {2}postgresql: .*/, '');
  const compiled = compileText(
    http + policy({ rules: `${ALLOW}], limits: {maxRows: 10}, timeWindows: [` }).replace(', timeWindows: []', ''),
  );
  assert.deepEqual(compiled.resource.requiredCapabilities, ['http/1', 'unresolved/AccessPolicy/p']);
  assert.match(conditions(compiled, 'AccessPolicy')[0] ?? '', /maxRows limits nothing of a target that speaks HTTP/);
});

test('minimumAssurance makes an HTTP target deny: nobody could know its level', () => {
  const http = RESOURCE.replace('protocol: PostgreSQL', 'protocol: HTTP').replace(/\n {2}postgresql: .*/, '');
  const compiled = compileText(http + policy({}).replace('mode:', 'minimumAssurance: C, mode:'));
  assert.deepEqual(compiled.resource.requiredCapabilities, ['http/1', 'unresolved/AccessPolicy/p']);
  assert.match(conditions(compiled, 'AccessPolicy')[0] ?? '', /minimumAssurance can not be had of a target that speaks HTTP/);
});

test('an object that is there twice makes its targets deny, whichever comes first', () => {
  const twice = RESOURCE + policy({ rules: DENY }) + policy({ rules: ALLOW });
  for (const text of [twice, RESOURCE + policy({ rules: ALLOW }) + policy({ rules: DENY })]) {
    const compiled = compileText(text);
    assert.deepEqual(compiled.resource.requiredCapabilities, ['postgresql/1', 'unresolved/AccessPolicy/p']);
    assert.match(conditions(compiled, 'AccessPolicy')[0] ?? '', /^Accepted=False Duplicate/);
  }
  const masks = compileText(RESOURCE + MASKING + MASKING + policy({}));
  assert.deepEqual(masks.resource.requiredCapabilities, ['postgresql/1', 'unresolved/MaskingRule/mask']);
});
