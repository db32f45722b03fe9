/** What a driver may rely on, of whatever keeps the approvals: the sidecar alone, or the operator behind a stream. */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { type ApprovalCallMessage, type ApprovalStateMessage, NO_END_MS } from '#crds/control/approvals.ts';
import { ApprovalState_Phase as Phase } from '#crds/gen/chaperone/v1/sidecar_pb.js';
import type { Principal } from '#crds/policy/principal.ts';
import type { SnapshotGate, SnapshotResource } from '#crds/policy/snapshot.ts';
import { means } from '#crds/policy/subject.ts';
import type { ApprovalAsk, Approvals, PolicyStore } from '../pipeline.ts';
import { createApprovalBroker } from './broker.ts';
import type { ApprovalChannel } from './channel.ts';
import { createRemoteApprovals } from './remote.ts';

const person = (subject: string, groups: readonly string[] = []): Principal => ({
  kind: 'User',
  issuer: 'https://idp.example',
  subject,
  groups,
  claims: {},
  proof: 'token',
});
const LISTENER: Principal = { ...person('shop/agent'), kind: 'ServiceAccount', issuer: 'standalone', proof: 'listener' };
const gate = (over: Partial<SnapshotGate> = {}): SnapshotGate => ({
  namespace: 'shop',
  name: 'leads',
  uid: 'leads',
  generation: 1,
  approvers: [{ group: 'leads' }],
  quorum: 1,
  timeoutSeconds: 60,
  grant: { scope: 'Statement' },
  requireReason: false,
  ...over,
});
const ask = (over: Partial<ApprovalAsk> = {}): ApprovalAsk => ({
  session: 'one',
  resource: { namespace: 'shop', name: 'orders' },
  principals: [LISTENER, person('alice')],
  gates: [{ namespace: 'shop', name: 'leads', generation: 1 }],
  authors: [{ kind: 'AccessPolicy', namespace: 'shop', name: 'agents', generation: 3, rule: 'updates' }],
  summary: 'UPDATE orders …',
  binding: 'b'.repeat(64),
  ...over,
});

interface Kept {
  readonly approvals: Approvals & { close(): void; readonly pending: number };
  /** As somebody who may. */
  decide(name: string, decision: 'approve' | 'deny', reason?: string): void;
}

/** A stream whose other end is held by the test. */
function channelOf() {
  const calls: ApprovalCallMessage['call'][] = [];
  const [states, reconnects] = [new Set<(state: ApprovalStateMessage) => void>(), new Set<() => void>()];
  let connected = true;
  const channel: ApprovalChannel = {
    get connected() {
      return connected;
    },
    send: ({ call }) => void calls.push(call),
    onState: (listener) => {
      states.add(listener);
      return () => states.delete(listener);
    },
    onReconnect: (listener) => {
      reconnects.add(listener);
      return () => reconnects.delete(listener);
    },
  };
  const say = (id: string, over: Partial<ApprovalStateMessage>) => {
    const state = { id, name: '', phase: Phase.PENDING, message: '', expiresAtMs: 0n, approvedBy: [], grantUntilMs: 0n, ...over };
    for (const listener of states) listener(state);
  };
  const connect = (to: boolean) => {
    connected = to;
    if (to) for (const listener of reconnects) listener();
  };
  return { channel, calls, say, connect, raised: () => calls.flatMap((call) => (call.case === 'raise' ? [call.value] : [])) };
}

