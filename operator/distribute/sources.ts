/** What distribution needs of the rest of the operator, and no more. */
import type { Snapshot } from '#crds/policy/snapshot.ts';

export interface Workload {
  readonly namespace: string;
  readonly serviceAccount: string;
}

export interface CurrentSnapshot {
  /** `sha256:` and hex of `json`. */
  readonly version: string;
  readonly json: Buffer;
  readonly snapshot: Snapshot;
}

export interface SnapshotSource {
  /** Null: the world is not known yet. */
  current(workload: Workload): CurrentSnapshot | null;
  onChange(listener: (workload: Workload) => void): () => void;
}

/** Whether what this replica knows is what the cluster has. */
export interface Freshness {
  /** True: all that the cluster held when this was called is known here. */
  prove(): Promise<boolean>;
  /** Up to where: `#crds/control/revisions`. */
  revisions(): string;
}

/** The injected pods that exist now. */
export interface Pods {
  get(uid: string): Pod | undefined;
}

export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Empty before it is scheduled. */
  readonly node: string;
  readonly serviceAccount: string;
  /** Empty before the sidecar was first started. */
  readonly sidecarContainerId: string;
  readonly sidecarRestarts: number;
  readonly phase: string;
}

export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** An Event on a pod, with a stable code. */
export interface PodEvents {
  emit(
    reason: 'EnrolmentRefused' | 'SnapshotRejected' | 'RestartRequired' | 'UnmonitoredEgress',
    pod: Pick<Pod, 'namespace' | 'name' | 'uid'>,
    note: string,
  ): void;
}

export const hasEnded = (pod: Pick<Pod, 'phase'>): boolean => pod.phase === 'Succeeded' || pod.phase === 'Failed';
