import { randomUUID } from 'node:crypto';
import { type ApprovalCallMessage, type ApprovalStateMessage, approvalName } from '#crds/control/approvals.ts';
import { ApprovalState_Phase as Phase } from '#crds/gen/chaperone/v1/sidecar_pb.js';
import { ApprovalError } from '#crds/policy/approval-error.ts';
import { askerKey, isProved } from '#crds/policy/people.ts';
import type { SnapshotGate } from '#crds/policy/snapshot.ts';
import type { ApprovalAsk, ApprovalOutcome, Approvals, PendingApproval, PolicyStore } from '../pipeline.ts';
import { gatesInForce } from './asked.ts';
import type { ApprovalChannel } from './channel.ts';
import { Grants, grantOf } from './grants.ts';

export interface RemoteOptions {
  readonly channel: ApprovalChannel;
  readonly policy: PolicyStore;
  readonly now: () => number;
  /** Requests that one asker may have waiting; 10 where absent. The operator has limits of its own. */
  readonly maxPendingPerAsker?: number;
  /** Requests that may wait in all; 200 where absent. */
  readonly maxPending?: number;
}

/** Approvals that the operator keeps. It may be away: what is held waits, and is raised again when it comes back. */
export interface RemoteApprovals extends Approvals {
  readonly pending: number;
  /** Refuses new requests and withdraws those that wait. */
  close(): void;
}

interface Held {
  readonly id: string;
  readonly name: string;
  readonly ask: ApprovalAsk;
  readonly gates: readonly SnapshotGate[];
  readonly expiresAtMs: number;
  /** The operator has it. */
  known: boolean;
  timer: NodeJS.Timeout | undefined;
  readonly settle: (outcome: ApprovalOutcome) => void;
}

const MAX_GRANTS = 1000;
const MAX_UNSENT = 1000;
const MAX_TIMER_MS = 2 ** 31 - 1;
/** The operator's own word on an expiry is a moment behind ours. */
const GRACE_MS = 2000;

