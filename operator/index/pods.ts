/** The pods that were injected, as far as the operator looks at them. */
import { CONTAINERS } from '#crds/control/names.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

export interface PodObject extends KubeObject {
  readonly spec?: { readonly nodeName?: string; readonly serviceAccountName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
}

interface ContainerStatus {
  readonly name: string;
  readonly containerID?: string;
  readonly restartCount?: number;
  readonly state?: { readonly running?: object };
}

export interface InjectedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Empty before it is scheduled. */
  readonly node: string;
  readonly serviceAccount: string;
  /** Empty before the sidecar was first started. */
  readonly sidecarContainerId: string;
  readonly sidecarRestarts: number;
  readonly sidecarRunning: boolean;
  readonly phase: string;
  readonly deletionTimestamp: string | null;
  readonly annotations: { readonly [key: string]: string };
}

export interface PodIndex {
  get(uid: string): InjectedPod | undefined;
  all(): IterableIterator<InjectedPod>;
}

export interface PodIndexWriter extends PodIndex {
  set(pod: PodObject): void;
  remove(pod: PodObject): void;
}

export function createPodIndex(): PodIndexWriter {
  const pods = new Map<string, InjectedPod>();
  return {
    get: (uid) => pods.get(uid),
    all: () => pods.values(),
    set(pod) {
      const injected = read(pod);
      // A name can come again with another UID, and the watch may tell only of the new one.
      for (const other of pods.values()) {
        if (other.name === injected.name && other.namespace === injected.namespace && other.uid !== injected.uid) pods.delete(other.uid);
      }
      pods.set(injected.uid, injected);
    },
    remove: (pod) => void pods.delete(pod.metadata.uid ?? ''),
  };
}

/** What is kept of a pod while it is watched. */
export function prunePod({ metadata, spec, status }: PodObject): PodObject {
  const { name, namespace, uid, resourceVersion, deletionTimestamp, annotations = {} } = metadata;
  const ours = Object.fromEntries(Object.entries(annotations).filter(([key]) => key.startsWith('chaperone.dev/')));
  const sidecar = (list: readonly ContainerStatus[] | undefined) =>
    (list ?? []).filter((container) => container.name === CONTAINERS.sidecar);
  return {
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
      annotations: ours,
    },
    spec: {
      ...(spec?.nodeName === undefined ? {} : { nodeName: spec.nodeName }),
      ...(spec?.serviceAccountName === undefined ? {} : { serviceAccountName: spec.serviceAccountName }),
    },
    status: {
      ...(status?.phase === undefined ? {} : { phase: status.phase }),
      containerStatuses: sidecar(status?.containerStatuses),
      initContainerStatuses: sidecar(status?.initContainerStatuses),
    },
  };
}

function read({ metadata, spec, status }: PodObject): InjectedPod {
  const statuses = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  const sidecar = statuses.find(({ name }) => name === CONTAINERS.sidecar);
  return {
    namespace: metadata.namespace ?? '',
    name: metadata.name,
    uid: metadata.uid ?? '',
    node: spec?.nodeName ?? '',
    serviceAccount: spec?.serviceAccountName ?? 'default',
    sidecarContainerId: sidecar?.containerID ?? '',
    sidecarRestarts: sidecar?.restartCount ?? 0,
    sidecarRunning: sidecar?.state?.running !== undefined,
    phase: status?.phase ?? 'Unknown',
    deletionTimestamp: metadata.deletionTimestamp ?? null,
    annotations: metadata.annotations ?? {},
  };
}
