import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ApprovalErrorCode } from '#crds/policy/approval-error.ts';
import type { Principal } from '#crds/policy/principal.ts';
import type { SnapshotGate, SnapshotResource } from '#crds/policy/snapshot.ts';
import type { ApprovalAsk, PolicyStore } from '../pipeline.ts';
import { type BrokerOptions, createApprovalBroker } from './broker.ts';

const user = (subject: string, groups: readonly string[] = [], issuer = 'chaperone-local'): Principal => ({
  kind: 'User',
  issuer,
  subject,
  groups,
  claims: {},
  proof: 'token',
});
const workload: Principal = {
  kind: 'ServiceAccount',
  issuer: 'standalone',
  subject: 'shop/agent',
  groups: [],
  claims: {},
  proof: 'listener',
};
const gate = (name: string, over: Partial<SnapshotGate> = {}): SnapshotGate => ({
  namespace: 'shop',
  name,
  uid: name,
  generation: 1,
  approvers: [{ group: 'leads' }],
  quorum: 1,
  timeoutSeconds: 300,
  grant: { scope: 'Statement' },
  requireReason: false,
  ...over,
});
const ask = (over: Partial<ApprovalAsk> = {}): ApprovalAsk => ({
  session: 'session-1',
  resource: { namespace: 'shop', name: 'orders' },
  principals: [workload, user('alice', ['sre'])],
  gates: [{ namespace: 'shop', name: 'leads', generation: 1 }],
  authors: [{ kind: 'AccessPolicy', namespace: 'shop', name: 'agents', generation: 3, rule: 'updates' }],
  summary: 'UPDATE orders …',
  binding: 'b1',
  ...over,
});

function setup(gates: readonly SnapshotGate[], over: Partial<BrokerOptions> = {}) {
  const world = { gates, nowMs: 1_000_000 };
  const policy: PolicyStore = {
    version: 'v',
    resource: () => ({
      resource: { gates: world.gates } as unknown as SnapshotResource,
      judge: () => assert.fail('not judged here'),
      limits: () => ({}),
      masking: () => assert.fail('not masked here'),
      readOnly: () => false,
      namesMatter: false,
      asksApproval: true,
    }),
    why: () => assert.fail('not asked here'),
    onChange: () => () => {},
  };
  const broker = createApprovalBroker({
    policy,
    matches: (subject, p) => subject.user === p.subject || (subject.group !== undefined && p.groups.includes(subject.group)),
    now: () => world.nowMs,
    ...over,
  });
  return { broker, world };
}
const bob = user('bob', ['leads']);
const carol = user('carol', ['leads']);
const approve = { decision: 'approve' } as const;
const refusedWith = (code: ApprovalErrorCode, run: () => unknown) => assert.throws(run, { name: 'ApprovalError', code });

test('an approval by another person releases the action, and covers nothing else', async () => {
  const { broker } = setup([gate('leads')]);
  const pending = broker.raise(ask());
  assert.match(pending.name, /^apr-[2-9a-z]{6}$/);
  broker.decide(pending.name, bob, approve);
  assert.deepEqual(await pending.outcome, { type: 'approved', name: pending.name, by: [{ issuer: 'chaperone-local', subject: 'bob' }] });
  assert.equal(broker.granted(ask()), null);
  assert.equal(broker.pending, 0);
});

test('a denial ends it, with its reason', async () => {
  const { broker } = setup([gate('leads', { quorum: 2 })]);
  const pending = broker.raise(ask());
  broker.decide(pending.name, bob, approve);
  broker.decide(pending.name, carol, { decision: 'deny', reason: 'not today' });
  assert.deepEqual(await pending.outcome, { type: 'denied', name: pending.name, message: 'denied: not today' });
});

const selves: readonly [string, readonly Principal[], Principal][] = [
  ['the same token', [workload, user('alice', ['leads'])], user('alice', ['leads'])],
  ['the same name at another issuer', [workload, user('alice')], user('alice', ['leads'], 'https://idp.example')],
  ['the same name in capitals', [workload, user('alice')], user('ALICE', ['leads'])],
  ['the one acted for', [workload, { ...user('bot'), onBehalfOf: 'alice' }], user('alice', ['leads'])],
  ['the one who acts', [workload, { ...user('alice'), actor: 'bot' }], user('bot', ['leads'])],
  ["the listener's workload", [workload, user('alice')], user('shop/agent', ['leads'])],
];
for (const [name, principals, approver] of selves) {
  test(`self-approval is refused: ${name}`, () => {
    const { broker } = setup([gate('leads')]);
    const { name: request } = broker.raise(ask({ principals }));
    refusedWith('SelfApproval', () => broker.decide(request, approver, approve));
    refusedWith('SelfApproval', () => broker.decide(request, approver, { decision: 'deny' }));
    assert.equal(broker.pending, 1);
  });
}

