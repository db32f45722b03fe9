/** Which key speaks for which pod: a SidecarBinding in the operator's namespace for each, written by compare-and-swap by whichever replica is asked. */
import { GROUP, VERSION } from '#crds/v1alpha1/kinds.ts';
import type { SidecarBindingSpec } from '#crds/v1alpha1/sidecar-binding.ts';
import type { KubeClient } from '../kube/client.ts';
import { isKubeError } from '../kube/error.ts';
import type { KubeObject, ResourceRef } from '../kube/resource.ts';
import { collection } from '../kube/source.ts';
import { startWatch, type WatchLog, type WatchState } from '../kube/watch.ts';

export const SIDECAR_BINDINGS: ResourceRef = {
  group: GROUP,
  version: VERSION,
  plural: 'sidecarbindings',
  kind: 'SidecarBinding',
  namespaced: true,
};

interface BindingObject extends KubeObject {
  readonly spec: SidecarBindingSpec;
}

export interface Bindings {
  /** True where the key speaks for the pod from now on; false where another one does. Rejects with KubeError. */
  claim(binding: SidecarBindingSpec): Promise<boolean>;
  /** The key that speaks for the pod; null where none does. Rejects with KubeError. */
  keyOf(podUid: string): Promise<string | null>;
  /** Removes those of pods that are gone; those younger than a minute stay: the index of pods may lag. Rejects with KubeError. */
  sweep(exists: (podUid: string) => boolean): Promise<number>;
}

export interface BindingIndex {
  /** Undefined where none is known, or the watch has been silent for longer than a bookmark takes. */
  keyOf(podUid: string): string | undefined;
  state(): WatchState;
  stop(): Promise<void>;
}

/** The bindings as a watch has them, so that looking at every stream four times a minute is no read of the API server's for each. */
export function startBindingIndex(kube: KubeClient, namespace: string, log: WatchLog): BindingIndex {
  const watch = startWatch<BindingObject>({ source: collection(kube, SIDECAR_BINDINGS, { namespace }), onChange: () => {}, log });
  return {
    keyOf(podUid) {
      const { connected, lastEventAgeMs } = watch.state();
      return connected && lastEventAgeMs < CACHE_MS ? watch.get(`${namespace}/${podUid}`)?.spec.key : undefined;
    },
    state: () => watch.state(),
    stop: () => watch.stop(),
  };
}

const CACHE_MS = 90_000;
const TRIES = 5;
const YOUNG_MS = 60_000;

export function createBindings(
  kube: Pick<KubeClient, 'get' | 'list' | 'create' | 'update' | 'delete'>,
  namespace: string,
  now: () => number,
): Bindings {
  const read = async (podUid: string): Promise<BindingObject | null> => {
    try {
      return await kube.get<BindingObject>(SIDECAR_BINDINGS, { namespace, name: podUid });
    } catch (error: unknown) {
      if (isKubeError(error, 'NotFound')) return null;
      throw error;
    }
  };
  const write = async (spec: SidecarBindingSpec, known: BindingObject | null): Promise<boolean> => {
    const { resourceVersion } = known?.metadata ?? {};
    const object = { metadata: { namespace, name: spec.podUid, ...(resourceVersion === undefined ? {} : { resourceVersion }) }, spec };
    try {
      await (known === null ? kube.create(SIDECAR_BINDINGS, object) : kube.update(SIDECAR_BINDINGS, object));
      return true;
    } catch (error: unknown) {
      if (isKubeError(error, 'AlreadyExists', 'Conflict')) return false;
      throw error;
    }
  };
  return {
    async claim(binding) {
      for (let left = TRIES; left > 0; left--) {
        const known = await read(binding.podUid);
        if (known !== null && known.spec.key !== binding.key && !wasRestarted(known.spec, binding)) return false;
        if (known !== null && known.spec.key === binding.key && !tellsMore(known.spec, binding)) return true;
        if (await write(binding, known)) return true;
      }
      return false;
    },
    keyOf: async (podUid) => (await read(podUid))?.spec.key ?? null,
    async sweep(exists) {
      const { items } = await kube.list<BindingObject>(SIDECAR_BINDINGS, { namespace });
      let removed = 0;
      for (const { metadata } of items) {
        const age = now() - Date.parse(metadata.creationTimestamp ?? '');
        if (exists(metadata.name) || !(age > YOUNG_MS)) continue;
        await kube.delete(SIDECAR_BINDINGS, { namespace, name: metadata.name }).catch((error: unknown) => {
          if (!isKubeError(error, 'NotFound')) throw error;
        });
        removed++;
      }
      return removed;
    },
  };
}

/** An ID that was not known and is now is no restart: the kubelet tells late. */
export function wasRestarted(bound: Pick<SidecarBindingSpec, 'containerId' | 'restarts'>, now: typeof bound): boolean {
  if (now.restarts !== bound.restarts) return now.restarts > bound.restarts;
  return bound.containerId !== '' && now.containerId !== '' && now.containerId !== bound.containerId;
}

/** The same key, and the container is known by now: without it, a later restart could not be told. */
function tellsMore(bound: SidecarBindingSpec, now: SidecarBindingSpec): boolean {
  return (bound.containerId === '' && now.containerId !== '') || wasRestarted(bound, now);
}
