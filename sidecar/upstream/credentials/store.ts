import { inspect } from 'node:util';
import type { CredentialStore } from '../../pipeline.ts';

/** Key of a Secret to its bytes. */
export type SecretData = ReadonlyMap<string, Buffer>;
/** `namespace/name` to its keys. */
export type Secrets = ReadonlyMap<string, SecretData>;

export const CREDENTIAL_ERROR_CODES = ['SecretMissing', 'KeyMissing', 'Unreadable', 'TooLarge', 'Invalid'] as const;
export type CredentialErrorCode = (typeof CREDENTIAL_ERROR_CODES)[number];

/** A credential can't be had. Names Secret and key, never a value. */
export class CredentialError extends Error {
  override readonly name = 'CredentialError';
  readonly code: CredentialErrorCode;

  constructor(code: CredentialErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export interface ReplaceableCredentialStore extends CredentialStore {
  /** Takes all Secrets anew; what is not in there is gone. */
  replace(secrets: Secrets): void;
}

const REDACTED = '[credentials]';

/**
 * Credentials in memory, and nowhere else. Printing the store, in whatever way, says nothing of what it holds.
 * `get` gives a copy, which the caller may wipe.
 */
export function createCredentialStore(secrets: Secrets = new Map()): ReplaceableCredentialStore {
  let held = secrets;
  const store = {
    get(namespace: string, secret: string, key: string): Buffer {
      const data = held.get(`${namespace}/${secret}`);
      if (data === undefined) throw new CredentialError('SecretMissing', `there is no Secret ${namespace}/${secret}`);
      const value = data.get(key);
      if (value === undefined) throw new CredentialError('KeyMissing', `the Secret ${namespace}/${secret} has no key ${key}`);
      return Buffer.from(value);
    },
    replace(next: Secrets): void {
      held = next;
    },
    toString: () => REDACTED,
    toJSON: () => REDACTED,
    [inspect.custom]: () => REDACTED,
  };
  return store;
}