function policyOf(gates: readonly SnapshotGate[]): PolicyStore {
  return {
    version: 'v',
    resource: () => ({
      resource: { gates } as unknown as SnapshotResource,
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
}

function alone(gates: readonly SnapshotGate[]): Kept {
  const broker = createApprovalBroker({ policy: policyOf(gates), matches: means, now: Date.now });
  return {
    approvals: broker,
    decide: (name, decision, reason) =>
      void broker.decide(name, person('bob', ['leads']), { decision, ...(reason === undefined ? {} : { reason }) }),
  };
}

function behindAStream(gates: readonly SnapshotGate[]): Kept {
  const { channel, calls, say } = channelOf();
  const approvals = createRemoteApprovals({ channel, policy: policyOf(gates), now: Date.now });
  const names = new Map<string, string>();
  const raise = (given: ApprovalAsk) => {
    const pending = approvals.raise(given);
    const call = calls.at(-1);
    assert.ok(call?.case === 'raise');
    names.set(pending.name, call.value.id);
    say(call.value.id, { phase: Phase.PENDING });
    return pending;
  };
  const windows = gates.flatMap(({ grant }) => (grant.scope === 'Window' ? [Date.now() + grant.windowSeconds * 1000] : []));
  const until = gates.some(({ grant }) => grant.scope === 'Statement') ? 0 : Math.min(NO_END_MS, ...windows);
  return {
    approvals: {
      raise,
      granted: approvals.granted,
      close: approvals.close,
      get pending() {
        return approvals.pending;
      },
    },
    decide: (name, decision, reason) => {
      const id = names.get(name) ?? assert.fail(`${name} was not raised`);
      if (decision === 'deny') return say(id, { phase: Phase.DENIED, message: reason === undefined ? 'denied' : `denied: ${reason}` });
      say(id, { phase: Phase.APPROVED, approvedBy: [{ issuer: 'https://idp.example', subject: 'bob' }], grantUntilMs: BigInt(until) });
    },
  };
}

for (const [kind, make] of [
  ['alone', alone],
  ['behind a stream', behindAStream],
] as const) {
  const scene = (name: string, gates: readonly SnapshotGate[], run: (kept: Kept) => Promise<void> | void) => {
    test(`${kind}: ${name}`, async () => {
      mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_700_000_000_000 });
      try {
        await run(make(gates));
      } finally {
        mock.timers.reset();
      }
    });
  };

  scene('an approval names who gave it, and covers nothing else', [gate()], async ({ approvals, decide }) => {
    const pending = approvals.raise(ask());
    assert.match(pending.name, /^apr-[2-9a-z]{6,10}$/);
    assert.equal(pending.expiresAtMs, Date.now() + 60_000);
    decide(pending.name, 'approve');
    const by = [{ issuer: 'https://idp.example', subject: 'bob' }];
    assert.deepEqual(await pending.outcome, { type: 'approved', name: pending.name, by });
    assert.equal(approvals.granted(ask()), null);
    assert.equal(approvals.pending, 0);
  });

  scene('a denial says why', [gate()], async ({ approvals, decide }) => {
    const { name, outcome } = approvals.raise(ask());
    decide(name, 'deny', 'not today');
    assert.deepEqual(await outcome, { type: 'denied', name, message: 'denied: not today' });
  });

  scene('nobody decides in time', [gate()], async ({ approvals }) => {
    const { name, outcome } = approvals.raise(ask());
    mock.timers.tick(59_000);
    assert.equal(approvals.pending, 1);
    for (let i = 0; i < 4; i++) mock.timers.tick(1000);
    assert.deepEqual(await outcome, { type: 'timedOut', name, message: 'nobody decided in time' });
  });

  scene('what is withdrawn can not be approved', [gate()], async ({ approvals, decide }) => {
    const { name, outcome, withdraw } = approvals.raise(ask());
    withdraw('the client went away');
    assert.deepEqual(await outcome, { type: 'withdrawn', name, message: 'the client went away' });
    try {
      decide(name, 'approve');
    } catch {
      // The broker says so to the approver; a stream's state comes too late and is not heard.
    }
    assert.equal(approvals.granted(ask()), null);
  });

  scene('what is refused at once', [gate()], ({ approvals }) => {
    assert.throws(() => approvals.raise(ask({ principals: [LISTENER] })), { code: 'AskerNotIdentified' });
    assert.throws(() => approvals.raise(ask({ gates: [] })), { code: 'GateMissing' });
    assert.throws(() => approvals.raise(ask({ gates: [{ namespace: 'shop', name: 'leads', generation: 2 }] })), { code: 'GateMissing' });
    for (let i = 0; i < 10; i++) approvals.raise(ask({ session: `s${i}` }));
    assert.throws(() => approvals.raise(ask()), { code: 'LimitExceeded' });
    approvals.raise(ask({ principals: [LISTENER, person('dora')] }));
  });

  scene('scope Session covers the session', [gate({ grant: { scope: 'Session' } })], async ({ approvals, decide }) => {
    const { name, outcome } = approvals.raise(ask());
    decide(name, 'approve');
    await outcome;
    assert.deepEqual(approvals.granted(ask({ summary: 'another UPDATE' })), { name });
    assert.equal(approvals.granted(ask({ session: 'two' })), null);
    assert.equal(approvals.granted(ask({ authors: [] })), null);
  });

  scene(
    'scope Window covers the asker for a while',
    [gate({ grant: { scope: 'Window', windowSeconds: 120 } })],
    async ({ approvals, decide }) => {
      const { name, outcome } = approvals.raise(ask());
      decide(name, 'approve');
      await outcome;
      assert.deepEqual(approvals.granted(ask({ session: 'two' })), { name });
      assert.equal(approvals.granted(ask({ principals: [LISTENER, person('dora')] })), null);
      mock.timers.tick(120_000);
      assert.equal(approvals.granted(ask()), null);
    },
  );

  scene('the end of the sidecar', [gate({ grant: { scope: 'Session' } })], async ({ approvals }) => {
    const { name, outcome } = approvals.raise(ask());
    approvals.close();
    assert.deepEqual(await outcome, { type: 'withdrawn', name, message: 'the sidecar is going away' });
    assert.throws(() => approvals.raise(ask()), { code: 'Closed' });
  });
}

const streamed = (
  name: string,
  run: (stream: ReturnType<typeof channelOf>, approvals: ReturnType<typeof createRemoteApprovals>) => Promise<void>,
) => {
  test(`a stream that breaks: ${name}`, async () => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_700_000_000_000 });
    try {
      const stream = channelOf();
      await run(stream, createRemoteApprovals({ channel: stream.channel, policy: policyOf([gate()]), now: Date.now }));
    } finally {
      mock.timers.reset();
    }
  });
};

