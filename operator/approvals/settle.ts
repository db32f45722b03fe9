/** How a request stands, from what lies in the API server and the time. Pure. */

import { NO_END_MS } from '#crds/control/approvals.ts';
import { distinctPeople } from '#crds/policy/people.ts';
import type { SnapshotGate } from '#crds/policy/snapshot.ts';
import type { ApprovalDecision, ApprovalRequest } from '#crds/v1alpha1/internal-kinds.ts';

type Status = NonNullable<ApprovalRequest['status']>;
export type ApprovalState = NonNullable<Status['state']>;

export interface Settled {
  readonly status: Status;
  /** When it is worth looking again; null where it has ended. */
  readonly againMs: number | null;
}

/** A decision with the time of its creation, which the API server made. */
export type StoredDecision = ApprovalDecision & { readonly metadata: { readonly creationTimestamp?: string } };

/** RFC 3339 of an approval that covers the rest of its session, however long that is. */
const NO_END = new Date(NO_END_MS).toISOString();

export function stateOf({ status }: ApprovalRequest): ApprovalState {
  return status?.state ?? 'Pending';
}

export function hasEnded(request: ApprovalRequest): boolean {
  return stateOf(request) !== 'Pending';
}

/** `gates` are those that the request names, as they are now; one that is gone or was edited is missing here. An ended request stays as it is. */
export function settle(
  request: ApprovalRequest,
  decisions: readonly StoredDecision[],
  gates: readonly SnapshotGate[],
  nowMs: number,
): Settled {
  if (request.status !== undefined && hasEnded(request)) return { status: request.status, againMs: null };
  const expiresAtMs = Date.parse(request.spec.expiresAt);
  const counted = countedOf(request, decisions, expiresAtMs);
  const ended = (state: ApprovalState, message: string, more: Partial<Status> = {}): Settled => ({
    status: statusOf(request, counted, { state, message, ...more }, nowMs),
    againMs: null,
  });
  const denial = counted.find(({ spec }) => spec.decision === 'Deny');
  if (denial !== undefined) return ended('Denied', denial.spec.reason === undefined ? 'denied' : `denied: ${denial.spec.reason}`);
  const lost = request.spec.gates.find(
    ({ name, generation }) => !gates.some((gate) => gate.name === name && gate.generation === generation),
  );
  if (lost !== undefined) return ended('Withdrawn', `the ApprovalGate ${request.metadata.namespace}/${lost.name} was edited or removed`);
  if (isComplete(request, counted)) {
    const approvedBy = counted.map(({ spec }) => ({ issuer: spec.approver?.issuer ?? '', subject: spec.approver?.subject ?? '' }));
    const grantUntil = grantOf(gates, nowMs);
    return ended('Approved', 'approved', { approvedBy, ...(grantUntil === null ? {} : { grantUntil }) });
  }
  if (!(nowMs < expiresAtMs)) return ended('Expired', 'nobody decided in time');
  return { status: statusOf(request, counted, { state: 'Pending', message: 'waits for approval' }, nowMs), againMs: expiresAtMs - nowMs };
}

/** The one who asked gave it up. Null where it has ended already. */
export function withdrawn(request: ApprovalRequest, decisions: readonly StoredDecision[], reason: string, nowMs: number): Status | null {
  if (hasEnded(request)) return null;
  const counted = countedOf(request, decisions, Date.parse(request.spec.expiresAt));
  return statusOf(request, counted, { state: 'Withdrawn', message: reason.slice(0, 1024) }, nowMs);
}

/** Decisions that the webhook has stamped for this very request, made in time; oldest first. */
function countedOf(request: ApprovalRequest, decisions: readonly StoredDecision[], expiresAtMs: number): StoredDecision[] {
  return decisions
    .filter(({ metadata, spec }) => {
      const ofThis = spec.requestRef.name === request.metadata.name && spec.requestRef.uid === request.metadata.uid;
      // The API server cuts its time to seconds, so it is never later than it was.
      return ofThis && spec.approver !== undefined && !(Date.parse(metadata.creationTimestamp ?? '') > expiresAtMs);
    })
    .sort(
      (a, b) =>
        compare(a.metadata.creationTimestamp ?? '', b.metadata.creationTimestamp ?? '') || compare(a.metadata.name, b.metadata.name),
    );
}

/** Each gate counts its own approvers; one person may count for several gates, and once for each. */
function approvedOf(gate: string, counted: readonly StoredDecision[]): number {
  const people = counted.filter(({ spec }) => spec.decision === 'Approve' && spec.gates?.includes(gate) === true);
  return distinctPeople(people.map(({ spec }) => ({ subject: spec.approver?.subject ?? '' })));
}

function isComplete({ spec }: ApprovalRequest, counted: readonly StoredDecision[]): boolean {
  return spec.gates.length > 0 && spec.gates.every(({ name, quorum }) => approvedOf(name, counted) >= quorum);
}

/** The narrowest of the gates' scopes; null where one covers the one action only. */
function grantOf(gates: readonly SnapshotGate[], nowMs: number): string | null {
  if (gates.some(({ grant }) => grant.scope === 'Statement')) return null;
  const windows = gates.flatMap(({ grant }) => (grant.scope === 'Window' ? [grant.windowSeconds] : []));
  return windows.length === 0 ? NO_END : new Date(nowMs + Math.min(...windows) * 1000).toISOString();
}

type Outcome = Pick<Status, 'approvedBy' | 'grantUntil'> & { readonly state: ApprovalState; readonly message: string };

function statusOf(request: ApprovalRequest, counted: readonly StoredDecision[], outcome: Outcome, nowMs: number): Status {
  const { spec } = request;
  const approvals = spec.gates.map(({ name, quorum }) => `${approvedOf(name, counted)}/${quorum}`).join(', ');
  const decisions = counted.slice(0, 64).map(({ metadata, spec: { approver, decision, reason } }) => ({
    name: metadata.name,
    issuer: approver?.issuer ?? '',
    subject: approver?.subject ?? '',
    decision,
    ...(reason === undefined ? {} : { reason }),
    time: metadata.creationTimestamp ?? new Date(nowMs).toISOString(),
  }));
  return {
    ...outcome,
    approvals,
    decisions,
    conditions: [conditionOf(request, outcome, nowMs)],
    ...(outcome.state === 'Pending' ? {} : { endedAt: new Date(nowMs).toISOString() }),
  };
}

/** For `kubectl wait --for=condition=Approved`. */
function conditionOf(request: ApprovalRequest, { state, message }: Outcome, nowMs: number) {
  const status = state === 'Approved' ? ('True' as const) : state === 'Pending' ? ('Unknown' as const) : ('False' as const);
  const before = request.status?.conditions?.find(({ type }) => type === 'Approved');
  const lastTransitionTime = before?.status === status ? before.lastTransitionTime : new Date(nowMs).toISOString();
  return { type: 'Approved', status, reason: state, message, lastTransitionTime, observedGeneration: request.metadata.generation ?? 1 };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
