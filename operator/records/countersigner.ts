import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { type Authority, LIFE_MS } from '../pki/authority.ts';
import type { RecordingAuthority } from './records.ts';

export interface Countersigner {
  /** For `openRecords`. */
  current(): RecordingAuthority;
  close(): void;
}

export interface CountersignerOptions {
  readonly authority: Authority;
  readonly trustDomain: string;
  readonly clock: () => number;
  /** A new key could not be made: the old one is used on. */
  readonly onError: (error: unknown) => void;
}

const LOOK_MS = 60 * 60_000;

/** The key of this replica, in memory, and another one with each new CA and long before its certificate ends. */
export async function openCountersigner(options: CountersignerOptions): Promise<Countersigner> {
  const { authority, trustDomain, clock, onError } = options;
  const make = async () => keyOf(await authority.countersigner(trustDomain, clock()));
  let current = await make();
  let madeMs = clock();
  const renew = () => {
    make().then((made) => {
      current = made;
      madeMs = clock();
    }, onError);
  };
  const stop = authority.onChange(renew);
  const timer = setInterval(() => {
    if (clock() - madeMs > LIFE_MS.serving / 2) renew();
  }, LOOK_MS).unref();
  return {
    current: () => current,
    close() {
      stop();
      clearInterval(timer);
    },
  };
}

function keyOf({ key, chain }: { readonly key: string; readonly chain: string }): RecordingAuthority {
  const privateKey = createPrivateKey(key);
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const certificates = chain.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\n/g) ?? [];
  return {
    keyId: createHash('sha256').update(publicKey).digest('hex'),
    certificates,
    sign: (message) => sign(null, message, privateKey),
  };
}
