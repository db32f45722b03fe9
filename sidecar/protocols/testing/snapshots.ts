import type { Snapshot, SnapshotGate, SnapshotMasking, SnapshotPolicy, SnapshotResource, SnapshotRule } from '#crds/policy/snapshot.ts';

export const WORKLOAD = { namespace: 'ci', serviceAccount: 'runner' } as const;
export const NAMESPACE = 'shop';

/** What a driver's target looks like in a snapshot; the rest is filled in. */
export type ResourcePart = Pick<SnapshotResource, 'name' | 'protocol' | 'address' | 'requiredCapabilities'> &
  Partial<Pick<SnapshotResource, 'postgresql' | 'http' | 'tls' | 'aliases' | 'agentToken' | 'recording'>>;

export interface PolicyPart {
  readonly generation: number;
  readonly rules: readonly (Pick<SnapshotRule, 'name' | 'action'> & Partial<SnapshotRule>)[];
  readonly subjects?: SnapshotPolicy['subjects'];
  readonly limits?: SnapshotPolicy['limits'];
  readonly masking?: readonly Pick<SnapshotMasking, 'columns' | 'detectors'>[];
}

/** A gate that group `sre` decides, alone. */
export const GATE: SnapshotGate = {
  namespace: NAMESPACE,
  name: 'leads',
  uid: 'gate',
  generation: 1,
  approvers: [{ group: 'sre' }],
  quorum: 1,
  timeoutSeconds: 300,
  grant: { scope: 'Statement' },
  requireReason: false,
};

/** One resource and one policy over it, for the workload and for every user with a token. */
export function snapshotOf(resource: ResourcePart, policy: PolicyPart, gate: SnapshotGate = GATE): Snapshot {
  const { generation, limits } = policy;
  const masking = (policy.masking ?? []).map((rule) => ({
    namespace: NAMESPACE,
    name: 'masks',
    uid: 'masks',
    generation: 1,
    exemptSubjects: [],
    ...rule,
  }));
  const source = { kind: 'AccessPolicy', namespace: NAMESPACE, name: 'agents', uid: 'agents', generation } as const;
  return {
    schemaVersion: 1,
    workload: WORKLOAD,
    sources: [source],
    resources: [
      {
        namespace: NAMESPACE,
        generation: 1,
        aliases: [],
        tls: { mode: 'Disable' },
        agentToken: 'Accept',
        recording: { results: 'None', sampleRows: 0, fsync: 'Never' },
        ...resource,
        masking,
        gates: [gate],
        policies: [
          {
            namespace: NAMESPACE,
            name: 'agents',
            uid: 'agents',
            generation,
            mode: 'Enforce',
            subjects: policy.subjects ?? [{ serviceAccount: { namespace: WORKLOAD.namespace, name: WORKLOAD.serviceAccount } }],
            windows: [],
            ...(limits !== undefined && { limits }),
            rules: policy.rules.map((rule) => ({ gates: rule.action === 'RequireApproval' ? [gate.name] : [], ...rule })),
          },
        ],
      },
    ],
  };
}
