import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Snapshot } from '#crds/policy/snapshot.ts';
import type { InjectedPod } from '../index/pods.ts';
import { type Condition, conditionsFrom, type Finding } from './conditions.ts';
import { maskingRuleFindings } from './masking-rule.ts';
import { programmedFinding, programmingOf, type SidecarReport } from './programming.ts';
import { protectedResourceFindings } from './protected-resource.ts';
import { createReports } from './reports.ts';
import { secretNeeds } from './secret-needs.ts';

const YES: readonly Finding[] = (['Accepted', 'ResolvedRefs', 'Programmed'] as const).map((type) => ({
  type,
  status: 'True',
  reason: type,
  message: 'yes',
}));
const BEFORE = new Date('2026-01-01T00:00:00.5Z');
const LATER = new Date('2026-01-01T00:01:00Z');
const no = (type: Finding['type'], status: 'False' | 'Unknown' = 'False'): readonly Finding[] =>
  YES.map((finding) => (finding.type === type ? { ...finding, status, reason: 'Because', message: 'no' } : finding));
const types = (conditions: readonly Condition[]) => Object.fromEntries(conditions.map(({ type, status }) => [type, status]));

test('Ready is what all say; Stalled is for its author, Reconciling comes by itself, and both are absent when all is well', () => {
  const write = (findings: readonly Finding[]) => conditionsFrom(findings, { previous: [], generation: 1, now: BEFORE });
  assert.deepEqual(types(write(YES)), { Accepted: 'True', ResolvedRefs: 'True', Programmed: 'True', Ready: 'True' });
  assert.deepEqual(types(write(no('Programmed'))), {
    Accepted: 'True',
    ResolvedRefs: 'True',
    Programmed: 'False',
    Ready: 'False',
    Reconciling: 'True',
  });
  assert.deepEqual(types(write(no('Accepted'))), {
    Accepted: 'False',
    ResolvedRefs: 'True',
    Programmed: 'True',
    Ready: 'False',
    Stalled: 'True',
  });
  assert.deepEqual(types(write(no('ResolvedRefs', 'Unknown'))), {
    Accepted: 'True',
    ResolvedRefs: 'Unknown',
    Programmed: 'True',
    Ready: 'Unknown',
    Reconciling: 'True',
  });
  assert.equal(write(no('Accepted')).find(({ type }) => type === 'Ready')?.reason, 'Because');
});

test('a transition time is kept while the status is the same; the generation is always the newest; what others wrote stays', () => {
  const foreign: Condition = {
    type: 'example.com/Reviewed',
    status: 'True',
    reason: 'R',
    message: '',
    lastTransitionTime: '2020-01-01T00:00:00Z',
  };
  const first = conditionsFrom(no('Programmed'), { previous: [foreign], generation: 1, now: BEFORE });
  const second = conditionsFrom(YES, { previous: first, generation: 2, now: LATER });
  const time = (type: string) => second.find((condition) => condition.type === type)?.lastTransitionTime;
  assert.equal(time('Accepted'), '2026-01-01T00:00:00Z');
  assert.equal(time('Programmed'), '2026-01-01T00:01:00Z');
  assert.equal(time('Ready'), '2026-01-01T00:01:00Z');
  assert.ok(second.filter(({ type }) => !type.includes('/')).every(({ observedGeneration }) => observedGeneration === 2));
  assert.deepEqual(second.at(-1), foreign);
  assert.equal(time('Reconciling'), undefined);
});

const pod = (uid: string, more: Partial<InjectedPod> = {}): InjectedPod => ({
  namespace: 'shop',
  name: `pod-${uid}`,
  uid,
  node: 'n',
  serviceAccount: 'agent',
  sidecarContainerId: 'c',
  sidecarRestarts: 0,
  sidecarRunning: true,
  phase: 'Running',
  deletionTimestamp: null,
  annotations: {},
  ...more,
});
const source = (name: string, generation: number, uid = name) => ({
  kind: 'AccessPolicy' as const,
  namespace: 'shop',
  name,
  uid,
  generation,
});
const P = { kind: 'AccessPolicy', namespace: 'shop', name: 'p' } as const;
const HISTORY = new Map([
  ['v1', [source('p', 1), source('q', 1)]],
  ['v2', [source('p', 2), source('q', 1)]],
  ['other-uid', [source('p', 2, 'of-before'), source('q', 1)]],
]);

function programming(pods: readonly InjectedPod[], reports: readonly SidecarReport[]) {
  const sources = HISTORY.get('v2') ?? [];
  const snapshot: Snapshot = { schemaVersion: 1, workload: { namespace: 'shop', serviceAccount: 'agent' }, sources, resources: [] };
  return programmingOf({
    pods,
    reports: new Map(reports.map((report) => [report.podUid, report])),
    current: ({ serviceAccount }) => (serviceAccount === 'agent' ? { version: 'v2', json: Buffer.from(''), snapshot } : null),
    sourcesOf: (_, version) =>
      HISTORY.get(version) && new Map((HISTORY.get(version) ?? []).map((one) => [`${one.kind}/${one.namespace}/${one.name}`, one])),
  });
}

