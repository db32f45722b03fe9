import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ApprovalRaiseMessage, approvalName } from '#crds/control/approvals.ts';
import { askersKey, requestOf } from './raise.ts';
import { GATE, NOW_MS } from './testing.ts';

const PEER = { namespace: 'ci', serviceAccount: 'agent', pod: 'agent-1', podUid: 'p-1' };
const ID = '0b5c1c52-3a2c-4c7e-9d0b-0f2f6a2f1a11';
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const alice = { kind: 'User', issuer: 'https://idp.example', subject: 'alice', proof: 'token' };
const author = { kind: 'AccessPolicy', namespace: 'shop', name: 'agents', generation: 3, rule: 'updates' };

function raise(over: Partial<ApprovalRaiseMessage> = {}): ApprovalRaiseMessage {
  return {
    id: ID,
    session: 's-1',
    resourceNamespace: 'shop',
    resourceName: 'orders',
    principalsJson: json([alice]),
    gates: [{ name: 'leads', generation: 1n }],
    authorsJson: json([author]),
    summary: 'UPDATE …',
    binding: 'b'.repeat(64),
    ...over,
  };
}
const made = (over: Partial<ApprovalRaiseMessage> = {}) => requestOf(raise(over), PEER, [GATE], NOW_MS);

test('the workload is who the certificate says, whatever the sidecar says', () => {
  const workload = { kind: 'ServiceAccount', issuer: 'cluster', subject: 'ci/agent', proof: 'certificate' };
  assert.deepEqual(made()?.spec.askers, [workload, alice]);
  assert.equal(made()?.spec.asker, 'alice');
  assert.equal(made({ principalsJson: json([]) })?.spec.asker, 'ci/agent');
  assert.deepEqual(made({ principalsJson: json([workload]) })?.spec.askers, [workload]);
  const other = { ...workload, subject: 'kube-system/root' };
  assert.deepEqual(made({ principalsJson: json([other]) })?.spec.askers, [workload, other]);
});

test('it is named by its id, and ends with the shortest of its gates', () => {
  const request = requestOf(raise(), PEER, [GATE, { ...GATE, name: 'owners', timeoutSeconds: 30 }], NOW_MS);
  assert.equal(request?.metadata.name, approvalName(ID));
  assert.equal(request?.spec.expiresAt, new Date(NOW_MS + 30_000).toISOString());
  assert.deepEqual(request?.spec.sidecar, PEER);
});

test('claims and groups are left out, and texts are cut', () => {
  assert.deepEqual(made({ principalsJson: json([{ ...alice, groups: ['sre'], claims: { salary: 1 } }]) })?.spec.askers[1], alice);
  assert.equal([...(made({ summary: '💥'.repeat(20_000) })?.spec.summary ?? '')].length, 16_384);
  assert.equal(made({ authorsJson: json(Array.from({ length: 100 }, () => author)) })?.spec.authors.length, 64);
});

test('what no sidecar of ours sends is nothing', () => {
  for (const over of [
    { id: 'x' },
    { id: ID.toUpperCase() },
    { binding: 'b' },
    { principalsJson: Buffer.from('{') },
    { principalsJson: json({}) },
    { principalsJson: json([{ ...alice, proof: 'listener' }]) },
    { principalsJson: json([{ ...alice, subject: '' }]) },
    { principalsJson: json([{ ...alice, subject: 'x'.repeat(2000) }]) },
    { principalsJson: json(Array.from({ length: 16 }, (_, i) => ({ ...alice, subject: `a${i}` }))) },
    { authorsJson: json([{ ...author, generation: -1 }]) },
    { authorsJson: json([{ ...author, kind: 'Other' }]) },
    { principalsJson: Buffer.from([0xff]) },
  ]) {
    assert.equal(made(over), null, JSON.stringify(Object.keys(over)));
  }
  assert.equal(requestOf(raise(), PEER, [], NOW_MS), null);
});

test('one asker is one, in whatever order their identities come', () => {
  const bot = { ...alice, subject: 'bot' };
  const [one, two, three] = [[alice, bot], [bot, alice], [alice]].map((list) => made({ principalsJson: json(list) })?.spec);
  assert.ok(one && two && three);
  assert.equal(askersKey(one), askersKey(two));
  assert.notEqual(askersKey(one), askersKey(three));
});
