import type { SnapshotGate } from '#crds/policy/snapshot.ts';
import type { ApprovalRequest } from '#crds/v1alpha1/internal-kinds.ts';

export const NOW_MS = Date.UTC(2026, 0, 1);

export const GATE: SnapshotGate = {
  namespace: 'shop',
  name: 'leads',
  uid: 'g-1',
  generation: 1,
  approvers: [{ group: 'leads' }],
  quorum: 1,
  timeoutSeconds: 60,
  grant: { scope: 'Statement' },
  requireReason: false,
};

export function requestWith(over: Partial<ApprovalRequest['spec']> = {}): ApprovalRequest {
  return {
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'ApprovalRequest',
    metadata: { name: 'apr-1', namespace: 'shop', uid: 'u-1', generation: 1 },
    spec: {
      id: '0b5c1c52-3a2c-4c7e-9d0b-0f2f6a2f1a11',
      session: 's-1',
      resource: 'orders',
      asker: 'alice',
      askers: [{ kind: 'User', issuer: 'https://idp.example', subject: 'alice', proof: 'token' }],
      gates: [{ name: 'leads', generation: 1, quorum: 1 }],
      authors: [],
      summary: 'UPDATE …',
      binding: 'b'.repeat(64),
      sidecar: { namespace: 'ci', serviceAccount: 'agent', pod: 'agent-1', podUid: 'p-1' },
      expiresAt: new Date(NOW_MS + 60_000).toISOString(),
      ...over,
    },
  };
}
