/** Target credentials and masking keys for sidecars: the keys of Secrets that a workload's own snapshot names, and no other. */
import { createHash } from 'node:crypto';
import { maskingKeys } from '#crds/policy/masking.ts';
import type { Snapshot, SnapshotResource } from '#crds/policy/snapshot.ts';
import type { SidecarPeer } from '../distribute/peer.ts';
import type { CurrentSnapshot, SnapshotSource } from '../distribute/sources.ts';

/** SecretWatcher of operator/kube: each by its name, never a list. */
export interface SecretSource {
  watch(namespace: string, name: string, listener: () => void): () => void;
  /** `undefined`: not known yet; `null`: there is none. Values are base64. */
  current(namespace: string, name: string): { readonly data?: { readonly [key: string]: string } } | null | undefined;
}

export interface SecretValueInit {
  readonly namespace: string;
  readonly name: string;
  readonly data: { [key: string]: Uint8Array };
}

export interface SecretSink {
  /** `flushed` is called when it has left this process. */
  send(update: { readonly secrets: SecretValueInit[] }, flushed: () => void): void;
  readonly ended: AbortSignal;
}

/** `namespace/name` of each Secret to the keys that are needed of it. */
export function secretsOf(snapshot: Snapshot): ReadonlyMap<string, ReadonlySet<string>> {
  const needed = new Map<string, Set<string>>();
  for (const resource of snapshot.resources) {
    for (const { name, key } of keysOf(resource)) {
      const id = `${resource.namespace}/${name}`;
      needed.set(id, (needed.get(id) ?? new Set<string>()).add(key));
    }
  }
  return needed;
}

function keysOf({ tls, postgresql, http, masking }: SnapshotResource): { readonly name: string; readonly key: string }[] {
  const users = (postgresql?.users ?? []).flatMap(({ secret, usernameKey, passwordKey }) => [
    { name: secret, key: usernameKey },
    { name: secret, key: passwordKey },
  ]);
  return [
    ...users,
    ...(tls.caSecret === undefined ? [] : [tls.caSecret]),
    ...(http?.credential === undefined ? [] : [http.credential.secret]),
    // Where no session can be opened, no result needs a token.
    ...(users.length === 0 ? [] : maskingKeys(masking)),
  ];
}

/** A burst of changes is one update. */
const SETTLE_MS = 20;

/** Sends all of them at once when they are known, and again at each change of one of them or of the snapshot, until the sink has ended. */
export function createSecretsHandler(snapshots: SnapshotSource, secrets: SecretSource): (peer: SidecarPeer, sink: SecretSink) => void {
  return ({ namespace, serviceAccount }, sink) => {
    const workload = { namespace, serviceAccount };
    const watched = new Map<string, () => void>();
    let snapshot: CurrentSnapshot | null = null;
    let timer: NodeJS.Timeout | undefined;
    let sending = false;
    let sent: string | null = null;

    const soon = () => {
      if (!sink.ended.aborted) timer ??= setTimeout(send, SETTLE_MS);
    };
    const follow = () => {
      const next = snapshots.current(workload);
      if (next === null || next.version === snapshot?.version) return;
      snapshot = next;
      const needed = secretsOf(next.snapshot);
      for (const id of needed.keys()) {
        if (!watched.has(id)) watched.set(id, secrets.watch(...parts(id), soon));
      }
      for (const [id, stop] of watched) {
        if (needed.has(id)) continue;
        stop();
        watched.delete(id);
      }
      soon();
    };
    const send = () => {
      timer = undefined;
      // A slow reader gets the newest when it has read the last.
      if (sink.ended.aborted || sending || snapshot === null) return;
      const values = valuesOf(snapshot.snapshot, secrets);
      if (values === null) return;
      const hash = hashOf(values);
      if (hash === sent) return;
      sent = hash;
      sending = true;
      sink.send({ secrets: values }, () => {
        sending = false;
        soon();
      });
    };

    const stopListening = snapshots.onChange((changed) => {
      if (changed.namespace === namespace && changed.serviceAccount === serviceAccount) follow();
    });
    sink.ended.addEventListener('abort', () => {
      clearTimeout(timer);
      stopListening();
      for (const stop of watched.values()) stop();
      watched.clear();
      sent = null;
    });
    follow();
  };
}

/** Null while one of them is not known yet. One that does not exist, or a key that it lacks, is left out. */
function valuesOf(snapshot: Snapshot, secrets: SecretSource): SecretValueInit[] | null {
  const values: SecretValueInit[] = [];
  for (const [id, keys] of secretsOf(snapshot)) {
    const [namespace, name] = parts(id);
    const secret = secrets.current(namespace, name);
    if (secret === undefined) return null;
    if (secret === null) continue;
    const data: { [key: string]: Uint8Array } = {};
    for (const key of keys) {
      const value = Object.hasOwn(secret.data ?? {}, key) ? secret.data?.[key] : undefined;
      if (value !== undefined) data[key] = Buffer.from(value, 'base64');
    }
    values.push({ namespace, name, data });
  }
  return values;
}

function hashOf(values: readonly SecretValueInit[]): string {
  const hash = createHash('sha256');
  for (const { namespace, name, data } of values) {
    hash.update(JSON.stringify([namespace, name, Object.entries(data).map(([key, value]) => [key, value.length])]));
    for (const value of Object.values(data)) hash.update(value);
  }
  return hash.digest('hex');
}

function parts(id: string): readonly [namespace: string, name: string] {
  const slash = id.indexOf('/');
  return [id.slice(0, slash), id.slice(slash + 1)];
}