export function createRemoteApprovals({ channel, policy, now, maxPendingPerAsker = 10, maxPending = 200 }: RemoteOptions): RemoteApprovals {
  const waiting = new Map<string, Held>();
  /** Withdrawn while nobody listened. */
  const unsent = new Map<string, string>();
  const grants = new Grants(MAX_GRANTS);
  let closed = false;

  const end = (held: Held, outcome: ApprovalOutcome) => {
    if (!waiting.delete(held.id)) return;
    clearTimeout(held.timer);
    held.settle(outcome);
  };
  const withdraw = (held: Held, type: Exclude<ApprovalOutcome['type'], 'approved'>, message: string) => {
    if (!waiting.has(held.id)) return;
    end(held, { type, name: held.name, message });
    if (channel.connected) channel.send(withdrawal(held.id, message));
    // It may have got there before the stream broke.
    else if (unsent.size < MAX_UNSENT) unsent.set(held.id, message);
  };

  const timeOut = (held: Held) => {
    const left = held.expiresAtMs - now();
    if (left > 0) return schedule(held, left);
    if (!held.known) return withdraw(held, 'unavailable', 'the operator could not be asked in time');
    if (channel.connected && left > -GRACE_MS) return schedule(held, GRACE_MS + left);
    withdraw(held, 'timedOut', 'nobody decided in time');
  };
  const schedule = (held: Held, inMs: number) => {
    held.timer = setTimeout(() => timeOut(held), Math.min(inMs, MAX_TIMER_MS));
    // The client's connection keeps the process up while it waits; this need not.
    held.timer.unref();
  };

  channel.onState((state) => {
    const held = waiting.get(state.id);
    if (held !== undefined) hear(held, state);
  });
  const hear = (held: Held, state: ApprovalStateMessage) => {
    const unapproved = (type: Exclude<ApprovalOutcome['type'], 'approved'>, otherwise: string) =>
      end(held, { type, name: held.name, message: state.message === '' ? otherwise : state.message });
    switch (state.phase) {
      case Phase.PENDING:
        held.known = true;
        return;
      case Phase.APPROVED: {
        const untilMs = Number(state.grantUntilMs);
        const grant = untilMs === 0 ? null : grantOf(held.name, held.ask, held.gates, now());
        if (grant !== null) grants.add({ ...grant, untilMs: Math.min(grant.untilMs, untilMs) }, now());
        const by = state.approvedBy.map(({ issuer, subject }) => ({ issuer, subject }));
        return end(held, { type: 'approved', name: held.name, by });
      }
      case Phase.DENIED:
        return unapproved('denied', 'denied');
      case Phase.EXPIRED:
        return unapproved('timedOut', 'nobody decided in time');
      case Phase.WITHDRAWN:
        return unapproved('withdrawn', 'withdrawn');
      case Phase.REFUSED:
        return unapproved('unavailable', 'the operator refused the request');
      case Phase.PHASE_UNSPECIFIED:
        // A newer operator's word: what is not an approval is none, and the timeout goes on.
        return;
      default:
        state.phase satisfies never;
    }
  };

  channel.onReconnect(() => {
    for (const [id, reason] of unsent) channel.send(withdrawal(id, reason));
    unsent.clear();
    for (const held of waiting.values()) channel.send(raising(held));
  });

  const raise = (ask: ApprovalAsk): PendingApproval => {
    if (closed) throw new ApprovalError('Closed', 'the sidecar is going away');
    if (!ask.principals.some(isProved)) throw new ApprovalError('AskerNotIdentified', 'approval needs to know who asks');
    const gates = gatesInForce(ask, policy);
    const asker = askerKey(ask.principals);
    const own = [...waiting.values()].filter((other) => askerKey(other.ask.principals) === asker).length;
    if (own >= maxPendingPerAsker) {
      throw new ApprovalError('LimitExceeded', `${own} requests of yours wait already; at most ${maxPendingPerAsker} may`);
    }
    if (waiting.size >= maxPending) throw new ApprovalError('LimitExceeded', 'too many requests wait already', { ofAll: true });
    const timeoutMs = Math.min(...gates.map((gate) => gate.timeoutSeconds)) * 1000;
    const id = randomUUID();
    const { promise, resolve } = Promise.withResolvers<ApprovalOutcome>();
    const held: Held = {
      id,
      name: approvalName(id),
      ask,
      gates,
      expiresAtMs: now() + timeoutMs,
      known: false,
      timer: undefined,
      settle: resolve,
    };
    waiting.set(id, held);
    schedule(held, timeoutMs);
    if (channel.connected) channel.send(raising(held));
    return { name: held.name, expiresAtMs: held.expiresAtMs, outcome: promise, withdraw: (why) => withdraw(held, 'withdrawn', why) };
  };

  return {
    granted(ask) {
      const grant = closed || !ask.principals.some(isProved) ? undefined : grants.find(ask, now());
      return grant === undefined ? null : { name: grant.name };
    },
    raise,
    get pending() {
      return waiting.size;
    },
    close() {
      closed = true;
      grants.clear();
      for (const held of [...waiting.values()]) withdraw(held, 'withdrawn', 'the sidecar is going away');
    },
  };
}

function raising({ id, ask, gates }: Held): ApprovalCallMessage {
  // Claims and groups stay here: who asks is told by names.
  const principals = ask.principals
    .filter(isProved)
    .map(({ kind, issuer, subject, proof, onBehalfOf, actor }) => ({ kind, issuer, subject, proof, onBehalfOf, actor }));
  return {
    call: {
      case: 'raise',
      value: {
        id,
        session: ask.session,
        resourceNamespace: ask.resource.namespace,
        resourceName: ask.resource.name,
        principalsJson: Buffer.from(JSON.stringify(principals)),
        gates: gates.map(({ name, generation }) => ({ name, generation: BigInt(generation) })),
        authorsJson: Buffer.from(JSON.stringify(ask.authors)),
        summary: ask.summary,
        binding: ask.binding,
      },
    },
  };
}

function withdrawal(id: string, reason: string): ApprovalCallMessage {
  return { call: { case: 'withdraw', value: { id, reason } } };
}
