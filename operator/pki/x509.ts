/** Certificates, made with the clock as an argument. All keys of the operator are P-256 but those that sign recordings, which are Ed25519. */
// It patches Reflect, which @peculiar/x509 asks for, so it comes first.
import 'reflect-metadata';
import { createPublicKey, X509Certificate as NodeCertificate, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';

/** PEM of a certificate and of its private key (PKCS#8). */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface Leaf {
  readonly subject: string;
  /** SPKI, DER. */
  readonly publicKey: Uint8Array;
  readonly validity: Validity;
  /** Subject alternative names: DNS names and IP addresses, or one URI. */
  readonly names: readonly string[];
  readonly usages: readonly ('serverAuth' | 'clientAuth')[];
}

const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNATURE = { name: 'ECDSA', hash: 'SHA-256' } as const;
const USAGES = { serverAuth: x509.ExtendedKeyUsage.serverAuth, clientAuth: x509.ExtendedKeyUsage.clientAuth } as const;
const SKEW_MS = 60_000;

/** Backdated by a minute: clocks differ. */
export function validFor(nowMs: number, durationMs: number): Validity {
  return { notBefore: new Date(nowMs - SKEW_MS), notAfter: new Date(nowMs + durationMs) };
}

export async function newCa(subject: string, validity: Validity): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
  const extensions = await caExtensions(keys.publicKey);
  const name = commonName(subject);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name,
    keys,
    ...validity,
    signingAlgorithm: SIGNATURE,
    extensions,
  });
  return { certificate: pem(certificate), key: await privatePem(keys.privateKey) };
}

/** The certificate of `ca` again, issued by `by`: who trusts only `by` trusts `ca` with it. PEM. */
export async function crossSign(ca: string, by: KeyPair, validity: Validity): Promise<string> {
  const subject = new x509.X509Certificate(ca);
  const publicKey = await subject.publicKey.export();
  return pem(await signed(by, subject.subjectName.toString(), publicKey, validity, await caExtensions(publicKey, by)));
}

/** PEM of the certificate alone. */
export async function newLeaf(ca: KeyPair, leaf: Leaf): Promise<string> {
  const publicKey = new x509.PublicKey(asBuffer(leaf.publicKey));
  const extensions: x509.Extension[] = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    ...(leaf.usages.length > 0 ? [new x509.ExtendedKeyUsageExtension(leaf.usages.map((usage) => USAGES[usage]))] : []),
    ...(leaf.names.length > 0 ? [new x509.SubjectAlternativeNameExtension(leaf.names.map(generalName))] : []),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
    await x509.AuthorityKeyIdentifierExtension.create(new x509.X509Certificate(ca.certificate).publicKey),
  ];
  return pem(await signed(ca, commonName(leaf.subject), publicKey, leaf.validity, extensions));
}

/** A key of its own for `newLeaf`. */
export async function newKey(algorithm: 'P-256' | 'Ed25519'): Promise<{ readonly publicKey: Uint8Array; readonly key: string }> {
  const parameters = algorithm === 'P-256' ? P256 : { name: 'Ed25519' };
  const keys = (await webcrypto.subtle.generateKey(parameters, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  return { publicKey: new Uint8Array(await webcrypto.subtle.exportKey('spki', keys.publicKey)), key: await privatePem(keys.privateKey) };
}

/** Public key (SPKI, DER) of a PKCS#10 request that is signed by that key; null for anything else. P-256 alone. */
export async function keyOfRequest(der: Uint8Array): Promise<Uint8Array | null> {
  if (der.length === 0 || der.length > 4096) return null;
  try {
    const request = new x509.Pkcs10CertificateRequest(asBuffer(der));
    const publicKey = Buffer.from(request.publicKey.rawData);
    if (createPublicKey({ key: publicKey, format: 'der', type: 'spki' }).asymmetricKeyDetails?.namedCurve !== 'prime256v1') return null;
    return (await request.verify()) ? publicKey : null;
  } catch {
    return null;
  }
}

/** Whether it is an Ed25519 public key in SPKI, DER (RFC 8410): 44 bytes that begin alike. */
export function isEd25519Key(spki: Uint8Array): boolean {
  return spki.length === 44 && Buffer.from(spki.subarray(0, 12)).toString('hex') === '302a300506032b6570032100';
}

export function notAfterOf(certificate: string): number {
  return new NodeCertificate(certificate).validToDate.getTime();
}

function signed(
  ca: KeyPair,
  subject: string,
  publicKey: x509.PublicKey | CryptoKey,
  validity: Validity,
  extensions: x509.Extension[],
): Promise<x509.X509Certificate> {
  return privateKeyOf(ca).then((signingKey) =>
    x509.X509CertificateGenerator.create({
      subject,
      issuer: new x509.X509Certificate(ca.certificate).subject,
      publicKey,
      signingKey,
      signingAlgorithm: SIGNATURE,
      ...validity,
      extensions,
    }),
  );
}

async function caExtensions(key: CryptoKey, by?: KeyPair): Promise<x509.Extension[]> {
  return [
    // Of itself it signs leaves, and the CA that follows it.
    new x509.BasicConstraintsExtension(true, by === undefined ? 1 : 0, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    await x509.SubjectKeyIdentifierExtension.create(key),
    ...(by === undefined ? [] : [await x509.AuthorityKeyIdentifierExtension.create(new x509.X509Certificate(by.certificate).publicKey)]),
  ];
}

function privateKeyOf({ key }: KeyPair): Promise<CryptoKey> {
  const der = Buffer.from(key.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  return webcrypto.subtle.importKey('pkcs8', der, P256, false, ['sign']);
}

async function privatePem(key: CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), x509.PemConverter.PrivateKeyTag);
}

const pem = (certificate: x509.X509Certificate): string => `${certificate.toString('pem').trim()}\n`;
const commonName = (name: string): string => `CN=${name.replace(/[,+"\\<>;=#]/g, '_')}`;
const asBuffer = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;

function generalName(name: string): x509.GeneralName {
  if (name.startsWith('spiffe://')) return new x509.GeneralName('url', name);
  return isIP(name) === 0 ? new x509.GeneralName('dns', name) : new x509.GeneralName('ip', name);
}
