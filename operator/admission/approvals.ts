/**
 * ApprovalDecision: stamped with who sent it, and judged. Twice: what stamps runs before other mutating webhooks, what checks runs after them all.
 * ApprovalRequest: written by the operator alone.
 */
import { isDeepStrictEqual } from 'node:util';
import { ApprovalError, type ApprovalErrorCode } from '#crds/policy/approval-error.ts';
import { gatesOf } from '#crds/policy/quorum.ts';
import type { SnapshotGate } from '#crds/policy/snapshot.ts';
import { means } from '#crds/policy/subject.ts';
import { voteOf } from '#crds/policy/vote.ts';
import type { ApprovalRequest } from '#crds/v1alpha1/internal-kinds.ts';
import { API_VERSION } from '#crds/v1alpha1/kinds.ts';
import { decisionName, principalOf } from './approver.ts';
import {
  type AdmissionAnswer,
  type AdmissionRequest,
  ALLOWED,
  type Handler,
  type JsonObject,
  memberOf,
  type PatchOperation,
  refusal,
  textOf,
} from './review.ts';

export interface ApprovalAdmissionOptions {
  /** As they are now, not as some cache has them. Null where there is none; may reject: then the decision is refused. */
  readonly readRequest: (namespace: string, name: string) => Promise<ApprovalRequest | null>;
  readonly readGate: (namespace: string, name: string) => Promise<SnapshotGate | null>;
  readonly operatorUser: string;
  readonly now: () => number;
}

/** What the webhook writes, and nobody else. */
interface Stamp {
  readonly name: string;
  readonly approver: { readonly kind: string; readonly issuer: string; readonly subject: string };
  readonly gates: readonly string[];
  readonly uid: string;
}

/** Mutating, on CREATE of a decision. */
export function stampHandler(options: ApprovalAdmissionOptions): Handler {
  return (request) =>
    refusingApprovalErrors(async () => {
      const stamp = await judge(request, options);
      const [metadata, spec] = [memberOf(request.object, 'metadata'), memberOf(request.object, 'spec')];
      if (spec['approver'] !== undefined && !isDeepStrictEqual(spec['approver'], stamp.approver)) {
        throw new ApprovalError('NotAnApprover', 'spec.approver is written by the webhook: leave it out');
      }
      const owner = {
        apiVersion: API_VERSION,
        kind: 'ApprovalRequest',
        name: textOf(memberOf(spec, 'requestRef')['name']),
        uid: stamp.uid,
      };
      const patch: PatchOperation[] = [
        { op: 'add', path: '/spec/approver', value: stamp.approver },
        { op: 'add', path: '/spec/gates', value: stamp.gates },
        { op: 'add', path: '/spec/requestRef/uid', value: stamp.uid },
        // It goes when its request goes.
        { op: 'add', path: '/metadata/ownerReferences', value: [owner] },
        ...(textOf(metadata['name']) === '' ? [{ op: 'add', path: '/metadata/name', value: stamp.name } as const] : []),
        ...(metadata['finalizers'] === undefined ? [] : [{ op: 'remove', path: '/metadata/finalizers' } as const]),
      ];
      return { allowed: true, patch };
    });
}

/** Validating, on both kinds. */
export function checkHandler(options: ApprovalAdmissionOptions): Handler {
  return (request) =>
    refusingApprovalErrors(async () => {
      switch (request.resource.resource) {
        case 'approvalrequests':
          return request.user.username === options.operatorUser || isOnlyMetadata(request, ['spec', 'status'])
            ? ALLOWED
            : refusal(403, 'only the operator writes an ApprovalRequest: answer it with an ApprovalDecision');
        case 'approvaldecisions':
          if (request.operation === 'UPDATE') {
            return isOnlyMetadata(request, ['spec']) ? ALLOWED : refusal(422, 'spec: a decision never changes: it was made');
          }
          return checkStamp(request, await judge(request, options));
        default:
          return refusal(422, `neither a request nor a decision: ${request.resource.resource}`);
      }
    });
}

