/** Lets a verified certificate through only while its pod lives and its key is the one that speaks for the pod. */
import { status } from '@grpc/grpc-js';
import type { Bindings } from './bindings.ts';
import { type PeerCertificate, readPeerCertificate, type SidecarPeer } from './peer.ts';
import { CallError } from './rpc.ts';
import { hasEnded, type Log, type Pods } from './sources.ts';

export interface Caller {
  readonly peer: SidecarPeer;
  readonly certificate: PeerCertificate;
}

export interface Peers {
  /** `der`: the client certificate as TLS verified it; undefined where there was none. Rejects with CallError. */
  verify(der: Uint8Array | undefined): Promise<Caller>;
  /** Whether it may go on, from what is known here: the pod is there, and the key was its own when it was last looked at. */
  stillGood(caller: Caller): Promise<boolean>;
}

export interface PeersOptions {
  readonly trustDomain: string;
  readonly pods: Pods;
  readonly bindings: Pick<Bindings, 'keyOf'>;
  /** As a watch has it; undefined where it has none, or may be behind. One that says otherwise than the certificate is not believed, but asked. */
  readonly cachedKeyOf?: ((podUid: string) => string | undefined) | undefined;
  readonly log: Log;
  readonly now: () => number;
  /** How long a key that was found good is taken to be so. */
  readonly rememberMs?: number;
}

const REMEMBER_MS = 15_000;
const MAX_REMEMBERED = 20_000;

export function createPeers(options: PeersOptions): Peers {
  const { pods, bindings, log, now, rememberMs = REMEMBER_MS } = options;
  const known = new Map<string, { readonly key: string; readonly untilMs: number }>();

  const check = async ({ certificate }: Caller): Promise<void> => {
    const { podUid } = certificate.identity;
    if (now() >= certificate.notAfterMs) throw new CallError(status.UNAUTHENTICATED, 'the certificate has ended');
    const pod = pods.get(podUid);
    if (pod === undefined || hasEnded(pod)) throw new CallError(status.PERMISSION_DENIED, 'the pod is gone');
    if (options.cachedKeyOf?.(podUid) === certificate.key) return;
    const remembered = known.get(podUid);
    if (remembered !== undefined && remembered.key === certificate.key && remembered.untilMs > now()) return;
    const key = await keyOf(podUid);
    if (key !== certificate.key) throw new CallError(status.PERMISSION_DENIED, 'another key speaks for the pod by now');
    known.delete(podUid);
    known.set(podUid, { key, untilMs: now() + rememberMs });
    for (const old of known.keys()) {
      if (known.size <= MAX_REMEMBERED) break;
      known.delete(old);
    }
  };
  const keyOf = async (podUid: string): Promise<string | null> => {
    try {
      return await bindings.keyOf(podUid);
    } catch (error: unknown) {
      log.warn({ podUid, error: error instanceof Error ? error.message : 'unknown' }, 'the key of a pod can not be read');
      throw new CallError(status.UNAVAILABLE, 'the API server does not answer');
    }
  };

  return {
    async verify(der) {
      const certificate = der === undefined ? null : readPeerCertificate(der, options.trustDomain);
      if (certificate === null) throw new CallError(status.UNAUTHENTICATED, 'no certificate of an enrolled sidecar');
      const { namespace, serviceAccount, podUid } = certificate.identity;
      const pod = pods.get(podUid);
      const at = { pod: pod?.name ?? '', node: pod?.node ?? '' };
      const caller = { peer: { namespace, serviceAccount, podUid, certificateSerial: certificate.serial, ...at }, certificate };
      await check(caller);
      return caller;
    },
    async stillGood(caller) {
      try {
        await check(caller);
        return true;
      } catch (error: unknown) {
        // An API server that is away ends nobody's stream.
        return error instanceof CallError && error.code === status.UNAVAILABLE;
      }
    },
  };
}
