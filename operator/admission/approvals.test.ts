import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SnapshotGate } from '#crds/policy/snapshot.ts';
import type { ApprovalRequest } from '#crds/v1alpha1/internal-kinds.ts';
import { checkHandler, stampHandler } from './approvals.ts';
import { decisionName, principalOf } from './approver.ts';
import type { AdmissionRequest, JsonObject } from './review.ts';
import { requestFor } from './testing.ts';

const OPERATOR = 'system:serviceaccount:chaperone-system:chaperone-operator';
const NOW = Date.UTC(2026, 0, 1);
const NAME = 'apr-7f3k2m9dxq';
const gate = (over: Partial<SnapshotGate> = {}): SnapshotGate => ({
  namespace: 'shop',
  name: 'leads',
  uid: 'g',
  generation: 4,
  approvers: [{ group: 'leads' }],
  quorum: 1,
  timeoutSeconds: 60,
  grant: { scope: 'Statement' },
  requireReason: false,
  ...over,
});
const pending: ApprovalRequest = {
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'ApprovalRequest',
  metadata: { name: NAME, namespace: 'shop', uid: 'u-1' },
  spec: {
    id: '0b5c1c52-3a2c-4c7e-9d0b-0f2f6a2f1a11',
    session: 's',
    resource: 'orders',
    asker: 'alice',
    askers: [
      { kind: 'ServiceAccount', issuer: 'cluster', subject: 'ci/agent', proof: 'certificate' },
      { kind: 'User', issuer: 'https://idp.example', subject: 'bot', proof: 'token', onBehalfOf: 'alice' },
    ],
    gates: [{ name: 'leads', generation: 4, quorum: 1 }],
    authors: [],
    summary: 'UPDATE …',
    binding: 'b'.repeat(64),
    sidecar: { namespace: 'ci', serviceAccount: 'agent', pod: 'agent-1', podUid: 'p-1' },
    expiresAt: new Date(NOW + 60_000).toISOString(),
  },
};

function handlers(world: { request?: ApprovalRequest | null; gate?: SnapshotGate | null; now?: number } = {}) {
  const options = {
    readRequest: async (namespace: string, name: string) =>
      namespace === 'shop' && name === NAME ? (world.request === undefined ? pending : world.request) : null,
    readGate: async () => (world.gate === undefined ? gate() : world.gate),
    operatorUser: OPERATOR,
    now: () => world.now ?? NOW,
  };
  return { stamp: stampHandler(options), check: checkHandler(options) };
}

const decisions = { group: 'chaperone.dev', version: 'v1alpha1', resource: 'approvaldecisions' };
const decision = (spec: object = {}, metadata: object = { generateName: `${NAME}-` }): JsonObject => ({
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'ApprovalDecision',
  metadata: { namespace: 'shop', ...metadata },
  spec: { requestRef: { name: NAME }, decision: 'Approve', ...spec },
});
const by = (username: string, groups: readonly string[] = ['leads'], extra: Record<string, string[]> = {}) => ({
  user: { username, groups, extra },
});
const ask = (over: Partial<AdmissionRequest>) => requestFor({ resource: decisions, object: decision(), ...over });

async function refusedWith(expected: RegExp, over: Partial<AdmissionRequest>, world: Parameters<typeof handlers>[0] = {}) {
  const { stamp, check } = handlers(world);
  for (const handler of [stamp, check]) {
    const answer = await handler(ask(over));
    assert.ok(!answer.allowed, 'is refused');
    assert.match(answer.message, expected);
  }
}

test('a decision is stamped with who sent it, and only what was stamped passes', async () => {
  const { stamp, check } = handlers();
  const answer = await stamp(ask({}));
  assert.ok(answer.allowed);
  const stamped = Object.fromEntries((answer.patch ?? []).map((op) => [op.path, 'value' in op ? op.value : null]));
  const name = decisionName(NAME, principalOf({ username: 'bob', groups: [], extra: {} }));
  assert.match(name, /^apr-7f3k2m9dxq\.[0-9a-f]{16}$/);
  assert.deepEqual(stamped, {
    '/spec/approver': { kind: 'User', issuer: 'cluster', subject: 'bob' },
    '/spec/gates': ['leads'],
    '/spec/requestRef/uid': 'u-1',
    '/metadata/ownerReferences': [{ apiVersion: 'chaperone.dev/v1alpha1', kind: 'ApprovalRequest', name: NAME, uid: 'u-1' }],
    '/metadata/name': name,
  });
  const spec = { requestRef: { name: NAME, uid: 'u-1' }, approver: stamped['/spec/approver'], gates: ['leads'] };
  assert.deepEqual(await check(ask({ object: decision(spec, { name }) })), { allowed: true });
  // By another mutating webhook, or where ours did not run.
  for (const changed of [
    { ...spec, approver: { kind: 'User', issuer: 'cluster', subject: 'carol' } },
    { ...spec, gates: ['leads', 'owners'] },
    { ...spec, requestRef: { name: NAME, uid: 'u-2' } },
    { requestRef: { name: NAME } },
  ]) {
    assert.equal((await check(ask({ object: decision(changed, { name }) }))).allowed, false);
  }
  assert.equal((await check(ask({ object: decision(spec, {}) }))).allowed, false);
});