function checkStamp({ object }: AdmissionRequest, stamp: Stamp): AdmissionAnswer {
  const [metadata, spec] = [memberOf(object, 'metadata'), memberOf(object, 'spec')];
  const stamped = [spec['approver'], spec['gates'], memberOf(spec, 'requestRef')['uid'], textOf(metadata['name'])];
  return isDeepStrictEqual(stamped, [stamp.approver, stamp.gates, stamp.uid, stamp.name])
    ? ALLOWED
    : refusal(
        403,
        'what the webhook wrote was changed by something else: spec.approver, spec.gates, spec.requestRef.uid and metadata.name are its own',
      );
}

/** All that must hold of a decision. Throws ApprovalError. */
async function judge({ object, namespace, user }: AdmissionRequest, options: ApprovalAdmissionOptions): Promise<Stamp> {
  const spec = memberOf(object, 'spec');
  const name = textOf(memberOf(spec, 'requestRef')['name']);
  const approver = principalOf(user);
  const request = name === '' ? null : await options.readRequest(namespace, name);
  if (request === null) throw new ApprovalError('NotFound', `there is no ApprovalRequest ${namespace}/${name}`);
  const nowMs = options.now();
  const state = request.status?.state ?? 'Pending';
  if (state !== 'Pending') throw new ApprovalError('NotPending', `the request ${name} has ended (${state})`);
  if (Date.parse(request.spec.expiresAt) <= nowMs) throw new ApprovalError('NotPending', `the request ${name} has ended (Expired)`);
  const gates = await gatesInForce(request, options);
  voteOf({ name, askers: request.spec.askers, gates, votes: [] }, approver, decisionOf(spec), means, nowMs);
  const wanted = decisionName(name, approver);
  const given = textOf(memberOf(object, 'metadata')['name']);
  if (given !== '' && given !== wanted) {
    throw new ApprovalError(
      'AlreadyDecided',
      `metadata.name: leave it out (generateName: ${name}-), or write ${wanted}: a person decides a request once`,
    );
  }
  return {
    name: wanted,
    approver: { kind: approver.kind, issuer: approver.issuer, subject: approver.subject },
    gates: gatesOf(gates, approver, means).map((gate) => gate.name),
    uid: request.metadata.uid ?? '',
  };
}

function decisionOf(spec: JsonObject): { readonly decision: 'approve' | 'deny'; readonly reason?: string } {
  const reason = textOf(spec['reason']);
  // Anything else the CRD refuses.
  return { decision: spec['decision'] === 'Approve' ? 'approve' : 'deny', ...(reason === '' ? {} : { reason }) };
}

/** An edit of a gate ends what waits for it: the sidecar judges again. */
async function gatesInForce(request: ApprovalRequest, options: ApprovalAdmissionOptions): Promise<SnapshotGate[]> {
  const { namespace } = request.metadata;
  return Promise.all(
    request.spec.gates.map(async ({ name, generation }) => {
      const gate = await options.readGate(namespace, name);
      if (gate === null) throw new ApprovalError('GateMissing', `the ApprovalGate ${namespace}/${name} does not exist`);
      if (gate.generation !== generation) throw new ApprovalError('GateMissing', `the ApprovalGate ${namespace}/${name} was edited since`);
      return gate;
    }),
  );
}

function isOnlyMetadata({ operation, object, oldObject }: AdmissionRequest, members: readonly string[]): boolean {
  return operation === 'UPDATE' && members.every((member) => isDeepStrictEqual(object?.[member], oldObject?.[member]));
}

const STATUSES: { readonly [code in ApprovalErrorCode]: 403 | 409 | 422 | 503 } = {
  AskerNotIdentified: 422,
  GateMissing: 409,
  LimitExceeded: 422,
  Closed: 503,
  NotFound: 422,
  NotPending: 409,
  NotAnApprover: 403,
  SelfApproval: 403,
  DelegatedApprover: 403,
  AlreadyDecided: 409,
  ReasonRequired: 422,
  ReasonTooLong: 422,
};

async function refusingApprovalErrors(run: () => Promise<AdmissionAnswer>): Promise<AdmissionAnswer> {
  try {
    return await run();
  } catch (error: unknown) {
    if (error instanceof ApprovalError) return refusal(STATUSES[error.code], `${error.code}: ${error.message}`);
    throw error;
  }
}
