import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { chmod, mkdir, readFile, rename } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { writeSynced } from '../system/fsync.ts';
import { ListenError } from './errors.ts';
import type { ServerCertificate } from './tls.ts';
import { newAuthority, newLeaf } from './x509.ts';

export interface GeneratedCertificate extends ServerCertificate {
  /** PEM of the CA that clients trust: sslrootcert. */
  readonly ca: string;
  readonly caFile: string;
}

const DAY_MS = 86_400_000;
const CA_DAYS = 3650;
const LEAF_DAYS = 397;
/** A leaf with less than this left is made anew. */
const RENEW_DAYS = 120;
const ALWAYS = ['localhost', '127.0.0.1', '::1'] as const;

/** From files that somebody else looks after. Throws ListenError. */
export async function readCertificate(certificateFile: string, keyFile: string): Promise<ServerCertificate> {
  const certificate = await readOrFail(certificateFile);
  const key = await readOrFail(keyFile);
  const leaf = parsed(certificateFile, () => new X509Certificate(certificate));
  const privateKey = parsed(keyFile, () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(privateKey)) throw new ListenError('certificate', `${keyFile} is not the key of ${certificateFile}`);
  return { key, certificate };
}

async function readOrFail(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new ListenError('certificate', `can't read ${file}: ${(error as NodeJS.ErrnoException).code ?? 'unknown reason'}`);
  }
}

function parsed<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch {
    throw new ListenError('certificate', `${file} does not hold what its name says in PEM`);
  }
}

interface Authority {
  readonly key: string;
  readonly certificate: string;
}

/**
 * The CA and leaf of `directory` (STATE/tls; keys 0600), made where they are missing. The leaf is made anew where it is about
 * to end, is not the CA's, or lacks a name. `names` are DNS names and IP addresses; localhost, 127.0.0.1 and ::1 are always in.
 */
export async function ownCertificate(directory: string, names: readonly string[], now: Date): Promise<GeneratedCertificate> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await chmod(directory, 0o700);
  const caFile = join(directory, 'ca.crt');
  const authority = (await keptAuthority(directory, now)) ?? (await makeAuthority(directory, now));
  const wanted = [...new Set([...ALWAYS, ...names])];
  const leaf = (await keptLeaf(directory, authority, wanted, now)) ?? (await makeLeaf(directory, authority, wanted, now));
  return { ...leaf, ca: authority.certificate, caFile };
}

async function keptAuthority(directory: string, now: Date): Promise<Authority | null> {
  const pair = await readPair(directory, 'ca');
  if (!pair) return null;
  const certificate = new X509Certificate(pair.certificate);
  return certificate.ca && daysLeft(certificate, now) > LEAF_DAYS ? pair : null;
}

async function makeAuthority(directory: string, now: Date): Promise<Authority> {
  const made = newAuthority(authorityName(now), validity(now, CA_DAYS));
  const key = made.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  await writePair(directory, 'ca', key, made.certificate);
  return { key, certificate: made.certificate };
}

/** Each CA has a name of its own, so that one that was replaced is not taken for it. */
function authorityName(now: Date): string {
  return `Chaperone local CA ${now.toISOString()}`;
}

async function keptLeaf(directory: string, authority: Authority, names: readonly string[], now: Date): Promise<ServerCertificate | null> {
  const pair = await readPair(directory, 'server');
  if (!pair) return null;
  const certificate = new X509Certificate(pair.certificate);
  const ca = new X509Certificate(authority.certificate);
  const good =
    certificate.verify(ca.publicKey) && daysLeft(certificate, now) > RENEW_DAYS && names.every((name) => covers(certificate, name));
  return good ? pair : null;
}

function covers(certificate: X509Certificate, name: string): boolean {
  return (isIP(name) === 0 ? certificate.checkHost(name) : certificate.checkIP(name)) !== undefined;
}

async function makeLeaf(directory: string, authority: Authority, names: readonly string[], now: Date): Promise<ServerCertificate> {
  const privateKey = createPrivateKey(authority.key);
  const issuer = new X509Certificate(authority.certificate).subject.replace(/^CN=/, '');
  const leaf = newLeaf({ privateKey, publicKey: createPublicKey(privateKey) }, issuer, names, validity(now, LEAF_DAYS));
  const key = leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  await writePair(directory, 'server', key, leaf.certificate);
  return { key, certificate: leaf.certificate };
}

/** From an hour ago: clocks differ. */
function validity(now: Date, days: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(now.getTime() - 3_600_000), notAfter: new Date(now.getTime() + days * DAY_MS) };
}

function daysLeft(certificate: X509Certificate, now: Date): number {
  return (certificate.validToDate.getTime() - now.getTime()) / DAY_MS;
}

/** Null where a file is missing, is no PEM, or the two don't belong together. */
async function readPair(directory: string, name: string): Promise<Authority | null> {
  try {
    const key = await readFile(join(directory, `${name}.key`), 'utf8');
    const certificate = await readFile(join(directory, `${name}.crt`), 'utf8');
    return new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key)) ? { key, certificate } : null;
  } catch {
    return null;
  }
}

async function writePair(directory: string, name: string, key: string, certificate: string): Promise<void> {
  await replace(join(directory, `${name}.key`), key, 0o600);
  await replace(join(directory, `${name}.crt`), certificate, 0o644);
}

async function replace(file: string, content: string, mode: number): Promise<void> {
  writeSynced(`${file}.new`, content, mode);
  await rename(`${file}.new`, file);
}
