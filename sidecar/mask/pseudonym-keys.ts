import { createSecretKey, type KeyObject } from 'node:crypto';
import { canonicalJson } from '#crds/policy/json.ts';
import type { SnapshotPseudonym } from '#crds/policy/snapshot.ts';
import type { CredentialStore, Log } from '../pipeline.ts';
import type { Pseudonyms } from './detect-strategy.ts';
import { MIN_KEY_BYTES, Pseudonymiser, pseudonymKey } from './pseudonym.ts';

interface Held {
  /** All of the Secret's value, to see that it has changed. */
  readonly value: KeyObject;
  readonly key: KeyObject | null;
  readonly made: Map<string, Pseudonymiser>;
}

/** Keys by Secret and key, one set for each store of credentials: sessions of one process share what was computed with them. */
const shared = new WeakMap<CredentialStore, Map<string, Held>>();

/** Keys of a namespace, looked up anew with each call, so that a new one counts with the next result. Null without one that is fit, which is logged once. */
export function pseudonymsOf(credentials: CredentialStore, namespace: string, log: Log): Pseudonyms {
  const keys = shared.get(credentials) ?? new Map<string, Held>();
  shared.set(credentials, keys);
  return (strategy) => {
    const { name, key } = strategy.keySecret;
    const id = `${namespace}/${name}/${key}`;
    const held = current(keys, id, read(credentials, namespace, strategy));
    if (held.key === null) {
      if (!keys.has(id)) log.warn({ secret: `${namespace}/${name}`, key }, held.value === NONE ? MISSING : UNFIT);
      keys.set(id, held);
      return null;
    }
    keys.set(id, held);
    const label = canonicalJson([strategy.type, strategy.domain]);
    const known = held.made.get(label) ?? new Pseudonymiser(held.key, strategy);
    held.made.set(label, known);
    return known;
  };
}

const MISSING = 'the key of a masking rule is missing: placeholders stand in place of its tokens';
const UNFIT = `the key of a masking rule is no random key of at least ${MIN_KEY_BYTES} bytes: placeholders stand in place of its tokens`;
/** In place of a value that is not there. */
const NONE = createSecretKey(Buffer.from([0]));

function read(credentials: CredentialStore, namespace: string, { keySecret }: SnapshotPseudonym): Buffer | null {
  try {
    return credentials.get(namespace, keySecret.name, keySecret.key);
  } catch {
    return null;
  }
}

function current(keys: Map<string, Held>, id: string, bytes: Buffer | null): Held {
  const value = bytes === null || bytes.length === 0 ? NONE : createSecretKey(bytes);
  const known = keys.get(id);
  if (known?.value.equals(value)) {
    bytes?.fill(0);
    return known;
  }
  // Another one: what is wrong with it is said again.
  keys.delete(id);
  const key = bytes === null || bytes.length === 0 ? null : pseudonymKey(bytes);
  bytes?.fill(0);
  return { value, key, made: new Map() };
}
