/** The key of the sidecar's channel: made at each start, in memory only. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { bitString, integer, objectIdentifier, sequence, tagged } from '../listener/der.ts';

export interface ChannelKey {
  /** PEM, PKCS#8. */
  readonly key: string;
  /** PKCS#10 (RFC 2986), DER: an empty name, the public key, no attributes, signed with ECDSA and SHA-256. */
  readonly request: Buffer;
}

const ECDSA_WITH_SHA256 = sequence(objectIdentifier('1.2.840.10045.4.3.2'));

export function newChannelKey(): ChannelKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), request: certificateRequest(privateKey, publicKey) };
}

function certificateRequest(privateKey: KeyObject, publicKey: KeyObject): Buffer {
  const info = sequence(integer(Buffer.from([0])), sequence(), publicKey.export({ type: 'spki', format: 'der' }), tagged(0xa0));
  return sequence(info, ECDSA_WITH_SHA256, bitString(sign('sha256', info, privateKey)));
}