test('where nobody can be told apart, nothing is raised', () => {
  const { broker } = setup([gate('leads')]);
  assert.throws(() => broker.raise(ask({ principals: [workload] })), { code: 'AskerNotIdentified', message: /connect with a token/ });
});

test('who may not decide', () => {
  const { broker } = setup([gate('leads')]);
  const { name } = broker.raise(ask());
  refusedWith('NotAnApprover', () => broker.decide(name, user('mallory', ['dev']), approve));
  refusedWith('DelegatedApprover', () => broker.decide(name, { ...bob, actor: 'bot' }, approve));
  refusedWith('DelegatedApprover', () => broker.decide(name, { ...workload, subject: 'shop/other', groups: ['leads'] }, approve));
  refusedWith('NotFound', () => broker.decide('apr-222222', bob, approve));
  assert.equal(broker.pending, 1);
});

test('a quorum counts different people', async () => {
  const { broker } = setup([gate('leads', { quorum: 2 })]);
  const { name, outcome } = broker.raise(ask());
  assert.equal(broker.decide(name, bob, approve).gates[0]?.approved, 1);
  refusedWith('AlreadyDecided', () => broker.decide(name, { ...bob, groups: ['leads', 'more'] }, approve));
  assert.equal(broker.decide(name, carol, approve).state, 'approved');
  assert.equal((await outcome).type, 'approved');
});

test('one name at two issuers is one person', () => {
  const { broker } = setup([gate('leads', { quorum: 2 })]);
  const { name } = broker.raise(ask());
  broker.decide(name, bob, approve);
  const again = broker.decide(name, { ...bob, issuer: 'https://other.example' }, approve);
  assert.equal(again.state, 'pending');
  assert.equal(again.gates[0]?.approved, 1);
});

test('every gate needs its own approvers', async () => {
  const { broker } = setup([gate('leads'), gate('security', { approvers: [{ group: 'sec' }], quorum: 2 })]);
  const gates = ['leads', 'security'].map((name) => ({ namespace: 'shop', name, generation: 1 }));
  const { name } = broker.raise(ask({ gates }));
  assert.equal(broker.decide(name, bob, approve).state, 'pending');
  assert.equal(broker.decide(name, carol, approve).state, 'pending');
  assert.equal(broker.decide(name, user('sam', ['sec']), approve).state, 'pending');
  assert.equal(broker.decide(name, user('sue', ['sec', 'leads']), approve).state, 'approved');
});

test('a gate that wants a reason gets one', () => {
  const { broker } = setup([gate('leads', { requireReason: true })]);
  const { name } = broker.raise(ask());
  refusedWith('ReasonRequired', () => broker.decide(name, bob, approve));
  refusedWith('ReasonRequired', () => broker.decide(name, bob, { decision: 'deny', reason: '  ' }));
  refusedWith('ReasonTooLong', () => broker.decide(name, bob, { decision: 'approve', reason: 'x'.repeat(1025) }));
  assert.deepEqual(broker.decide(name, bob, { decision: 'approve', reason: 'incident 7' }).decisions[0]?.reason, 'incident 7');
});

test('a decision after the deadline is refused, even before the timer ran', async () => {
  const { broker, world } = setup([gate('leads', { timeoutSeconds: 60 })]);
  const { name, outcome } = broker.raise(ask());
  world.nowMs += 60_000;
  refusedWith('NotPending', () => broker.decide(name, bob, approve));
  assert.equal((await outcome).type, 'timedOut');
});

test('nobody decides: the shortest timeout of its gates ends it', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { broker } = setup([gate('leads'), gate('quick', { timeoutSeconds: 10 })]);
  const { outcome } = broker.raise(ask({ gates: ['leads', 'quick'].map((name) => ({ namespace: 'shop', name, generation: 1 })) }));
  t.mock.timers.tick(10_000);
  assert.equal((await outcome).type, 'timedOut');
});

test('a request that was withdrawn can not be approved', async () => {
  const { broker } = setup([gate('leads')]);
  const { name, outcome, withdraw } = broker.raise(ask());
  withdraw('the client went away');
  refusedWith('NotPending', () => broker.decide(name, bob, approve));
  assert.deepEqual(await outcome, { type: 'withdrawn', name, message: 'the client went away' });
});

