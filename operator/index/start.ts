/** The index joined with the watches that feed it. */
import { LABELS, NAMESPACE_ANNOTATIONS } from '#crds/control/names.ts';
import { KINDS, type Kind } from '#crds/v1alpha1/kinds.ts';
import type { World } from '#operator/compile/compile.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { NAMESPACES, ofKind, PODS } from '#operator/kube/resources.ts';
import { collection } from '#operator/kube/source.ts';
import { startWatch, type Watch, type WatchLog, type WatchState, type WatchTimes } from '#operator/kube/watch.ts';
import { type Copy, createFreshness, type Freshness, type FreshnessTimes } from './freshness.ts';
import { createPodIndex, type InjectedPod, type PodIndex, type PodObject, prunePod } from './pods.ts';
import { createSnapshots, type Snapshots, workloadKey } from './snapshots.ts';
import { createWorldIndex, indexKey, type RawObject, type WorldIndex } from './world.ts';

export interface Index {
  readonly objects: Pick<WorldIndex, 'get' | 'keys'>;
  readonly pods: PodIndex;
  readonly snapshots: Snapshots;
  /** Null before all four kinds and the namespaces have been listed. */
  world(): World | null;
  /** All of them and the pods have been listed. */
  readonly synced: Promise<void>;
  states(): readonly WatchState[];
  /** Whether what policy is made of is known as the cluster has it. */
  readonly freshness: Freshness;
  /** `Kind/namespace/name` of what changed; `policy`: not only its status or metadata. */
  onObject(listener: (key: string, policy: boolean) => void): () => void;
  onPod(listener: (pod: InjectedPod | undefined) => void): () => void;
  stop(): Promise<void>;
}

export function startIndex(kube: KubeClient, log: WatchLog, times: Partial<WatchTimes & FreshnessTimes> = {}): Index {
  const objects = createWorldIndex();
  const pods = createPodIndex();
  const onObject = new Set<(key: string, policy: boolean) => void>();
  const onPod = new Set<(pod: InjectedPod | undefined) => void>();
  const watches: { readonly state: () => WatchState; readonly synced: Promise<void>; stop(): Promise<void> }[] = [];
  const copies: Copy[] = [];
  const kinds = Object.keys(KINDS) as Kind[];

  let policyWatches = Number.POSITIVE_INFINITY;
  const known = () => watches.length > policyWatches && watches.slice(0, policyWatches).every((watch) => watch.state().synced);
  const world = () => (known() ? objects.world() : null);
  const inUse = () => new Set([...pods.all()].map(workloadKey));
  const snapshots = createSnapshots({ world, log, inUse });

  for (const kind of kinds) {
    const watch: Watch<RawObject> = startWatch<RawObject>({
      source: collection(kube, ofKind(kind)),
      // A list has no apiVersion and kind in its items; managed fields are half of an object.
      prune: ({ metadata, spec, status }) => ({
        ...typeOf(kind),
        metadata: withoutManagedFields(metadata),
        ...(spec === undefined ? {} : { spec }),
        ...(status === undefined ? {} : { status }),
      }),
      onChange: (change) => {
        const changed = change.type === 'Set' ? objects.set(kind, change.object) : objects.remove(kind, change.object);
        if (changed) snapshots.changed();
        const { namespace = '', name } = change.object.metadata;
        for (const listener of onObject) listener(indexKey(kind, namespace, name), changed);
      },
      log,
      times,
    });
    watches.push(watch);
    copies.push({ kind, watch, list: (signal) => kube.list(ofKind(kind), { metadataOnly: true, signal }) });
  }
  const namespaces = startWatch<KubeObject>({
    source: collection(kube, NAMESPACES),
    prune: pruneNamespace,
    onChange: ({ type, object }) => {
      if (!(type === 'Set' ? objects.setNamespace(object) : objects.removeNamespace(object))) return;
      snapshots.changed();
      for (const listener of onObject) listener(`Namespace//${object.metadata.name}`, true);
    },
    log,
    times,
  });
  watches.push(namespaces);
  copies.push({ kind: 'Namespace', watch: namespaces, list: (signal) => kube.list(NAMESPACES, { metadataOnly: true, signal }) });
  policyWatches = watches.length;
  watches.push(
    startWatch<PodObject>({
      source: collection(kube, PODS, { labelSelector: `${LABELS.injected}=true` }),
      prune: prunePod,
      onChange: (change) => {
        if (change.type === 'Set') pods.set(change.object);
        else pods.remove(change.object);
        for (const listener of onPod) listener(pods.get(change.object.metadata.uid ?? ''));
      },
      log,
      times,
    }),
  );

  const synced = Promise.all(watches.map((watch) => watch.synced)).then(() => snapshots.changed());
  return {
    objects,
    pods,
    snapshots,
    world,
    synced,
    states: () => watches.map((watch) => watch.state()),
    freshness: createFreshness({ copies, log, times }),
    onObject: (listener) => subscribe(onObject, listener),
    onPod: (listener) => subscribe(onPod, listener),
    stop: async () => {
      snapshots.stop();
      await Promise.all(watches.map((watch) => watch.stop()));
    },
  };
}

function pruneNamespace({ metadata: { name, uid, resourceVersion, creationTimestamp, annotations } }: KubeObject): KubeObject {
  const { externalHosts } = NAMESPACE_ANNOTATIONS;
  const hosts = annotations?.[externalHosts];
  const kept = hosts === undefined ? {} : { annotations: { [externalHosts]: hosts } };
  return { metadata: { name, ...kept, ...given({ uid, resourceVersion, creationTimestamp }) } };
}

function given(members: { readonly [member: string]: string | undefined }): { [member: string]: string } {
  return Object.fromEntries(Object.entries(members).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

function typeOf(kind: Kind) {
  const { group, version } = ofKind(kind);
  return { apiVersion: `${group}/${version}`, kind };
}

function withoutManagedFields(metadata: RawObject['metadata']): RawObject['metadata'] {
  const { managedFields: _, ...rest } = metadata as RawObject['metadata'] & { readonly managedFields?: unknown };
  return rest;
}

function subscribe<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
