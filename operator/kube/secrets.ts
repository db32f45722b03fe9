/** Secrets, each by its name and only while somebody asks for it. Nobody here can list Secrets. */
import type { KubeClient } from './client.ts';
import type { KubeObject } from './resource.ts';
import { SECRETS } from './resources.ts';
import { single } from './source.ts';
import { startWatch, type Watch, type WatchLog, type WatchState } from './watch.ts';

export interface SecretObject extends KubeObject {
  readonly type?: string;
  /** Base64. */
  readonly data?: { readonly [key: string]: string };
}

/** `undefined`: not known yet. `null`: it does not exist. */
export type SecretListener = (secret: SecretObject | null) => void;

export interface SecretWatcher {
  /** The listener hears the present state as soon as it is known, and each change. The result ends it; the last one closes the watch. */
  watch(namespace: string, name: string, listener: SecretListener): () => void;
  /** What is known now of a Secret that somebody watches; undefined where nobody does, or it is not known yet. */
  current(namespace: string, name: string): SecretObject | null | undefined;
  states(): readonly WatchState[];
  stop(): Promise<void>;
}

interface Entry {
  readonly watch: Watch<SecretObject>;
  readonly listeners: Set<SecretListener>;
}

export function createSecretWatcher(kube: KubeClient, log: WatchLog): SecretWatcher {
  const entries = new Map<string, Entry>();

  const open = (namespace: string, name: string, key: string): Entry => {
    const listeners = new Set<SecretListener>();
    const tell = (secret: SecretObject | null) => {
      for (const listener of listeners) {
        try {
          listener(secret);
        } catch {
          // One listener's fault is not another's.
          log.warn({ secret: key }, 'a listener of a Secret failed');
        }
      }
    };
    const watch = startWatch<SecretObject>({
      source: single(kube, SECRETS, { namespace, name }),
      prune: ({ metadata, type, data }) => ({
        metadata: { namespace, name, ...pick(metadata) },
        ...(type === undefined ? {} : { type }),
        ...(data === undefined ? {} : { data }),
      }),
      onChange: (change) => tell(change.type === 'Set' ? change.object : null),
      log,
    });
    // A Secret that is not there makes no change to hear of.
    void watch.synced.then(() => {
      if (watch.state().synced && watch.get(key) === undefined) tell(null);
    });
    return { watch, listeners };
  };

  return {
    watch(namespace, name, listener) {
      const key = `${namespace}/${name}`;
      const known = entries.get(key);
      const entry = known ?? open(namespace, name, key);
      if (known === undefined) entries.set(key, entry);
      // A function of its own, so that one listener may be there twice.
      const own: SecretListener = (secret) => listener(secret);
      entry.listeners.add(own);
      if (entry.watch.state().synced) queueMicrotask(() => entry.listeners.has(own) && own(entry.watch.get(key) ?? null));
      return () => {
        if (!entry.listeners.delete(own) || entry.listeners.size > 0) return;
        entries.delete(key);
        void entry.watch.stop();
      };
    },
    current(namespace, name) {
      const key = `${namespace}/${name}`;
      const watch = entries.get(key)?.watch;
      return watch?.state().synced ? (watch.get(key) ?? null) : undefined;
    },
    states: () => [...entries.values()].map(({ watch }) => watch.state()),
    stop: async () => {
      const watches = [...entries.values()].map(({ watch }) => watch);
      entries.clear();
      await Promise.all(watches.map((watch) => watch.stop()));
    },
  };
}

function pick({ uid, resourceVersion }: SecretObject['metadata']) {
  return { ...(uid === undefined ? {} : { uid }), ...(resourceVersion === undefined ? {} : { resourceVersion }) };
}
