/** Where a watch gets its objects from. */
import type { KubeClient, WatchEvent } from './client.ts';
import { isKubeError } from './error.ts';
import type { KubeObject, ResourceRef } from './resource.ts';

export interface Started<T> {
  /** All there is now; null where the events go on from where the last ones ended. */
  readonly items: readonly T[] | null;
  readonly resourceVersion: string | null;
  /** Connected: the server has answered. */
  readonly events: AsyncIterable<WatchEvent<T>>;
}

export interface Source<T> {
  /** For logs and metrics: `pods`, `secrets/shop/orders`. */
  readonly name: string;
  /** `resourceVersion`: the last one that was seen, or null for a fresh start. */
  start(resourceVersion: string | null, signal: AbortSignal): Promise<Started<T>>;
}

export interface Selection {
  /** The whole cluster where absent. */
  readonly namespace?: string;
  readonly labelSelector?: string;
}

/** The server ends a watch by then, and we open the next one: a connection that a load balancer forgot is not kept for ever. */
const WATCH_SECONDS = 290;

/** All objects of a resource, or those that a label selects. */
export function collection<T extends KubeObject>(kube: KubeClient, ref: ResourceRef, selection: Selection = {}): Source<T> {
  return {
    name: ref.plural,
    start: async (resourceVersion, signal) => {
      const listed = resourceVersion === null ? await kube.list<T>(ref, { ...selection, signal }) : null;
      const from = listed?.resourceVersion ?? resourceVersion ?? '';
      const events = await kube.watch<T>(ref, { ...selection, signal, resourceVersion: from, timeoutSeconds: WATCH_SECONDS });
      return { items: listed?.items ?? null, resourceVersion: from, events };
    },
  };
}

/**
 * One object, by name: needs the verbs get and watch on that name, and never list. The watch is open before the object is read, so that nothing that
 * happens between the two is missed. It always starts anew: the resourceVersion of an object that nobody changes is too old after minutes.
 */
export function single<T extends KubeObject>(
  kube: KubeClient,
  ref: ResourceRef,
  { namespace, name }: { readonly namespace: string; readonly name: string },
): Source<T> {
  return {
    name: `${ref.plural}/${namespace}/${name}`,
    start: async (_, signal) => {
      const fieldSelector = `metadata.name=${name}`;
      const events = await kube.watch<T>(ref, { namespace, fieldSelector, signal, resourceVersion: '', timeoutSeconds: WATCH_SECONDS });
      const found = await kube.get<T>(ref, { namespace, name }).catch((error: unknown) => {
        if (isKubeError(error, 'NotFound')) return null;
        throw error;
      });
      return { items: found === null ? [] : [found], resourceVersion: null, events };
    },
  };
}
