/** Who calls: read from the client certificate that TLS has verified, never from a message. */
import { createHash, X509Certificate } from 'node:crypto';
import { parseSpiffeId, type SidecarIdentity } from '#crds/control/spiffe.ts';

export interface SidecarPeer {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly podUid: string;
  readonly node: string;
  readonly certificateSerial: string;
}

export interface PeerCertificate {
  readonly identity: SidecarIdentity;
  readonly serial: string;
  /** SHA-256 of the public key (SPKI, DER), hex. */
  readonly key: string;
  readonly notAfterMs: number;
}

/** Null for a certificate that is not one of an enrolled sidecar of this trust domain. */
export function readPeerCertificate(der: Uint8Array, trustDomain: string): PeerCertificate | null {
  const certificate = new X509Certificate(der);
  // One name, and nothing beside it.
  const [, uri] = /^URI:(spiffe:\/\/[^,"\s]+)$/.exec(certificate.subjectAltName ?? '') ?? [];
  const identity = uri === undefined ? null : parseSpiffeId(uri);
  if (identity === null || identity.trustDomain !== trustDomain) return null;
  return {
    identity,
    serial: certificate.serialNumber,
    key: keyFingerprint(certificate.publicKey.export({ type: 'spki', format: 'der' })),
    notAfterMs: certificate.validToDate.getTime(),
  };
}

export function keyFingerprint(spki: Uint8Array): string {
  return createHash('sha256').update(spki).digest('hex');
}
