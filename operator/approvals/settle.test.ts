import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_END_MS } from '#crds/control/approvals.ts';
import type { SnapshotGate } from '#crds/policy/snapshot.ts';
import type { ApprovalRequest } from '#crds/v1alpha1/internal-kinds.ts';
import { type StoredDecision, settle, withdrawn } from './settle.ts';
import { messageOf } from './state.ts';
import { GATE, NOW_MS, requestWith } from './testing.ts';

const gate = (over: Partial<SnapshotGate> = {}): SnapshotGate => ({ ...GATE, ...over });
const decision = (subject: string, over: Partial<StoredDecision['spec']> = {}, time = new Date(NOW_MS).toISOString()): StoredDecision => ({
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'ApprovalDecision',
  metadata: { name: `apr-1.${subject}`, namespace: 'shop', creationTimestamp: time },
  spec: {
    requestRef: { name: 'apr-1', uid: 'u-1' },
    decision: 'Approve',
    approver: { kind: 'User', issuer: 'cluster', subject },
    gates: ['leads'],
    ...over,
  },
});
const stateFor = (
  request: ApprovalRequest,
  decisions: readonly StoredDecision[],
  gates: readonly SnapshotGate[] = [gate()],
  nowMs = NOW_MS,
) => settle(request, decisions, gates, nowMs);

test('it waits until its quorum of different people', () => {
  const two = requestWith({ gates: [{ name: 'leads', generation: 1, quorum: 2 }] });
  const waiting = stateFor(two, []);
  assert.equal(waiting.status.state, 'Pending');
  assert.equal(waiting.againMs, 60_000);
  assert.equal(stateFor(two, [decision('bob')]).status.approvals, '1/2');
  assert.equal(stateFor(two, [decision('bob'), decision('BOB')]).status.state, 'Pending');
  assert.equal(stateFor(two, [decision('bob'), decision('oidc:bob')]).status.state, 'Pending');
  const approved = stateFor(two, [decision('bob'), decision('carol')]);
  assert.equal(approved.status.state, 'Approved');
  assert.equal(approved.againMs, null);
  assert.deepEqual(approved.status.approvedBy, [
    { issuer: 'cluster', subject: 'bob' },
    { issuer: 'cluster', subject: 'carol' },
  ]);
  assert.equal(approved.status.conditions?.[0]?.status, 'True');
});

test('every gate has its own approvers', () => {
  const both = requestWith({
    gates: [
      { name: 'leads', generation: 1, quorum: 1 },
      { name: 'owners', generation: 1, quorum: 1 },
    ],
  });
  const gates = [gate(), gate({ name: 'owners' })];
  assert.equal(stateFor(both, [decision('bob')], gates).status.approvals, '1/1, 0/1');
  assert.equal(stateFor(both, [decision('bob'), decision('carol', { gates: ['owners'] })], gates).status.state, 'Approved');
  assert.equal(stateFor(both, [decision('bob', { gates: ['leads', 'owners'] })], gates).status.state, 'Approved');
});

test('one denial is enough, whoever approved', () => {
  const { status } = stateFor(requestWith(), [decision('bob'), decision('carol', { decision: 'Deny', reason: 'not today' })]);
  assert.deepEqual([status.state, status.message], ['Denied', 'denied: not today']);
});

test('what does not count: no stamp, another request of that name, too late', () => {
  const { approver: _, ...unstamped } = decision('bob').spec;
  for (const other of [
    { ...decision('bob'), spec: unstamped },
    decision('bob', { requestRef: { name: 'apr-1', uid: 'u-0' } }),
    decision('bob', { requestRef: { name: 'apr-2', uid: 'u-1' } }),
    decision('bob', {}, new Date(NOW_MS + 61_000).toISOString()),
  ]) {
    assert.equal(stateFor(requestWith(), [other]).status.state, 'Pending');
  }
});

test('time runs out, and an approval in time counts after it', () => {
  assert.equal(stateFor(requestWith(), [], [gate()], NOW_MS + 60_000).status.state, 'Expired');
  assert.equal(stateFor(requestWith(), [decision('bob')], [gate()], NOW_MS + 61_000).status.state, 'Approved');
  assert.equal(stateFor(requestWith({ expiresAt: 'never' }), []).status.state, 'Expired');
});

test('a gate that was edited or removed ends it', () => {
  assert.equal(stateFor(requestWith(), [decision('bob')], [gate({ generation: 2 })]).status.state, 'Withdrawn');
  assert.equal(stateFor(requestWith(), [decision('bob')], []).status.state, 'Withdrawn');
});

test('how it ended is final', () => {
  const denied: ApprovalRequest = { ...requestWith(), status: stateFor(requestWith(), [decision('bob', { decision: 'Deny' })]).status };
  assert.equal(stateFor(denied, [decision('bob')]).status, denied.status);
  assert.equal(withdrawn(denied, [], 'gone', NOW_MS), null);
  assert.equal(withdrawn(requestWith(), [], 'gone', NOW_MS)?.state, 'Withdrawn');
});

test('a grant is as wide as the narrowest gate', () => {
  const until = (...grants: SnapshotGate['grant'][]) => {
    const request = requestWith({ gates: grants.map((_, i) => ({ name: `g${i}`, generation: 1, quorum: 1 })) });
    const gates = grants.map((grant, i) => gate({ name: `g${i}`, grant }));
    const { status } = stateFor(request, [decision('bob', { gates: gates.map(({ name }) => name) })], gates);
    return Number(messageOf({ ...request, status }).grantUntilMs);
  };
  assert.equal(until({ scope: 'Statement' }), 0);
  assert.equal(until({ scope: 'Session' }), NO_END_MS);
  assert.equal(until({ scope: 'Session' }, { scope: 'Window', windowSeconds: 60 }), NOW_MS + 60_000);
  assert.equal(until({ scope: 'Window', windowSeconds: 60 }, { scope: 'Statement' }), 0);
});
