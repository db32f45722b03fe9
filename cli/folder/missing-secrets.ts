import { maskingKeys } from '#crds/policy/masking.ts';
import type { Snapshot } from '#crds/policy/snapshot.ts';
import type { Secrets } from '#sidecar/upstream/credentials/store.ts';

/** Secrets and keys that a resource needs and that were not given: its sessions are refused until they are, and what a key would mask is redacted. */
export function missingSecrets(snapshot: Snapshot, secrets: Secrets): string[] {
  return snapshot.resources.flatMap(({ namespace, name, tls, postgresql, http, masking }) => {
    const has = (secret: string, key: string) => secrets.get(`${namespace}/${secret}`)?.has(key) === true;
    const users = postgresql?.users.flatMap(({ secret, usernameKey, passwordKey }) => [
      { secret, key: usernameKey },
      { secret, key: passwordKey },
    ]);
    const needed = [tls.caSecret, http?.credential?.secret]
      .filter((ref) => ref !== undefined)
      .map((ref) => ({ secret: ref.name, key: ref.key }));
    const missing = [...(users ?? []), ...needed].filter(({ secret, key }) => !has(secret, key));
    const texts = missing.map(({ secret, key }) => `${namespace}/${secret} key ${key}`);
    const refuses = `ProtectedResource ${namespace}/${name} refuses sessions: there is no Secret ${[...new Set(texts)].join(', nor ')}`;
    const keys = maskingKeys(masking).filter((ref) => !has(ref.name, ref.key));
    const redacts = keys.map(
      (ref) =>
        `ProtectedResource ${namespace}/${name} gives placeholders in place of tokens: there is no Secret ${namespace}/${ref.name} key ${ref.key}`,
    );
    return texts.length === 0 ? redacts : [refuses, ...redacts];
  });
}
