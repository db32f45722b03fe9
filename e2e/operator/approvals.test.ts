import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { chaperone } from '#cli/testing.ts';
import { type ApprovalCallMessage, type ApprovalStateMessage, approvalName } from '#crds/control/approvals.ts';
import type { Principal } from '#crds/policy/principal.ts';
import type { SnapshotGate, SnapshotResource } from '#crds/policy/snapshot.ts';
import type { Kubectl } from '#e2e/cluster/kubectl.ts';
import { waitFor } from '#e2e/cluster/ready.ts';
import { clusterLookup } from '#operator/admission/lookup.ts';
import { type ApprovalService, startApprovalService } from '#operator/approvals/start.ts';
import type { ApprovalStream } from '#operator/approvals/stream.ts';
import type { ApprovalChannel } from '#sidecar/approvals/channel.ts';
import { createRemoteApprovals } from '#sidecar/approvals/remote.ts';
import type { ApprovalAsk, PolicyStore } from '#sidecar/pipeline.ts';
import { apply, openStage, type Stage } from './admission-stage.ts';

let stage: Stage;
/** Two replicas of the operator. */
const replicas: ApprovalService[] = [];
const told: string[] = [];
/** Gates as the API server has them, for what a snapshot would hold. */
const gates = new Map<string, SnapshotGate>();

const gateObject = (name: string, spec: object) =>
  JSON.stringify({
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'ApprovalGate',
    metadata: { name, namespace: 'shop' },
    spec: { approvers: [{ group: 'leads' }], ...spec },
  });

async function putGate(name: string, spec: object): Promise<void> {
  await apply(stage.kubectl, gateObject(name, spec));
  const gate = await clusterLookup(stage.kube).readGate('shop', name);
  gates.set(name, gate ?? assert.fail(`no gate ${name}`));
}

function replica(): ApprovalService {
  return startApprovalService({
    kube: stage.kube,
    // The workload's snapshot holds all gates, on one resource.
    snapshots: {
      current: ({ namespace }) => {
        const resource = { namespace: 'shop', name: 'orders', gates: [...gates.values()] } as unknown as SnapshotResource;
        const snapshot = { schemaVersion: 1, workload: { namespace, serviceAccount: 'agent' }, sources: [], resources: [resource] };
        return namespace === PEER.namespace ? { version: 'v', json: Buffer.alloc(0), snapshot } : null;
      },
    },
    events: { emit: (reason, { name }) => void told.push(`${name} ${reason}`) },
    now: Date.now,
    log: { info: () => {}, warn: (_, message) => void told.push(message) },
    isLeader: () => true,
  });
}

before(async () => {
  stage = await openStage();
  await stage.kubectl(['create', 'namespace', 'shop']);
  await putGate('leads', { timeoutSeconds: 60 });
  await putGate('pairs', { quorum: 2, timeoutSeconds: 60 });
  await putGate('quick', { timeoutSeconds: 10 });
  await putGate('reasoned', { requireReason: true, grant: { scope: 'Session' } });
  replicas.push(replica(), replica());
  await Promise.all(replicas.map(({ controller }) => controller.synced));
});
after(async () => {
  for (const one of replicas) await one.stop();
  await stage.close();
});

const PEER = { namespace: 'ci', serviceAccount: 'agent', pod: 'agent-1', podUid: 'p-1' };

