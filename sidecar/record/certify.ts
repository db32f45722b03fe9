import { hash, type KeyObject, verify, X509Certificate } from 'node:crypto';
import { isRecordingAuthorityId, parseSpiffeId } from '#crds/control/spiffe.ts';
import type { Certified, KeyOwner } from '#crds/record/finding.ts';

/** SHA-256 of the SPKI DER, hex. */
export function keyIdOf(key: KeyObject): string {
  return hash('sha256', key.export({ type: 'spki', format: 'der' }), 'hex');
}

/** Each certificate of a PEM text, as headers and ledgers have them. */
export function chainOf(pem: string): readonly string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n?/g) ?? [];
}

/** All certificates of a PEM text. Throws where there is none. */
export function readCertificates(pem: string): readonly X509Certificate[] {
  const blocks = chainOf(pem);
  if (blocks.length === 0) throw new Error('there is no PEM certificate');
  return blocks.map((block) => new X509Certificate(block));
}

const REMEMBERED = 4096;

/**
 * Checks chains up to `authorities`. Every segment of a recorder carries the same chain, so what was found is remembered.
 * `learn` is told each recorder's key that a chain proves.
 */
export function certifier(
  authorities: readonly X509Certificate[],
  learn: (keyId: string, key: KeyObject) => void,
): (certificates: readonly string[], keyId: string) => Certified {
  const known = new Map<string, Certified>();
  return (certificates, keyId) => {
    const id = hash('sha256', JSON.stringify([keyId, certificates]), 'hex');
    const before = known.get(id);
    if (before !== undefined) return before;
    const found = check(certificates, keyId, authorities, learn);
    if (known.size >= REMEMBERED) known.clear();
    known.set(id, found);
    return found;
  };
}

function check(
  pems: readonly string[],
  keyId: string,
  authorities: readonly X509Certificate[],
  learn: (keyId: string, key: KeyObject) => void,
): Certified {
  const refused = (why: string): Certified => ({ type: 'refused', why });
  try {
    const chain = pems.map((pem) => new X509Certificate(pem));
    const [leaf] = chain;
    if (leaf === undefined) return refused('there is no certificate');
    const key = leaf.publicKey;
    if (key.asymmetricKeyType !== 'ed25519' || keyIdOf(key) !== keyId) return refused('they are of another key');
    if (!leadsTo(leaf, chain.slice(1), authorities)) return refused('they do not lead to an authority that was given');
    const owner = ownerOf(leaf);
    if (owner === null) return refused('they name neither a pod nor the operator');
    if (owner.type === 'recorder') learn(keyId, key);
    return {
      type: 'certified',
      owner,
      notBefore: new Date(leaf.validFrom).toISOString(),
      notAfter: new Date(leaf.validTo).toISOString(),
      verify: (message, signature) => verify(null, message, key, signature),
    };
  } catch {
    return refused('they can’t be read');
  }
}

/** Each signed by the next, the last by an authority. An authority in the chain itself proves nothing: only those given count. */
function leadsTo(leaf: X509Certificate, others: readonly X509Certificate[], authorities: readonly X509Certificate[]): boolean {
  let at = leaf;
  for (const next of [...others, null]) {
    if (authorities.some((authority) => isIssuer(authority, at))) return true;
    if (next === null || !isIssuer(next, at)) return false;
    at = next;
  }
  return false;
}

function isIssuer(issuer: X509Certificate, of: X509Certificate): boolean {
  return issuer.ca && of.checkIssued(issuer) && of.verify(issuer.publicKey);
}

/** Just one name, and that a URI: what else a certificate says is not ours. */
function ownerOf(leaf: X509Certificate): KeyOwner | null {
  const [, uri] = /^URI:([^\s,"]+)$/.exec(leaf.subjectAltName ?? '') ?? [];
  if (uri === undefined || leaf.ca) return null;
  if (isRecordingAuthorityId(uri)) return { type: 'authority' };
  const identity = parseSpiffeId(uri);
  if (identity === null) return null;
  const { namespace, serviceAccount, podUid } = identity;
  return { type: 'recorder', namespace, serviceAccount, podUid };
}
