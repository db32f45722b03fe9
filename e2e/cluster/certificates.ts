import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-sha256', '-days', '30'];

/** Paths of a certificate and its key in PEM. */
export interface Pair {
  readonly certificate: string;
  readonly key: string;
}

export interface Subject {
  readonly commonName: string;
  /** Groups, for Kubernetes. */
  readonly organizations?: readonly string[];
  /** DNS names and IP addresses it serves; without any it is a client's. */
  readonly names?: readonly string[];
}

/** The authority of a cluster: made where the folder has none. */
export async function authority(folder: string): Promise<Pair> {
  const pair = pairIn(folder, 'ca');
  if (existsSync(pair.certificate)) return pair;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await openssl(
    [...KEY, '-subj', '/CN=chaperone-e2e', ...extensions('basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign')],
    pair,
  );
  return pair;
}

/** A certificate of the authority in the same folder, under a file name of its own. */
export async function issue(folder: string, file: string, { commonName, organizations = [], names = [] }: Subject): Promise<Pair> {
  const ca = await authority(folder);
  const pair = pairIn(folder, file);
  const subject = [...organizations.map((name) => `/O=${escaped(name)}`), `/CN=${escaped(commonName)}`].join('');
  const alternatives = names.map((name) => `${/^[\d.]+$|:/.test(name) ? 'IP' : 'DNS'}:${name}`);
  const signed = ['-CA', ca.certificate, '-CAkey', ca.key, '-set_serial', `0x${randomBytes(16).toString('hex')}`];
  const allowed = [
    'basicConstraints=critical,CA:FALSE',
    'keyUsage=critical,digitalSignature',
    'extendedKeyUsage=clientAuth,serverAuth',
    ...(alternatives.length > 0 ? [`subjectAltName=${alternatives.join(',')}`] : []),
  ];
  await openssl([...KEY, ...signed, '-subj', subject, ...extensions(...allowed)], pair);
  return pair;
}

/** The key pair that signs service account tokens. */
export async function tokenKey(folder: string): Promise<string> {
  const path = join(folder, 'service-accounts.key');
  if (!existsSync(path)) await run('openssl', ['genpkey', '-quiet', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', path]);
  return path;
}

async function openssl(args: readonly string[], { certificate, key }: Pair): Promise<void> {
  // The system's configuration would add extensions of its own.
  await run('openssl', ['req', '-x509', '-config', '/dev/null', ...args, '-keyout', key, '-out', certificate]);
}

function extensions(...lines: readonly string[]): string[] {
  return lines.flatMap((line) => ['-addext', line]);
}

function escaped(name: string): string {
  return name.replace(/[\\/+]/g, '\\$&');
}

function pairIn(folder: string, file: string): Pair {
  return { certificate: join(folder, `${file}.crt`), key: join(folder, `${file}.key`) };
}
