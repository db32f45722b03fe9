import { isProved, sharesAName } from '#crds/policy/people.ts';
import type { Principal } from '#crds/policy/principal.ts';
import { type GateProgress, gatesOf, type MatchesSubject, progressOf } from '#crds/policy/quorum.ts';
import type { Author } from '#crds/policy/verdict.ts';
import type { ApprovalOutcome, ResourceKey } from '../pipeline.ts';
import type { Request } from './broker.ts';

/** A request as people see it, on the admin socket and in the CLI. */
export interface ApprovalView {
  readonly name: string;
  readonly state: 'pending' | ApprovalOutcome['type'];
  readonly resource: ResourceKey;
  readonly session: string;
  readonly askers: readonly { readonly issuer: string; readonly subject: string }[];
  /** The action, with its literals tokenised. */
  readonly summary: string;
  readonly heldBy: readonly Author[];
  readonly gates: readonly (GateProgress & { readonly grant: 'Statement' | 'Session' | 'Window'; readonly requireReason: boolean })[];
  /** SHA-256 of what an approval is bound to. */
  readonly binding: string;
  /** RFC 3339. */
  readonly raisedAt: string;
  readonly expiresAt: string;
  readonly decisions: readonly { readonly issuer: string; readonly subject: string; readonly decision: string; readonly reason?: string }[];
}

export function viewOf(request: Request, matches: MatchesSubject): ApprovalView {
  const approvers = request.votes.filter((vote) => vote.decision === 'approve').map((vote) => vote.approver);
  const progress = progressOf(request.gates, approvers, matches);
  return {
    name: request.name,
    state: request.state,
    resource: request.ask.resource,
    session: request.ask.session,
    askers: request.ask.principals.map(({ issuer, subject }) => ({ issuer, subject })),
    summary: request.ask.summary,
    heldBy: request.ask.authors,
    gates: request.gates.map((gate, index) => ({
      ...(progress[index] ?? { namespace: gate.namespace, name: gate.name, quorum: gate.quorum, approved: 0 }),
      grant: gate.grant.scope,
      requireReason: gate.requireReason,
    })),
    binding: request.ask.binding,
    raisedAt: new Date(request.raisedAtMs).toISOString(),
    expiresAt: new Date(request.expiresAtMs).toISOString(),
    decisions: request.votes.map(({ approver, decision, reason }) => ({
      issuer: approver.issuer,
      subject: approver.subject,
      decision,
      ...(reason === undefined ? {} : { reason }),
    })),
  };
}

/** Those who asked and those who may decide. To anyone else a request does not exist. */
export function maySee(request: Request, viewer: Principal, matches: MatchesSubject): boolean {
  return isProved(viewer) && (sharesAName(viewer, request.ask.principals) || gatesOf(request.gates, viewer, matches).length > 0);
}
