/** The operator's approvals: what `handlers.approvals` of the control server is. */
import type { ApprovalStateMessage } from '#crds/control/approvals.ts';
import { clusterLookup } from '../admission/lookup.ts';
import type { SnapshotSource } from '../index/snapshots.ts';
import type { KubeClient } from '../kube/client.ts';
import type { EventReason } from '../kube/event-codes.ts';
import type { EventRecorder } from '../kube/events.ts';
import { type ApprovalController, type ApprovalsOptions, REQUESTS, startApprovals } from './controller.ts';
import type { ApprovalPeer } from './raise.ts';
import type { ApprovalState } from './settle.ts';
import { type ApprovalStream, openApprovalStream } from './stream.ts';

export interface ApprovalServiceOptions extends Pick<ApprovalsOptions, 'now' | 'log' | 'isLeader' | 'keepEndedMs'> {
  readonly kube: KubeClient;
  readonly snapshots: Pick<SnapshotSource, 'current'>;
  readonly events: Pick<EventRecorder, 'emit'>;
  /** For metrics: of each state that this replica wrote. */
  readonly onState?: (state: ApprovalState) => void;
}

export interface ApprovalService {
  readonly controller: ApprovalController;
  readonly handler: (peer: ApprovalPeer, send: (state: ApprovalStateMessage) => void) => ApprovalStream;
  stop(): Promise<void>;
}

const REASONS: { readonly [state in ApprovalState]: EventReason } = {
  Pending: 'ApprovalRequested',
  Approved: 'ApprovalGranted',
  Denied: 'ApprovalDenied',
  Expired: 'ApprovalExpired',
  Withdrawn: 'ApprovalWithdrawn',
};

export function startApprovalService({ kube, snapshots, events, onState, ...options }: ApprovalServiceOptions): ApprovalService {
  const controller = startApprovals({
    ...options,
    kube,
    gate: clusterLookup(kube).readGate,
    onState: ({ metadata: { namespace, name, uid }, spec }, state, message) => {
      onState?.(state);
      events.emit(
        REASONS[state],
        { ref: REQUESTS, namespace, name, ...(uid === undefined ? {} : { uid }) },
        state === 'Pending'
          ? `${spec.asker} asks for ${spec.resource}, and ${spec.gates.map((gate) => gate.name).join(', ')} must approve.`
          : message,
      );
    },
  });
  const gatesOf = (peer: ApprovalPeer, namespace: string, resource: string) => {
    const resources = snapshots.current({ namespace: peer.namespace, serviceAccount: peer.serviceAccount })?.snapshot.resources;
    return resources?.find((one) => one.namespace === namespace && one.name === resource)?.gates ?? null;
  };
  return {
    controller,
    handler: (peer, send) => openApprovalStream({ controller, gatesOf, now: options.now, log: options.log }, peer, send),
    stop: () => controller.stop(),
  };
}