/** A sidecar's end, joined to a replica as the gRPC stream would. */
function sidecar(peer = PEER) {
  const states = new Set<(state: ApprovalStateMessage) => void>();
  const reconnects = new Set<() => void>();
  const seen: ApprovalStateMessage[] = [];
  const sent: ApprovalCallMessage[] = [];
  let stream: ApprovalStream | null = null;
  const channel: ApprovalChannel = {
    get connected() {
      return stream !== null;
    },
    send: (call) => {
      sent.push(call);
      stream?.call(call);
    },
    onState: (listener) => {
      states.add(listener);
      return () => states.delete(listener);
    },
    onReconnect: (listener) => {
      reconnects.add(listener);
      return () => reconnects.delete(listener);
    },
  };
  const connect = (to: ApprovalService | undefined) => {
    stream?.end();
    stream = null;
    if (to === undefined) return;
    stream = to.handler(peer, (state) => {
      seen.push(state);
      for (const listener of states) listener(state);
    });
    for (const listener of reconnects) listener();
  };
  const policy: PolicyStore = {
    version: 'v',
    resource: () => ({
      resource: { gates: [...gates.values()] } as unknown as SnapshotResource,
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
  const approvals = createRemoteApprovals({ channel, policy, now: Date.now });
  return { approvals, connect, seen, sent, call: (message: ApprovalCallMessage) => stream?.call(message) };
}

const workload: Principal = {
  kind: 'ServiceAccount',
  issuer: 'cluster',
  subject: 'ci/agent',
  groups: [],
  claims: {},
  proof: 'certificate',
};
const alice: Principal = { kind: 'User', issuer: 'https://idp.example', subject: 'alice', groups: ['sre'], claims: {}, proof: 'token' };

function ask(gate = 'leads', over: Partial<ApprovalAsk> = {}): ApprovalAsk {
  return {
    session: 'session-1',
    resource: { namespace: 'shop', name: 'orders' },
    principals: [workload, alice],
    gates: [{ namespace: 'shop', name: gate, generation: gates.get(gate)?.generation ?? 0 }],
    authors: [{ kind: 'AccessPolicy', namespace: 'shop', name: 'agents', generation: 3, rule: 'updates' }],
    summary: 'UPDATE orders SET state = ‹t:0011223344556677›',
    binding: 'b'.repeat(64),
    ...over,
  };
}

const decision = (request: string, over: object = {}, metadata: object = {}) =>
  JSON.stringify({
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'ApprovalDecision',
    metadata: { namespace: 'shop', generateName: `${request}-`, ...metadata },
    spec: { requestRef: { name: request }, decision: 'Approve', ...over },
  });
const send = (who: Kubectl, object: string) => who(['create', '-f', '-'], { input: object });
const stateOf = async (name: string) =>
  (await stage.kubectl(['-n', 'shop', 'get', 'approvalrequest', name, '-o', 'jsonpath={.status.state}'])).stdout;
const inState = (name: string, state: string) =>
  waitFor(`${name} ${state}`, async () => (await stateOf(name).catch(() => '')) === state || undefined);

test('a held action is raised, shown, approved by kubectl, and goes on; the approver is who the API server says', async () => {
  const { approvals, connect } = sidecar();
  connect(replicas[0]);
  const pending = approvals.raise(ask());
  await inState(pending.name, 'Pending');
  const { stdout } = await stage.kubectl(['-n', 'shop', 'get', 'chreq']);
  assert.match(stdout, /NAME\s+ASKER\s+RESOURCE\s+GATE\s+STATE\s+APPROVALS\s+AGE/);
  assert.match(stdout, new RegExp(`${pending.name}\\s+alice\\s+orders\\s+leads\\s+Pending\\s+0/1`));
  const bob = await stage.approver('bob');
  assert.match(
    (await send(bob, decision(pending.name))).stdout,
    new RegExp(`approvaldecision.chaperone.dev/${pending.name}\\.[0-9a-f]{16} created`),
  );
  assert.deepEqual(await pending.outcome, { type: 'approved', name: pending.name, by: [{ issuer: 'cluster', subject: 'bob' }] });
  const stored = JSON.parse((await stage.kubectl(['-n', 'shop', 'get', 'approvalrequest', pending.name, '-o', 'json'])).stdout);
  assert.equal(stored.status.approvals, '1/1');
  assert.deepEqual(stored.status.approvedBy, [{ issuer: 'cluster', subject: 'bob' }]);
  await stage.kubectl(['-n', 'shop', 'wait', '--for=condition=Approved', '--timeout=5s', `approvalrequest/${pending.name}`]);
  assert.doesNotMatch(JSON.stringify(stored), /"sre"/);
  // Two replicas settle it, and one of them tells.
  const events = told.filter((line) => line.startsWith(pending.name));
  assert.deepEqual(events, [`${pending.name} ApprovalRequested`, `${pending.name} ApprovalGranted`]);
});

test('who may not: a stamp that is brought along, oneself, a stranger, the workload, a second time, a request that is none', async () => {
  const { approvals, connect } = sidecar();
  connect(replicas[0]);
  const { name } = approvals.raise(ask('pairs'));
  await inState(name, 'Pending');
  const bob = await stage.approver('bob');
  const forged = { approver: { kind: 'User', issuer: 'cluster', subject: 'carol' } };
  await assert.rejects(send(bob, decision(name, forged)), /spec.approver is written by the webhook/);
  await assert.rejects(send(await stage.approver('alice'), decision(name)), /SelfApproval/);
  await assert.rejects(send(await stage.approver('oidc:alice'), decision(name)), /SelfApproval/);
  await assert.rejects(send(await stage.approver('mallory', ['dev']), decision(name)), /NotAnApprover/);
  await assert.rejects(send(await stage.approver('system:serviceaccount:ci:agent'), decision(name)), /SelfApproval/);
  await assert.rejects(send(bob, decision(name, {}, { name: 'mine' })), /metadata.name: leave it out/);
  await send(bob, decision(name));
  await assert.rejects(send(bob, decision(name)), /AlreadyExists|already exists/);
  await assert.rejects(send(bob, decision(approvalName(randomUUID()))), /NotFound: there is no ApprovalRequest/);
  // One of two: it waits still, and the same person under another name is no second one.
  await waitFor('one of two', async () => (await stage.kubectl(['-n', 'shop', 'get', 'chreq', name])).stdout.includes('1/2') || undefined);
  await send(await stage.approver('BOB'), decision(name));
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.equal(await stateOf(name), 'Pending');
  await send(await stage.approver('carol'), decision(name));
  await inState(name, 'Approved');
  await assert.rejects(send(await stage.approver('dora'), decision(name)), /NotPending/);
});

test('what was decided or asked is never changed, and nobody but the operator writes a request', async () => {
  const { approvals, connect } = sidecar();
  connect(replicas[0]);
  const pending = approvals.raise(ask());
  await inState(pending.name, 'Pending');
  const approve = { status: { state: 'Approved', approvedBy: [{ issuer: 'cluster', subject: 'bob' }] } };
  const patch = (what: string, body: object, ...more: string[]) =>
    stage.kubectl(['-n', 'shop', 'patch', what, '--type=merge', '-p', JSON.stringify(body), ...more]);
  // As a cluster admin.
  await assert.rejects(
    patch(`approvalrequest/${pending.name}`, approve, '--subresource=status'),
    /only the operator writes an ApprovalRequest/,
  );
  await assert.rejects(patch(`approvalrequest/${pending.name}`, { spec: { summary: 'SELECT 1' } }), /never changes|only the operator/);
  const bob = await stage.approver('bob');
  const { stdout } = await bob(['create', '-o', 'name', '-f', '-'], {
    input: decision(pending.name, { decision: 'Deny', reason: 'not today' }),
  });
  assert.deepEqual(await pending.outcome, { type: 'denied', name: pending.name, message: 'denied: not today' });
  await assert.rejects(patch(stdout.trim(), { spec: { decision: 'Approve' } }), /a decision never changes/);
  const copy = JSON.parse((await stage.kubectl(['-n', 'shop', 'get', 'approvalrequest', pending.name, '-o', 'json'])).stdout);
  const fake = JSON.stringify({ ...copy, metadata: { name: 'apr-fake', namespace: 'shop' }, status: undefined });
  await assert.rejects(stage.kubectl(['create', '-f', '-'], { input: fake }), /only the operator writes an ApprovalRequest/);
});

test('a reason is asked for where the gate wants one, and an approval of scope Session covers the session', async () => {
  const { approvals, connect } = sidecar();
  connect(replicas[1]);
  const pending = approvals.raise(ask('reasoned'));
  await inState(pending.name, 'Pending');
  const bob = await stage.approver('bob');
  await assert.rejects(send(bob, decision(pending.name)), /ReasonRequired/);
  await send(bob, decision(pending.name, { reason: 'incident 7' }));
  assert.equal((await pending.outcome).type, 'approved');
  assert.deepEqual(approvals.granted(ask('reasoned')), { name: pending.name });
  assert.equal(approvals.granted(ask('reasoned', { session: 'session-2' })), null);
});

test('it ends when time does, when it is withdrawn, when it is deleted, and when its gate is edited', async () => {
  const { approvals, connect } = sidecar();
  connect(replicas[0]);
  const late = approvals.raise(ask('quick'));
  const given = approvals.raise(ask());
  await inState(given.name, 'Pending');
  given.withdraw('the client went away');
  await inState(given.name, 'Withdrawn');
  await assert.rejects(send(await stage.approver('bob'), decision(given.name)), /NotPending/);
  const deleted = approvals.raise(ask());
  await inState(deleted.name, 'Pending');
  await stage.kubectl(['-n', 'shop', 'delete', 'approvalrequest', deleted.name]);
  assert.deepEqual(await deleted.outcome, { type: 'withdrawn', name: deleted.name, message: 'the ApprovalRequest was deleted' });
  assert.deepEqual(await late.outcome, { type: 'timedOut', name: late.name, message: 'nobody decided in time' });
  await inState(late.name, 'Expired');

  const edited = approvals.raise(ask());
  await inState(edited.name, 'Pending');
  await apply(stage.kubectl, gateObject('leads', { timeoutSeconds: 61 }));
  await assert.rejects(send(await stage.approver('bob'), decision(edited.name)), /GateMissing.*edited/);
  await putGate('leads', { timeoutSeconds: 61 });
  edited.withdraw('judged again');
});

test('a sidecar that comes back to another replica finds its request; one that is not its own it does not', async () => {
  const { approvals, connect, sent } = sidecar();
  connect(replicas[0]);
  const pending = approvals.raise(ask());
  await inState(pending.name, 'Pending');
  connect(undefined);
  await send(await stage.approver('bob'), decision(pending.name));
  await inState(pending.name, 'Approved');
  const other = sidecar({ ...PEER, pod: 'agent-2', podUid: 'p-2' });
  other.connect(replicas[1]);
  const raise = sent.find(({ call }) => call.case === 'raise') ?? assert.fail('nothing was raised');
  other.call(raise);
  await waitFor('the refusal', async () => other.seen.length > 0 || undefined);
  assert.match(other.seen[0]?.message ?? '', /this id is taken/);
  connect(replicas[1]);
  assert.equal((await pending.outcome).type, 'approved');
});

test('an operator that starts again, and an API server that was away, lose nothing', async () => {
  const { approvals, connect } = sidecar();
  connect(undefined);
  const pending = approvals.raise(ask());
  await Promise.all(replicas.splice(0).map((one) => one.stop()));
  await stage.plane.stopApiServer();
  const fresh = replica();
  replicas.push(fresh);
  connect(fresh);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await stage.plane.startApiServer();
  await fresh.controller.synced;
  await inState(pending.name, 'Pending');
  await send(await stage.approver('bob'), decision(pending.name));
  assert.equal((await pending.outcome).type, 'approved');
});

test('one asker has a limit, and what is not in the policy of the workload is not asked', async () => {
  const { connect, call, seen } = sidecar();
  connect(replicas[0]);
  const raise = (id: string, over: object = {}): ApprovalCallMessage => ({
    call: {
      case: 'raise',
      value: {
        id,
        session: 's',
        resourceNamespace: 'shop',
        resourceName: 'orders',
        principalsJson: Buffer.from('[]'),
        gates: [{ name: 'leads', generation: BigInt(gates.get('leads')?.generation ?? 0) }],
        authorsJson: Buffer.from('[]'),
        summary: 'x',
        binding: 'b'.repeat(64),
        ...over,
      },
    },
  });
  // All at once: none of them is in the API server while the next one is judged.
  for (let i = 0; i < 30; i++) call(raise(randomUUID()));
  await waitFor('thirty answers', async () => new Set(seen.map(({ id }) => id)).size === 30 || undefined);
  assert.equal(seen.filter(({ message }) => message.includes('at most 10')).length, 20);
  call(raise(randomUUID(), { gates: [{ name: 'other', generation: 1n }] }));
  await waitFor('a refusal', async () => seen.some(({ message }) => message.includes('the policy of this workload')) || undefined);
});

test('chaperone approvals: with the own kubeconfig of whoever types it', async () => {
  const { approvals, connect } = sidecar();
  connect(replicas[0]);
  const pending = approvals.raise(ask('pairs', { principals: [workload, { ...alice, subject: 'erin' }] }));
  await inState(pending.name, 'Pending');
  const as = async (user: string, ...args: string[]) => {
    const kubeconfig = await stage.plane.kubeconfigOf(user, ['approvers', 'leads']);
    return chaperone(['approvals', ...args, '--kubeconfig', kubeconfig]);
  };
  const listed = await as('bob', 'ls', '-n', 'shop');
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(listed.stdout, new RegExp(`${pending.name} +Pending +shop/orders +erin +pairs 0/2 +\\d+s +UPDATE orders`));
  assert.match((await as('bob', 'ls', '-n', 'default')).stdout, /no requests wait/);
  const self = await as('erin', 'approve', pending.name, '-n', 'shop');
  assert.deepEqual([self.code, self.stderr.startsWith('SelfApproval: erin asked for')], [3, true], self.stderr);
  const first = await as('bob', 'approve', pending.name, '-n', 'shop', '--reason', 'incident 7');
  assert.deepEqual([first.code, first.stdout], [0, `${pending.name} has your approval, and waits for pairs 1/2\n`], first.stderr);
  const again = await as('bob', 'approve', pending.name, '-n', 'shop');
  assert.deepEqual([again.code, again.stderr], [3, 'AlreadyDecided: you have decided this request already\n']);
  const stranger = await chaperone(['approvals', 'ls', '-A', '--kubeconfig', await stage.plane.kubeconfigOf('mallory')]);
  assert.deepEqual([stranger.code, /cannot list resource/.test(stranger.stderr)], [3, true], stranger.stderr);
  const second = await as('carol', 'deny', pending.name, '-n', 'shop', '-o', 'json');
  assert.equal(JSON.parse(second.stdout).status.state, 'Denied');
  assert.equal((await pending.outcome).type, 'denied');
  assert.equal((await as('bob', 'approve', 'nonsense')).code, 2);
});
