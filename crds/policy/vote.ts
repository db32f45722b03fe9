import { ApprovalError } from './approval-error.ts';
import { isDelegated, isProved, type Named, personKey, sharesAName } from './people.ts';
import type { Principal } from './principal.ts';
import { gatesOf, type MatchesSubject } from './quorum.ts';
import type { SnapshotGate } from './snapshot.ts';

export interface Decision {
  readonly decision: 'approve' | 'deny';
  /** At most 1024 characters. */
  readonly reason?: string;
}

/** One person's decision on one request; never changed afterwards. */
export interface Vote {
  readonly approver: Principal;
  readonly decision: Decision['decision'];
  readonly reason?: string;
  readonly atMs: number;
}

/** What a vote is judged against: the broker's request in standalone mode, an ApprovalRequest with its live gates in a cluster. */
export interface VotedOn {
  readonly name: string;
  readonly askers: readonly Named[];
  readonly gates: readonly SnapshotGate[];
  readonly votes: readonly Pick<Vote, 'approver'>[];
}

const MAX_REASON = 1024;

/** Judges whether this person may decide, in this order. Throws ApprovalError. */
export function voteOf(request: VotedOn, approver: Principal, decision: Decision, matches: MatchesSubject, nowMs: number): Vote {
  if (!isProved(approver) || isDelegated(approver)) {
    throw new ApprovalError('DelegatedApprover', 'a decision needs the own token of the person who decides');
  }
  if (sharesAName(approver, request.askers)) {
    throw new ApprovalError('SelfApproval', `${approver.subject} asked for ${request.name}: another person must decide`);
  }
  const gates = gatesOf(request.gates, approver, matches);
  if (gates.length === 0) {
    throw new ApprovalError('NotAnApprover', `${approver.subject} is not an approver of ${request.gates.map(gateName).join(', ')}`);
  }
  if (request.votes.some((vote) => personKey(vote.approver) === personKey(approver))) {
    throw new ApprovalError('AlreadyDecided', `${approver.subject} has decided ${request.name} already`);
  }
  const reason = decision.reason?.trim();
  if (reason !== undefined && reason.length > MAX_REASON)
    throw new ApprovalError('ReasonTooLong', `a reason has at most ${MAX_REASON} characters`);
  const asksWhy = gates.find((gate) => gate.requireReason);
  if (asksWhy !== undefined && !reason) throw new ApprovalError('ReasonRequired', `the ApprovalGate ${gateName(asksWhy)} wants a reason`);
  return { approver, decision: decision.decision, atMs: nowMs, ...(reason ? { reason } : {}) };
}

const gateName = (gate: { readonly namespace: string; readonly name: string }) => `${gate.namespace}/${gate.name}`;
