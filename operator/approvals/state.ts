/** A request as its sidecar is told of it. */
import type { ApprovalStateMessage } from '#crds/control/approvals.ts';
import { ApprovalState_Phase as Phase } from '#crds/gen/chaperone/v1/sidecar_pb.js';
import type { ApprovalRequest } from '#crds/v1alpha1/internal-kinds.ts';
import { type ApprovalState, stateOf } from './settle.ts';

const PHASES: { readonly [state in ApprovalState]: Phase } = {
  Pending: Phase.PENDING,
  Approved: Phase.APPROVED,
  Denied: Phase.DENIED,
  Expired: Phase.EXPIRED,
  Withdrawn: Phase.WITHDRAWN,
};

export function messageOf(request: ApprovalRequest): ApprovalStateMessage {
  const { metadata, spec, status } = request;
  return {
    id: spec.id,
    name: metadata.name,
    phase: PHASES[stateOf(request)],
    message: status?.message ?? '',
    expiresAtMs: BigInt(Date.parse(spec.expiresAt)),
    approvedBy: (status?.approvedBy ?? []).map(({ issuer, subject }) => ({ issuer, subject })),
    grantUntilMs: BigInt(status?.grantUntil === undefined ? 0 : Date.parse(status.grantUntil)),
  };
}

/** `name` is empty where there is no object. */
export function refusedMessage(id: string, message: string): ApprovalStateMessage {
  return { id, name: '', phase: Phase.REFUSED, message, expiresAtMs: 0n, approvedBy: [], grantUntilMs: 0n };
}

/** Somebody deleted it: nobody can answer it any more. */
export function removedMessage({ metadata, spec }: ApprovalRequest): ApprovalStateMessage {
  return {
    id: spec.id,
    name: metadata.name,
    phase: Phase.WITHDRAWN,
    message: 'the ApprovalRequest was deleted',
    expiresAtMs: BigInt(Date.parse(spec.expiresAt)),
    approvedBy: [],
    grantUntilMs: 0n,
  };
}
