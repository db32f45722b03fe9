import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, renameSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { writeSynced } from '../system/fsync.ts';
import { keyIdOf } from './certify.ts';
import { causeOf, RecordingError } from './error.ts';
import type { PublicKeys } from './platform.ts';

export const PUBLIC_KEY_FILE = 'recording.pub.pem';
const PRIVATE_KEY_FILE = 'recording.key.pem';
const TOKEN_KEY_FILE = 'recording-token.key';
const TOKEN_KEY_BYTES = 32;

export interface RecordingKeys {
  readonly keyId: string;
  readonly publicKeys: PublicKeys;
  readonly publicKeyFile: string;
  /** Ed25519, 128 hex digits. */
  sign(message: Uint8Array | string): string;
  /** `‹t:` and 16 hex digits `›`: equal for equal values of this state folder, and nothing without its key. */
  tokenise(value: Uint8Array | string): string;
}

/** Reads the keys of `folder`, or makes them at the first start (folder 0700, files 0600). Throws RecordingError. */
export function openKeys(folder: string): RecordingKeys {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chmodSync(folder, 0o700);
    const privateKey = createPrivateKey(readOrMake(folder, PRIVATE_KEY_FILE, newPrivateKey));
    if (privateKey.asymmetricKeyType !== 'ed25519') throw new Error(`${PRIVATE_KEY_FILE} is not an Ed25519 key`);
    const token = readOrMake(folder, TOKEN_KEY_FILE, () => randomBytes(TOKEN_KEY_BYTES));
    if (token.length !== TOKEN_KEY_BYTES) throw new Error(`${TOKEN_KEY_FILE} is not ${TOKEN_KEY_BYTES} bytes long`);
    return keysOf(folder, privateKey, createSecretKey(token));
  } catch (error: unknown) {
    throw new RecordingError('KeyInvalid', `the recording's keys in ${folder} can't be used: ${causeOf(error)}`);
  }
}

function keysOf(folder: string, privateKey: KeyObject, token: KeyObject): RecordingKeys {
  const publicKey = createPublicKey(privateKey);
  const publicKeyFile = join(folder, PUBLIC_KEY_FILE);
  writeWhole(publicKeyFile, publicKey.export({ type: 'spki', format: 'pem' }), 0o644);
  const keyId = keyIdOf(publicKey);
  return {
    keyId,
    publicKeys: new Map([[keyId, publicKey]]),
    publicKeyFile,
    sign: (message) => sign(null, Buffer.from(message), privateKey).toString('hex'),
    tokenise: remembering((value) => `‹t:${createHmac('sha256', token).update(value).digest('hex').slice(0, 16)}›`),
  };
}

const REMEMBERED = 1024;
const REMEMBERED_CHARS = 64;

/** The same short literals come again and again. What is remembered is bounded, and never leaves memory. */
function remembering(tokenise: (value: Uint8Array | string) => string): (value: Uint8Array | string) => string {
  const known = new Map<string, string>();
  return (value) => {
    if (typeof value !== 'string' || value.length > REMEMBERED_CHARS) return tokenise(value);
    const found = known.get(value);
    if (found !== undefined) return found;
    if (known.size >= REMEMBERED) known.clear();
    const made = tokenise(value);
    known.set(value, made);
    return made;
  };
}

function newPrivateKey(): Buffer {
  return Buffer.from(generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
}

function readOrMake(folder: string, name: string, make: () => Buffer): Buffer {
  const file = join(folder, name);
  try {
    if ((statSync(file).mode & 0o007) !== 0) throw new Error(`${name} can be read by everyone; chmod 600 it, or better, replace it`);
    return readFileSync(file);
  } catch (error: unknown) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    writeWhole(file, make(), 0o600);
    return readFileSync(file);
  }
}

/** A process that dies leaves the old file or the new one. */
function writeWhole(file: string, content: string | Buffer, mode: number): void {
  writeSynced(`${file}.new`, content, mode);
  renameSync(`${file}.new`, file);
}