test('a stamp can not be brought along', async () => {
  const { stamp } = handlers();
  const forged = decision({ approver: { kind: 'User', issuer: 'cluster', subject: 'carol' } });
  const answer = await stamp(ask({ object: forged }));
  assert.ok(!answer.allowed && /spec.approver is written by the webhook/.test(answer.message));
});

test('who may not decide', async () => {
  await refusedWith(/NotAnApprover: mallory/, by('mallory', ['dev']));
  await refusedWith(/SelfApproval/, by('alice'));
  await refusedWith(/SelfApproval/, by('bot'));
  await refusedWith(/SelfApproval/, by('oidc:Alice'));
  await refusedWith(/SelfApproval/, by('https://idp.example#alice'));
  await refusedWith(/SelfApproval/, by('system:serviceaccount:ci:agent'));
  // Another service account is no person, whatever groups it has.
  await refusedWith(/NotAnApprover/, by('system:serviceaccount:ci:other', ['leads', 'system:serviceaccounts']));
});

test('when nobody may', async () => {
  await refusedWith(/NotFound/, {}, { request: null });
  await refusedWith(/NotFound/, { namespace: 'other' });
  await refusedWith(/NotPending.*Denied/, {}, { request: { ...pending, status: { state: 'Denied' } } });
  await refusedWith(/NotPending.*Expired/, {}, { now: NOW + 60_000 });
  await refusedWith(/GateMissing.*edited/, {}, { gate: gate({ generation: 5 }) });
  await refusedWith(/GateMissing.*does not exist/, {}, { gate: null });
  await refusedWith(/ReasonRequired/, {}, { gate: gate({ requireReason: true }) });
  await refusedWith(/ReasonRequired/, { object: decision({ reason: '   ' }) }, { gate: gate({ requireReason: true }) });
  await refusedWith(/AlreadyDecided.*leave it out/, { object: decision({}, { name: `${NAME}.again` }) });
});

test('claims of an approver are those that the API server knows', async () => {
  const world = { gate: gate({ approvers: [{ issuer: 'cluster', claims: [{ name: 'example.com/team', values: ['db'] }] }] }) };
  assert.equal((await handlers(world).stamp(ask(by('bob', [], { 'example.com/team': ['db'] })))).allowed, true);
  await refusedWith(/NotAnApprover/, by('bob', [], { 'example.com/team': ['web'] }), world);
});

test('a lookup that fails is no yes', async () => {
  const options = {
    readRequest: () => Promise.reject(new Error('away')),
    readGate: async () => gate(),
    operatorUser: OPERATOR,
    now: () => NOW,
  };
  await assert.rejects(async () => stampHandler(options)(ask({})));
});

test('a decision never changes, and nobody but the operator writes a request', async () => {
  const { check } = handlers();
  const update = (object: JsonObject) => check(ask({ operation: 'UPDATE', oldObject: decision(), object }));
  assert.equal((await update(decision({ decision: 'Deny' }))).allowed, false);
  assert.equal((await update(decision({}, { labels: { a: 'b' } }))).allowed, true);

  const requests = { ...decisions, resource: 'approvalrequests' };
  const write = (over: Partial<AdmissionRequest>) => check(requestFor({ resource: requests, object: { ...pending }, ...over }));
  assert.equal((await write({})).allowed, false);
  assert.equal((await write({ user: { username: OPERATOR, groups: [], extra: {} } })).allowed, true);
  const approved = { ...pending, status: { state: 'Approved' } };
  assert.equal((await write({ operation: 'UPDATE', subResource: 'status', oldObject: { ...pending }, object: approved })).allowed, false);
  assert.equal((await write({ operation: 'UPDATE', oldObject: { ...pending }, object: { ...pending, metadata: {} } })).allowed, true);
});
