import { closeSync, fstatSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CredentialError, type SecretData, type Secrets } from './store.ts';

const MAX_FILE_BYTES = 1024 * 1024;
const NAME = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/;
const KEY = /^[-._a-zA-Z0-9]+$/;

export interface MountedSecrets {
  readonly secrets: Secrets;
  /** Files that every user of the machine can read. */
  readonly worldReadable: readonly string[];
}

/**
 * Reads DIR/NAMESPACE/NAME/KEY, each file a value. One newline at the end is not part of it. Names that begin with `..` are the
 * bookkeeping of a mounted Secret. What can't be read throws CredentialError.
 */
export function readMountedSecrets(dir: string): MountedSecrets {
  const secrets = new Map<string, SecretData>();
  const worldReadable: string[] = [];
  for (const namespace of folders(dir)) {
    for (const name of folders(join(dir, namespace))) {
      const data = new Map<string, Buffer>();
      for (const key of files(join(dir, namespace, name))) {
        const path = join(dir, namespace, name, key);
        const { value, mode } = readValue(path);
        if ((mode & 0o004) !== 0) worldReadable.push(path);
        data.set(key, value);
      }
      secrets.set(`${namespace}/${name}`, data);
    }
  }
  return { secrets, worldReadable };
}

function readValue(path: string): { readonly value: Buffer; readonly mode: number } {
  let file: number | undefined;
  try {
    file = openSync(path, 'r');
    const { mode, size } = fstatSync(file);
    if (size > MAX_FILE_BYTES) throw new CredentialError('TooLarge', `${path} is larger than 1 MiB`);
    const bytes = readFileSync(file);
    return { value: withoutNewline(bytes), mode };
  } catch (error) {
    throw error instanceof CredentialError ? error : new CredentialError('Unreadable', `${path} can't be read`);
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

function withoutNewline(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== 0x0a) return bytes;
  return bytes.subarray(0, bytes.at(-2) === 0x0d ? -2 : -1);
}

const folders = (dir: string) => entries(dir).filter((name) => NAME.test(name));
const files = (dir: string) => entries(dir).filter((name) => KEY.test(name));

/** Links are followed: a mounted Secret is made of them. */
function entries(dir: string): string[] {
  try {
    return readdirSync(dir)
      .filter((name) => !name.startsWith('.'))
      .sort();
  } catch {
    throw new CredentialError('Unreadable', `${dir} can't be read as a folder`);
  }
}