test('who enforces: the newest version, or an older one that has this object as it is now', () => {
  const pods = [pod('a'), pod('b'), pod('c'), pod('d'), pod('e')];
  const found = programming(pods, [
    { podUid: 'a', acked: 'v2' },
    { podUid: 'b', acked: 'v1' },
    { podUid: 'c', acked: 'forgotten' },
    { podUid: 'd', acked: 'other-uid' },
  ]);
  assert.deepEqual(found.of(P), { concerned: 5, enforcing: 1, refusals: [], restarts: [], assurance: null });
  assert.deepEqual(found.of({ ...P, name: 'q' }), { concerned: 5, enforcing: 3, refusals: [], restarts: [], assurance: null });
  assert.deepEqual(found.of({ ...P, name: 'nobody' }), { concerned: 0, enforcing: 0, refusals: [], restarts: [], assurance: null });
});

test('a pod counts while its sidecar runs', () => {
  const pods = [
    pod('a'),
    pod('b', { sidecarRunning: false }),
    pod('c', { deletionTimestamp: '2026-01-01T00:00:00Z' }),
    pod('d', { phase: 'Succeeded' }),
    pod('e', { serviceAccount: 'unknown' }),
  ];
  assert.equal(programming(pods, []).of(P).concerned, 1);
});

test('a refusal of the newest is told, one of an older version is past', () => {
  const found = programming(
    [pod('a'), pod('b')],
    [
      { podUid: 'a', acked: 'v1', refused: { version: 'v2', problems: ['too new'] } },
      { podUid: 'b', acked: 'v2', refused: { version: 'v1', problems: ['old'] } },
    ],
  );
  assert.deepEqual(found.of(P), {
    concerned: 2,
    enforcing: 1,
    refusals: [{ pod: 'shop/pod-a', problem: 'too new' }],
    restarts: [],
    assurance: null,
  });
  const { status, reason, message } = programmedFinding(found.of(P));
  assert.deepEqual([status, reason], ['False', 'Rejected']);
  assert.match(message, /^1\/2 sidecars .* shop\/pod-a: too new$/);
  assert.deepEqual(programmedFinding({ concerned: 0, enforcing: 0, refusals: [], restarts: [], assurance: null }).reason, 'NoSidecars');
  assert.deepEqual(programmedFinding({ concerned: 3, enforcing: 3, refusals: [], restarts: [], assurance: null }).status, 'True');
});

test('a pod that was made before a ProtectedResource is named there, and all the same it is programmed', () => {
  const resource = { ...source('db', 1), kind: 'ProtectedResource' as const };
  const snapshot: Snapshot = {
    schemaVersion: 1,
    workload: { namespace: 'shop', serviceAccount: 'agent' },
    sources: [resource],
    resources: [],
  };
  const found = programmingOf({
    pods: [pod('a'), pod('b')],
    reports: new Map(['a', 'b'].map((uid) => [uid, { podUid: uid, acked: 'v1', ...(uid === 'b' && { restartRequiredFor: ['shop/db'] }) }])),
    current: () => ({ version: 'v1', json: Buffer.from(''), snapshot }),
    sourcesOf: () => undefined,
  });
  const { status, reason, message } = programmedFinding(found.of(resource));
  assert.deepEqual([status, reason], ['True', 'RestartRequired']);
  assert.match(message, /^2\/2 sidecars .* 1 \(shop\/pod-b\)\.$/);
});

test('the assurance of a ProtectedResource is the lowest of the sidecars that run', () => {
  const resource = { ...source('db', 1), kind: 'ProtectedResource' as const };
  const snapshot: Snapshot = {
    schemaVersion: 1,
    workload: { namespace: 'shop', serviceAccount: 'agent' },
    sources: [resource],
    resources: [],
  };
  const lowest = (levels: Readonly<Record<string, 'A' | 'B' | 'C'>>) =>
    programmingOf({
      pods: [pod('a'), pod('b'), pod('gone', { phase: 'Failed' })],
      reports: new Map(
        Object.entries(levels).map(([uid, level]) => [
          uid,
          { podUid: uid, acked: 'v1', assurances: [{ resource: 'shop/db', level, ...(level !== 'A' && { loweredBy: [uid] }) }] },
        ]),
      ),
      current: () => ({ version: 'v1', json: Buffer.from(''), snapshot }),
      sourcesOf: () => undefined,
    }).of(resource).assurance;
  assert.deepEqual(lowest({ a: 'A', b: 'B', gone: 'C' }), { level: 'B', loweredBy: ['b'] });
  assert.deepEqual(lowest({ a: 'A' }), { level: 'A', loweredBy: [] });
  assert.equal(lowest({}), null);
});

