/** Kinds of our group that the operator and its webhooks write. Nobody keeps them in a folder: the loader, `validate` and `simulate` refuse them as manifests. */
import { type ApprovalDecisionSpec, approvalDecisionSpec } from './approval-decision.ts';
import { type ApprovalRequestSpec, type ApprovalRequestStatus, approvalRequestSpec, approvalRequestStatus } from './approval-request.ts';
import type { API_VERSION, ObjectMeta, PrinterColumn } from './kinds.ts';
import type { TSchema } from './schema.ts';
import { type SidecarBindingSpec, sidecarBindingSpec } from './sidecar-binding.ts';
import { type SidecarSliceSpec, sidecarSliceSpec } from './sidecar-slice.ts';

export interface ApprovalRequest {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: 'ApprovalRequest';
  readonly metadata: ObjectMeta;
  readonly spec: ApprovalRequestSpec;
  readonly status?: ApprovalRequestStatus;
}

export interface ApprovalDecision {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: 'ApprovalDecision';
  readonly metadata: ObjectMeta;
  readonly spec: ApprovalDecisionSpec;
}

export interface SidecarSlice {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: 'SidecarSlice';
  readonly metadata: ObjectMeta;
  readonly spec: SidecarSliceSpec;
}

export interface SidecarBinding {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: 'SidecarBinding';
  readonly metadata: ObjectMeta;
  readonly spec: SidecarBindingSpec;
}

export type InternalKind = (ApprovalRequest | ApprovalDecision | SidecarSlice | SidecarBinding)['kind'];

export interface InternalKindDefinition {
  readonly kind: InternalKind;
  readonly plural: string;
  readonly singular: string;
  readonly shortName: string;
  readonly spec: TSchema;
  /** Absent: no status, and no status subresource. */
  readonly status?: TSchema;
  /** All but Age, which comes last. */
  readonly columns: readonly PrinterColumn[];
  /** Not in the category `chaperone`: nothing that people look at. */
  readonly unlisted?: true;
}

export const INTERNAL_KINDS: { readonly [K in InternalKind]: InternalKindDefinition } = {
  ApprovalRequest: {
    kind: 'ApprovalRequest',
    plural: 'approvalrequests',
    singular: 'approvalrequest',
    shortName: 'chreq',
    spec: approvalRequestSpec,
    status: approvalRequestStatus,
    columns: [
      { name: 'Asker', type: 'string', jsonPath: '.spec.asker', description: 'Who asks' },
      { name: 'Resource', type: 'string', jsonPath: '.spec.resource', description: 'The ProtectedResource' },
      { name: 'Gate', type: 'string', jsonPath: '.spec.gates[*].name', description: 'The ApprovalGate that must pass; the first of them' },
      { name: 'State', type: 'string', jsonPath: '.status.state', description: 'Pending, or how it ended' },
      { name: 'Approvals', type: 'string', jsonPath: '.status.approvals', description: 'People who approved, of those who must' },
      { name: 'Expires', type: 'string', jsonPath: '.spec.expiresAt', description: 'When it ends undecided', priority: 1 },
      { name: 'What', type: 'string', jsonPath: '.spec.summary', description: 'The held action', priority: 1 },
    ],
  },
  ApprovalDecision: {
    kind: 'ApprovalDecision',
    plural: 'approvaldecisions',
    singular: 'approvaldecision',
    shortName: 'chdec',
    spec: approvalDecisionSpec,
    columns: [
      { name: 'Request', type: 'string', jsonPath: '.spec.requestRef.name', description: 'The ApprovalRequest' },
      { name: 'Decision', type: 'string', jsonPath: '.spec.decision', description: 'Approve or Deny' },
      { name: 'Approver', type: 'string', jsonPath: '.spec.approver.subject', description: 'Who decided, as the API server knows them' },
      { name: 'Reason', type: 'string', jsonPath: '.spec.reason', description: 'Why', priority: 1 },
    ],
  },
  SidecarSlice: {
    kind: 'SidecarSlice',
    plural: 'sidecarslices',
    singular: 'sidecarslice',
    shortName: 'chsl',
    spec: sidecarSliceSpec,
    columns: [
      { name: 'Replica', type: 'string', jsonPath: '.spec.replica', description: 'Replica of the operator' },
      { name: 'Renewed', type: 'date', jsonPath: '.spec.renewedAt', description: 'When the replica last said so' },
    ],
    unlisted: true,
  },
  SidecarBinding: {
    kind: 'SidecarBinding',
    plural: 'sidecarbindings',
    singular: 'sidecarbinding',
    shortName: 'chsb',
    spec: sidecarBindingSpec,
    columns: [
      { name: 'Namespace', type: 'string', jsonPath: '.spec.namespace', description: 'Namespace of the pod' },
      { name: 'Pod', type: 'string', jsonPath: '.spec.pod', description: 'Name of the pod' },
      { name: 'Restarts', type: 'integer', jsonPath: '.spec.restarts', description: 'Restarts of the sidecar when the key was taken' },
    ],
    unlisted: true,
  },
};
