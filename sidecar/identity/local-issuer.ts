import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, randomUUID } from 'node:crypto';
import { chmodSync, closeSync, constants, fstatSync, linkSync, mkdirSync, openSync, readFileSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { calculateJwkThumbprint, exportJWK, SignJWT } from 'jose';
import type { JsonValue } from '#crds/policy/json.ts';
import { AUDIENCE, LOCAL_ISSUER, type TokenIssuer } from './issuers.ts';

/** The local issuer's key can't be used as it lies on disk. */
export class LocalIssuerError extends Error {
  override readonly name = 'LocalIssuerError';
}

/** Issuer of a state folder: whoever can read its key can be anybody here, as whoever owns the folder can. */
export interface LocalIssuer {
  readonly verifier: TokenIssuer;
  issue(request: TokenRequest): Promise<string>;
}

export interface TokenRequest {
  readonly subject: string;
  readonly groups: readonly string[];
  readonly ttlSeconds: number;
  /** Further claims; the registered ones (iss, sub, aud, exp, nbf, iat, jti) and `groups` can't be set here. */
  readonly claims: { readonly [claim: string]: JsonValue };
  readonly nowMs: number;
}

const RESERVED = ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'groups', 'act'];

/** Opens STATE/keys/issuer.key (Ed25519, PKCS#8 PEM, 0600); makes it where there is none. */
export async function openLocalIssuer(stateDir: string): Promise<LocalIssuer> {
  const key = readOrMakeKey(join(stateDir, 'keys'));
  const publicJwk = await exportJWK(createPublicKey(key));
  const kid = await calculateJwkThumbprint(publicJwk);
  return {
    verifier: {
      issuer: LOCAL_ISSUER,
      audience: AUDIENCE,
      keys: { type: 'jwks', jwks: { keys: [{ ...publicJwk, kid, alg: 'EdDSA', use: 'sig' }] } },
      algorithms: ['EdDSA'],
      groupsClaim: 'groups',
      clockToleranceSeconds: 5,
    },
    async issue(request) {
      const reserved = Object.keys(request.claims).find((claim) => RESERVED.includes(claim));
      if (reserved !== undefined) throw new LocalIssuerError(`the claim ${reserved} can't be set`);
      const issuedAt = Math.floor(request.nowMs / 1000);
      return new SignJWT({ ...request.claims, groups: [...request.groups] })
        .setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid })
        .setIssuer(LOCAL_ISSUER)
        .setAudience(AUDIENCE)
        .setSubject(request.subject)
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + request.ttlSeconds)
        .setJti(randomUUID())
        .sign(key);
    },
  };
}

function readOrMakeKey(dir: string): KeyObject {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, 'issuer.key');
  const existing = readKey(path);
  if (existing !== null) return existing;
  writeKey(dir, path);
  const made = readKey(path);
  if (made === null) throw new LocalIssuerError(`${path} can't be made`);
  return made;
}

/** Written aside and linked into place: of two processes that start at once, both use the key of the first, and none reads half of it. */
function writeKey(dir: string, path: string): void {
  const { privateKey } = generateKeyPairSync('ed25519');
  const aside = join(dir, `.issuer-${randomBytes(6).toString('hex')}`);
  const file = openSync(aside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  try {
    chmodSync(aside, 0o600);
    writeSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
  } finally {
    closeSync(file);
  }
  try {
    linkSync(aside, path);
  } catch (error) {
    if (!isCode(error, 'EEXIST')) throw new LocalIssuerError(`${path} can't be written`);
  } finally {
    unlinkSync(aside);
  }
}

function readKey(path: string): KeyObject | null {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return null;
    throw new LocalIssuerError(`${path} can't be read`);
  }
  try {
    if ((fstatSync(file).mode & 0o077) !== 0)
      throw new LocalIssuerError(`${path} can be read by others; make it again, or set its mode to 0600`);
    const key = createPrivateKey(readFileSync(file));
    if (key.asymmetricKeyType !== 'ed25519') throw new LocalIssuerError(`${path} is not an Ed25519 key`);
    return key;
  } catch (error) {
    throw error instanceof LocalIssuerError ? error : new LocalIssuerError(`${path} is not a private key`);
  } finally {
    closeSync(file);
  }
}

const isCode = (error: unknown, code: string) => error instanceof Error && 'code' in error && error.code === code;
