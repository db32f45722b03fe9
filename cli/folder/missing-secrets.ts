import type { Snapshot } from '#crds/policy/snapshot.ts';
import type { Secrets } from '#sidecar/upstream/credentials/store.ts';

/** Secrets and keys that a resource needs and that were not given: its sessions are refused until they are. */
export function missingSecrets(snapshot: Snapshot, secrets: Secrets): string[] {
  return snapshot.resources.flatMap(({ namespace, name, tls, postgresql, http }) => {
    const users = postgresql?.users.flatMap(({ secret, usernameKey, passwordKey }) => [
      { secret, key: usernameKey },
      { secret, key: passwordKey },
    ]);
    const needed = [tls.caSecret, http?.credential?.secret]
      .filter((ref) => ref !== undefined)
      .map((ref) => ({ secret: ref.name, key: ref.key }));
    const missing = [...(users ?? []), ...needed].filter(({ secret, key }) => secrets.get(`${namespace}/${secret}`)?.has(key) !== true);
    const texts = missing.map(({ secret, key }) => `${namespace}/${secret} key ${key}`);
    return texts.length === 0
      ? []
      : [`ProtectedResource ${namespace}/${name} refuses sessions: there is no Secret ${[...new Set(texts)].join(', nor ')}`];
  });
}