streamed('what waits is raised again under the same id', async ({ connect, raised, say }, approvals) => {
  connect(false);
  const pending = approvals.raise(ask());
  assert.equal(raised().length, 0);
  connect(true);
  connect(false);
  connect(true);
  const ids = raised().map(({ id }) => id);
  assert.equal(ids.length, 2);
  assert.equal(new Set(ids).size, 1);
  say(ids[0] ?? '', { phase: Phase.APPROVED, approvedBy: [{ issuer: 'cluster', subject: 'bob' }] });
  assert.equal((await pending.outcome).type, 'approved');
  connect(true);
  assert.equal(raised().length, 2);
});

streamed('an operator that never answers is unavailable, at the timeout', async ({ connect }, approvals) => {
  connect(false);
  const { name, outcome } = approvals.raise(ask());
  mock.timers.tick(60_000);
  assert.deepEqual(await outcome, { type: 'unavailable', name, message: 'the operator could not be asked in time' });
});

streamed('a withdrawal that nobody heard is told later', async ({ connect, calls }, approvals) => {
  const { withdraw } = approvals.raise(ask());
  connect(false);
  withdraw('the client went away');
  assert.equal(calls.filter((call) => call.case === 'withdraw').length, 0);
  connect(true);
  assert.deepEqual(
    calls.flatMap((call) => (call.case === 'withdraw' ? [call.value.reason] : [])),
    ['the client went away'],
  );
});

streamed('neither a listener, a group nor a claim leaves the pod', async ({ raised }, approvals) => {
  approvals.raise(ask({ principals: [LISTENER, { ...person('alice', ['sre']), claims: { salary: 1 } }] }));
  const [call] = raised();
  assert.deepEqual(JSON.parse(Buffer.from(call?.principalsJson ?? []).toString()), [
    { kind: 'User', issuer: 'https://idp.example', subject: 'alice', proof: 'token' },
  ]);
});

streamed('a refusal and a word of a newer operator', async ({ raised, say }, approvals) => {
  const { outcome } = approvals.raise(ask());
  const id = raised()[0]?.id ?? '';
  say(id, { phase: Phase.PHASE_UNSPECIFIED });
  assert.equal(approvals.pending, 1);
  say(id, { phase: Phase.REFUSED, message: 'too many' });
  assert.deepEqual(await outcome, { type: 'unavailable', name: (await outcome).name, message: 'too many' });
});