test('slices: the later connection counts, and a slice that nobody renews counts for nothing', () => {
  let now = 0;
  const reports = createReports(() => now);
  const slice = (name: string, resourceVersion: string, acked: string, connectedAt: string) => ({
    metadata: { name, resourceVersion },
    spec: { sidecars: [{ podUid: 'a', acked, connectedAt }] },
  });
  reports.set(slice('one', '1', 'v2', '2026-01-01T00:00:05Z'));
  reports.set(slice('two', '1', 'v1', '2026-01-01T00:00:01.5Z'));
  assert.equal(reports.current().get('a')?.acked, 'v2');
  now = 100_000;
  reports.set(slice('two', '2', 'v1', '2026-01-01T00:00:01.5Z'));
  // Listed again, unchanged: that is no renewal.
  reports.set(slice('one', '1', 'v2', '2026-01-01T00:00:05Z'));
  now = 130_000;
  assert.equal(reports.current().get('a')?.acked, 'v1');
  reports.remove(slice('two', '2', 'v1', ''));
  assert.equal(reports.current().size, 0);
});

test('the Secrets of a target: each once with all its keys; what is missing is named, what is not read yet is unknown', () => {
  const secretRef = (name: string) => ({ name, usernameKey: 'username', passwordKey: 'password' });
  const spec = {
    protocol: 'PostgreSQL' as const,
    address: { host: 'db', port: 5432 },
    tls: { mode: 'VerifyFull' as const, caSecretRef: { name: 'a', key: 'ca.crt' } },
    postgresql: {
      database: 'd',
      users: [
        { name: 'x', secretRef: secretRef('a') },
        { name: 'y', secretRef: secretRef('b') },
      ],
    },
    agentToken: 'Ignore' as const,
    recording: {
      results: 'None' as const,
      sampleRows: 0,
      fsync: 'Always' as const,
      onFailure: 'FailClosed' as const,
      mode: 'Async' as const,
    },
  };
  const object = {
    apiVersion: 'chaperone.dev/v1alpha1' as const,
    kind: 'ProtectedResource' as const,
    metadata: { name: 'db', namespace: 'shop', uid: 'u', generation: 1 },
    spec,
  };
  assert.deepEqual(secretNeeds(object), [
    { name: 'a', keys: ['ca.crt', 'username', 'password'] },
    { name: 'b', keys: ['username', 'password'] },
  ]);
  const refs = (a: object | null | undefined, b: object | null | undefined) => {
    const secrets: Record<string, object | null | undefined> = { a, b };
    const secretOf = (name: string) => {
      const data = secrets[name];
      return data === undefined || data === null ? data : { metadata: { name }, data: data as Record<string, string> };
    };
    const findings = protectedResourceFindings(
      { valid: true, object, compiled: [] },
      { concerned: 0, enforcing: 0, refusals: [], restarts: [], assurance: null },
      secretOf,
    );
    const { status, message } = findings.find(({ type }) => type === 'ResolvedRefs') ?? assert.fail();
    return `${status}: ${message}`;
  };
  const whole = { 'ca.crt': '', username: '', password: '' };
  assert.equal(refs(whole, whole), 'True: Everything that it names exists.');
  assert.equal(refs({ username: '', password: '' }, null), 'False: Secret a has no key ca.crt; Secret b does not exist.');
  assert.equal(refs(whole, undefined), 'Unknown: Not read yet: Secret b.');
  assert.match(refs(undefined, null), /^False: /);
});

test('the key of a MaskingRule: missing targets are told first, then the Secret', () => {
  const object = {
    apiVersion: 'chaperone.dev/v1alpha1' as const,
    kind: 'MaskingRule' as const,
    metadata: { name: 'm', namespace: 'shop', uid: 'u', generation: 1 },
    spec: {
      targetRefs: [{ kind: 'ProtectedResource' as const, name: 'db' }],
      columns: [{ column: 'a.b.c', strategy: { type: 'Token' as const } }],
      keySecretRef: { name: 'masking', key: 'key' },
      unprovable: 'Deny' as const,
      predicates: 'SourceMasked' as const,
    },
  };
  assert.deepEqual(secretNeeds(object), [{ name: 'masking', keys: ['key'] }]);
  const resolved = (status: 'True' | 'False', secret: object | null) => {
    const compiled = [{ type: 'ResolvedRefs' as const, status, reason: 'X', message: 'targets.', observedGeneration: 1 }];
    const findings = maskingRuleFindings(
      { valid: true, object, compiled },
      { concerned: 0, enforcing: 0, refusals: [], restarts: [], assurance: null },
      () => (secret === null ? null : { metadata: { name: 'masking' }, data: secret as Record<string, string> }),
    );
    const found = findings.find(({ type }) => type === 'ResolvedRefs') ?? assert.fail();
    return `${found.status} ${found.reason}: ${found.message}`;
  };
  assert.equal(resolved('True', { key: '' }), 'True ResolvedRefs: Everything that it names exists.');
  assert.equal(resolved('True', { other: '' }), 'False SecretNotFound: Secret masking has no key key.');
  assert.equal(resolved('True', null), 'False SecretNotFound: Secret masking does not exist.');
  assert.equal(resolved('False', null), 'False X: targets.');
});
