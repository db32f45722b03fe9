/** The four kinds of group chaperone.dev, version v1alpha1. */
import { type AccessPolicySpec, accessPolicySpec, accessPolicyStatus } from './access-policy.ts';
import { type ApprovalGateSpec, approvalGateSpec, approvalGateStatus } from './approval-gate.ts';
import { type MaskingRuleSpec, maskingRuleSpec, maskingRuleStatus } from './masking-rule.ts';
import { type ProtectedResourceSpec, protectedResourceSpec, protectedResourceStatus } from './protected-resource.ts';
import type { Static, TSchema } from './schema.ts';
import type { policyStatus, resourceStatus, status } from './status.ts';

export const GROUP = 'chaperone.dev';
export const VERSION = 'v1alpha1';
export const API_VERSION = `${GROUP}/${VERSION}`;

/** metadata as far as we read it; the rest of Kubernetes' ObjectMeta is let through and left out. */
export interface ObjectMeta {
  readonly name: string;
  /** `default` where a manifest has none. */
  readonly namespace: string;
  /** Only of an object that comes from a cluster. */
  readonly uid?: string;
  readonly generation?: number;
  readonly resourceVersion?: string;
  readonly labels?: { readonly [key: string]: string };
  readonly annotations?: { readonly [key: string]: string };
}

interface Resource<K extends string, Spec, Status> {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: K;
  readonly metadata: ObjectMeta;
  readonly spec: Spec;
  readonly status?: Status;
}

export type Status = Static<typeof status>;
export type ResourceStatus = Static<typeof resourceStatus>;
export type PolicyStatus = Static<typeof policyStatus>;

export type ProtectedResource = Resource<'ProtectedResource', ProtectedResourceSpec, ResourceStatus>;
export type AccessPolicy = Resource<'AccessPolicy', AccessPolicySpec, PolicyStatus>;
export type MaskingRule = Resource<'MaskingRule', MaskingRuleSpec, PolicyStatus>;
export type ApprovalGate = Resource<'ApprovalGate', ApprovalGateSpec, Status>;
/** Any object of our group, valid, with its defaults filled in. */
export type ChaperoneObject = ProtectedResource | AccessPolicy | MaskingRule | ApprovalGate;
export type Kind = ChaperoneObject['kind'];

export interface PrinterColumn {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly description: string;
  /** 1: only with `-o wide`. */
  readonly priority?: 1;
}

export interface KindDefinition {
  readonly kind: Kind;
  readonly plural: string;
  readonly singular: string;
  readonly shortName: string;
  readonly spec: TSchema;
  readonly status: TSchema;
  /** Between Ready and Age. */
  readonly columns: readonly PrinterColumn[];
}

/** None of the short names is one of Kubernetes' own. */
export const KINDS: { readonly [K in Kind]: KindDefinition } = {
  ProtectedResource: {
    kind: 'ProtectedResource',
    plural: 'protectedresources',
    singular: 'protectedresource',
    shortName: 'chpr',
    spec: protectedResourceSpec,
    status: protectedResourceStatus,
    columns: [
      { name: 'Protocol', type: 'string', jsonPath: '.spec.protocol', description: 'What the target speaks' },
      { name: 'Host', type: 'string', jsonPath: '.spec.address.host', description: 'Host of the target' },
      { name: 'Port', type: 'integer', jsonPath: '.spec.address.port', description: 'Port of the target', priority: 1 },
      { name: 'TLS', type: 'string', jsonPath: '.spec.tls.mode', description: 'TLS towards the target', priority: 1 },
      {
        name: 'Assurance',
        type: 'string',
        jsonPath: '.status.assurance',
        description: 'Lowest assurance of masking that a session had',
        priority: 1,
      },
    ],
  },
  AccessPolicy: {
    kind: 'AccessPolicy',
    plural: 'accesspolicies',
    singular: 'accesspolicy',
    shortName: 'chap',
    spec: accessPolicySpec,
    status: accessPolicyStatus,
    columns: [
      { name: 'Target', type: 'string', jsonPath: '.spec.targetRefs[*].name', description: 'ProtectedResources that it applies to' },
      { name: 'Mode', type: 'string', jsonPath: '.spec.mode', description: 'Enforce or Audit' },
      { name: 'Sidecars', type: 'string', jsonPath: '.status.sidecars', description: 'Sidecars that enforce this generation', priority: 1 },
    ],
  },
  MaskingRule: {
    kind: 'MaskingRule',
    plural: 'maskingrules',
    singular: 'maskingrule',
    shortName: 'chmr',
    spec: maskingRuleSpec,
    status: maskingRuleStatus,
    columns: [
      { name: 'Target', type: 'string', jsonPath: '.spec.targetRefs[*].name', description: 'ProtectedResources that it applies to' },
      { name: 'Sidecars', type: 'string', jsonPath: '.status.sidecars', description: 'Sidecars that enforce this generation', priority: 1 },
    ],
  },
  ApprovalGate: {
    kind: 'ApprovalGate',
    plural: 'approvalgates',
    singular: 'approvalgate',
    shortName: 'chag',
    spec: approvalGateSpec,
    status: approvalGateStatus,
    columns: [
      { name: 'Quorum', type: 'integer', jsonPath: '.spec.quorum', description: 'How many different people must approve' },
      { name: 'Scope', type: 'string', jsonPath: '.spec.grant.scope', description: 'What an approval covers', priority: 1 },
      { name: 'Timeout', type: 'integer', jsonPath: '.spec.timeoutSeconds', description: 'Seconds that a command waits', priority: 1 },
    ],
  },
};