test('a gate that is gone or was edited is not decided by', () => {
  const { broker, world } = setup([gate('leads')]);
  const { name } = broker.raise(ask());
  world.gates = [gate('leads', { generation: 2, approvers: [{ user: 'nobody' }] })];
  refusedWith('GateMissing', () => broker.decide(name, bob, approve));
  refusedWith('GateMissing', () => broker.raise(ask()));
  refusedWith('GateMissing', () => broker.raise(ask({ gates: [] })));
});

test('one asker fills only their own share, and all of them no more than the total', () => {
  const { broker } = setup([gate('leads')], { maxPendingPerAsker: 2, maxPending: 3 });
  broker.raise(ask());
  broker.raise(ask({ session: 'session-2' }));
  refusedWith('LimitExceeded', () => broker.raise(ask({ session: 'session-3' })));
  broker.raise(ask({ principals: [workload, user('dave')] }));
  refusedWith('LimitExceeded', () => broker.raise(ask({ principals: [workload, user('erin')] })));
});

const SESSION = { grant: { scope: 'Session' } } as const;
const WINDOW = { grant: { scope: 'Window', windowSeconds: 60 } } as const;
const other = { kind: 'AccessPolicy', namespace: 'shop', name: 'agents', generation: 3, rule: 'deletes' } as const;
const grants: readonly [string, Partial<SnapshotGate>, Partial<ApprovalAsk>, number, boolean][] = [
  ['Session: another text that the same rules hold', SESSION, { binding: 'b2', summary: 'UPDATE orders …' }, 3_600_000, true],
  ['Session: another session', SESSION, { session: 'session-2' }, 0, false],
  ['Session: another rule holds it', SESSION, { authors: [other] }, 0, false],
  ['Session: a further rule holds it', SESSION, { authors: [...ask().authors, other] }, 0, false],
  ['Session: the policy was edited', SESSION, { authors: ask().authors.map((a) => ({ ...a, generation: 4 })) }, 0, false],
  ['Session: the gate was edited', SESSION, { gates: [{ namespace: 'shop', name: 'leads', generation: 2 }] }, 0, false],
  ['Session: another resource', SESSION, { resource: { namespace: 'shop', name: 'users' } }, 0, false],
  ['Window: another session of the same principals', WINDOW, { session: 'session-2', binding: 'b2' }, 59_999, true],
  ['Window: past its end', WINDOW, {}, 60_000, false],
  ['Window: another person', WINDOW, { principals: [workload, user('dave', ['sre'])] }, 0, false],
  ['Window: without the token', WINDOW, { principals: [workload] }, 0, false],
  ['Window: the same name at another issuer', WINDOW, { principals: [workload, user('alice', ['sre'], 'https://idp')] }, 0, false],
];
for (const [name, over, next, laterMs, covered] of grants) {
  test(`grant ${covered ? 'covers' : 'does not cover'}: ${name}`, () => {
    const { broker, world } = setup([gate('leads', over)]);
    const { name: request } = broker.raise(ask());
    broker.decide(request, bob, approve);
    world.nowMs += laterMs;
    assert.deepEqual(broker.granted(ask(next)), covered ? { name: request } : null);
  });
}

test('of several gates the narrowest grant counts', () => {
  const gates = ['one', 'two'].map((name) => ({ namespace: 'shop', name, generation: 1 }));
  const cases = [
    [SESSION, WINDOW, 0, 'session-1', true],
    [SESSION, WINDOW, 60_000, 'session-1', false],
    [SESSION, WINDOW, 0, 'session-2', false],
    [WINDOW, {}, 0, 'session-1', false],
  ] as const;
  for (const [first, second, laterMs, session, covered] of cases) {
    const { broker, world } = setup([gate('one', first), gate('two', second)]);
    broker.decide(broker.raise(ask({ gates })).name, bob, approve);
    world.nowMs += laterMs;
    assert.equal(broker.granted(ask({ gates, session })) !== null, covered);
  }
});

test('a request is shown to its asker and its approvers alone', () => {
  const { broker } = setup([gate('leads')]);
  const { name } = broker.raise(ask());
  for (const viewer of [bob, user('alice')])
    assert.deepEqual(
      broker.list(viewer).map((view) => view.name),
      [name],
    );
  for (const viewer of [user('mallory', ['dev']), workload]) assert.deepEqual(broker.list(viewer), []);
});

test('when it closes, those who wait are told and nothing new is taken', async () => {
  const { broker } = setup([gate('leads', SESSION)]);
  broker.decide(broker.raise(ask()).name, bob, approve);
  const { outcome } = broker.raise(ask({ session: 'session-2' }));
  broker.close();
  assert.equal((await outcome).type, 'withdrawn');
  assert.equal(broker.granted(ask()), null);
  refusedWith('Closed', () => broker.raise(ask()));
});
