import { createPublicKey, hash, type KeyObject, verify, type X509Certificate } from 'node:crypto';
import { constants, zstdDecompressSync } from 'node:zlib';
import type { Platform } from '#crds/record/finding.ts';
import { certifier, keyIdOf } from './certify.ts';

/** Frames that want a larger window than 2^25 bytes are refused: the window is memory, too. */
const PARAMS = { [constants.ZSTD_d_windowLogMax]: 25 };

/** Public keys by ID (SHA-256 of the SPKI DER, hex). */
export type PublicKeys = ReadonlyMap<string, KeyObject>;

/** All public keys of a PEM text. Throws where there is none, or one that is not Ed25519. */
export function readPublicKeys(pem: string): PublicKeys {
  const blocks = pem.match(/-----BEGIN PUBLIC KEY-----[^-]*-----END PUBLIC KEY-----/g) ?? [];
  if (blocks.length === 0) throw new Error('there is no PEM public key');
  return new Map(
    blocks.map((block) => {
      const key = createPublicKey(block);
      if (key.asymmetricKeyType !== 'ed25519') throw new Error('a public key is not Ed25519');
      return [keyIdOf(key), key];
    }),
  );
}

/** What crds/record needs of Node to verify. With authorities it also believes the recorders' keys that they certified. */
export function nodePlatform(pinned: PublicKeys, authorities?: readonly X509Certificate[]): Platform {
  const keys = new Map(pinned);
  const certify = authorities === undefined ? {} : { certify: certifier(authorities, (keyId, key) => keys.set(keyId, key)) };
  return {
    ...certify,
    sha256: (bytes) => hash('sha256', bytes, 'hex'),
    hasKey: (keyId) => keys.has(keyId),
    verify(keyId, message, signature) {
      const key = keys.get(keyId);
      return key !== undefined && verify(null, message, key, signature);
    },
    decompress: (bytes, maxBytes) => zstdDecompressSync(bytes, { maxOutputLength: maxBytes, params: PARAMS }),
  };
}
