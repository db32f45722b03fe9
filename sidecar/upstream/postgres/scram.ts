import { createHash, createHmac, pbkdf2, timingSafeEqual, type X509Certificate } from 'node:crypto';
import { promisify } from 'node:util';
import { UpstreamError } from '../errors.ts';
import { saslprep } from './saslprep.ts';

export const SCRAM = 'SCRAM-SHA-256';
export const SCRAM_PLUS = 'SCRAM-SHA-256-PLUS';

/** A server may not make us work for longer (CVE-2026-42198 of another client); PostgreSQL's default is 4 096. */
export const MAX_ITERATIONS = 600_000;
const MAX_NONCE = 512;
const MAX_SALT_BYTES = 1024;

/**
 * How the proof is bound to TLS: `bound` to the certificate, `unoffered` where we could and the server did not offer it
 * (a server that did then knows of the downgrade), `none` without TLS or with a certificate whose signature names no hash.
 */
export type ChannelBinding = { readonly type: 'bound'; readonly data: Buffer } | { readonly type: 'unoffered' } | { readonly type: 'none' };

/** The mechanism and the binding for what a server offers; null where it offers none that we speak. */
export function chooseMechanism(
  offered: readonly string[],
  certificate: X509Certificate | null,
): { mechanism: string; binding: ChannelBinding } | null {
  const data = certificate && tlsServerEndPoint(certificate);
  if (data && offered.includes(SCRAM_PLUS)) return { mechanism: SCRAM_PLUS, binding: { type: 'bound', data } };
  if (!offered.includes(SCRAM)) return null;
  return { mechanism: SCRAM, binding: { type: data ? 'unoffered' : 'none' } };
}

/** RFC 5929 section 4.1: hash of the certificate by its signature's hash, SHA-256 in place of MD5 and SHA-1. */
export function tlsServerEndPoint(certificate: X509Certificate): Buffer | null {
  const name = certificate.signatureAlgorithm?.toLowerCase() ?? '';
  const hash = /sha-?(256|384|512)/.exec(name)?.[1] ?? (/md5|sha-?1(?!\d)/.test(name) ? '256' : null);
  return hash === null ? null : createHash(`sha${hash}`).update(certificate.raw).digest();
}

export interface ScramStart {
  /** client-first-message. */
  readonly message: string;
  readonly gs2Header: string;
  readonly bare: string;
  readonly nonce: string;
  readonly binding: ChannelBinding;
}

/** RFC 5802. PostgreSQL takes the user from the startup message; the name here is empty. `nonce` is 18 random bytes or more in base64. */
export function scramStart(nonce: string, binding: ChannelBinding): ScramStart {
  const gs2Header = { bound: 'p=tls-server-end-point,,', unoffered: 'y,,', none: 'n,,' }[binding.type];
  const bare = `n=,r=${nonce}`;
  return { message: gs2Header + bare, gs2Header, bare, nonce, binding };
}

export interface ScramProof {
  /** client-final-message. */
  readonly message: string;
  readonly serverSignature: Buffer;
}

const derive = promisify(pbkdf2);

/** Answers server-first-message. Rejects with UpstreamError `protocol` for one that is malformed, too costly, or for another nonce. */
export async function scramProve(start: ScramStart, serverFirst: string, password: Buffer): Promise<ScramProof> {
  const { nonce, salt, iterations } = readServerFirst(start, serverFirst);
  const prepared = saslprep(password);
  const salted = await derive(prepared, salt, iterations, 32, 'sha256');
  prepared.fill(0);
  const clientKey = hmac(salted, 'Client Key');
  const serverKey = hmac(salted, 'Server Key');
  salted.fill(0);
  const bindingData = start.binding.type === 'bound' ? start.binding.data : Buffer.alloc(0);
  const binding = Buffer.concat([Buffer.from(start.gs2Header), bindingData]).toString('base64');
  const withoutProof = `c=${binding},r=${nonce}`;
  const authMessage = `${start.bare},${serverFirst},${withoutProof}`;
  const signature = hmac(createHash('sha256').update(clientKey).digest(), authMessage);
  const proof = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] as number)));
  return { message: `${withoutProof},p=${proof.toString('base64')}`, serverSignature: hmac(serverKey, authMessage) };
}

function readServerFirst(start: ScramStart, message: string): { nonce: string; salt: Buffer; iterations: number } {
  if (message.length > MAX_NONCE + 2 * MAX_SALT_BYTES) throw malformed();
  const match = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+={0,2}),i=([1-9]\d{0,9})$/.exec(message);
  if (!match) throw malformed();
  const [, nonce, saltText, iterationText] = match as unknown as [string, string, string, string];
  if (!nonce.startsWith(start.nonce) || nonce.length <= start.nonce.length || nonce.length > MAX_NONCE) throw malformed();
  const iterations = Number(iterationText);
  if (iterations > MAX_ITERATIONS) throw new UpstreamError('protocol', `the target asks for more than ${MAX_ITERATIONS} SCRAM iterations`);
  const salt = Buffer.from(saltText, 'base64');
  if (salt.length === 0 || salt.length > MAX_SALT_BYTES) throw malformed();
  return { nonce, salt, iterations };
}

/** Throws UpstreamError `server_not_proven` where server-final-message is not the one that only a holder of the password's verifier can make. */
export function scramVerify(proof: ScramProof, serverFinal: string): void {
  const text = /^v=([A-Za-z0-9+/]{43}=)$/.exec(serverFinal)?.[1];
  const signature = Buffer.from(text ?? '', 'base64');
  if (signature.length !== 32 || !timingSafeEqual(signature, proof.serverSignature)) {
    throw new UpstreamError('server_not_proven', 'the target could not prove that it knows the password');
  }
}

function malformed(): UpstreamError {
  return new UpstreamError('protocol', 'the target sent a malformed SCRAM message');
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
