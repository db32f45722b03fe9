/** Enrolment: a pod's projected token becomes a short-lived certificate for the key that the sidecar made. */
import { status } from '@grpc/grpc-js';
import { AUDIENCE } from '#crds/control/names.ts';
import type { EnrolRequest } from '#crds/gen/chaperone/v1/enrolment_pb.js';
import type { Authority } from '../pki/authority.ts';
import { LIFE_MS } from '../pki/authority.ts';
import { isEd25519Key, keyOfRequest } from '../pki/x509.ts';
import type { Bindings } from './bindings.ts';
import {
  claimsOf,
  identityOf,
  type PodObject,
  type Refusal,
  type RefusalCode,
  type ReviewedToken,
  refusal,
  refusalOf,
  sidecarRun,
  type TokenClaims,
} from './enrol-judge.ts';
import { keyFingerprint } from './peer.ts';
import { CallError } from './rpc.ts';
import type { Log, PodEvents } from './sources.ts';

export interface EnrolmentOptions {
  readonly authority: Authority;
  readonly trustDomain: string;
  readonly clusterName: string;
  /** Images that the injector gives to sidecars: this version's, and the one before while pods of it live. */
  readonly images: ReadonlySet<string>;
  /** Null where the token is not good for the audience. Rejects where the API server does not answer. */
  readonly review: (token: string, audiences: readonly string[]) => Promise<ReviewedToken | null>;
  /** Read from the API server itself, never from a cache. Null where there is none. */
  readonly readPod: (namespace: string, name: string) => Promise<PodObject | null>;
  readonly bindings: Bindings;
  readonly events: PodEvents;
  readonly log: Log;
  readonly now: () => number;
  /** Life of a sidecar's certificate; an hour where absent. */
  readonly certificateMs?: number;
}

export interface EnrolAnswer {
  readonly certificateChain: string;
  readonly recordingCertificateChain: string;
  readonly caBundle: string;
  readonly renewAtSeconds: bigint;
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly podUid: string;
  readonly cluster: string;
}

const MAX_TOKEN_CHARS = 16 * 1024;

/** Rejects with CallError, as enrolment.proto says. */
export function createEnrolment(options: EnrolmentOptions): (request: EnrolRequest, from: string) => Promise<EnrolAnswer> {
  const { authority, bindings, events, log, now, trustDomain, certificateMs = LIFE_MS.workload } = options;

  const refuse = (why: Refusal, claims: TokenClaims | null, pod: PodObject | null, from: string): CallError => {
    const about = claims === null ? {} : { namespace: claims.namespace, pod: claims.pod, podUid: claims.podUid };
    log.warn({ code: why.code, from, ...about }, `enrolment refused: ${why.message}`);
    const { uid, namespace, name } = pod?.metadata ?? {};
    // About the pod that is there now, where it is another than the token's.
    if (uid !== undefined && namespace !== undefined && name !== undefined)
      events.emit('EnrolmentRefused', { namespace, name, uid }, `${why.code}: ${why.message} (asked from ${from})`);
    return new CallError(CODES[why.code], `${why.code}: ${why.message}`);
  };

  const asked = async <T>(call: Promise<T>): Promise<T> => {
    try {
      return await call;
    } catch (error: unknown) {
      log.error({ error: error instanceof Error ? error.message : 'unknown' }, 'enrolment: the API server does not answer');
      throw new CallError(status.UNAVAILABLE, 'the API server does not answer');
    }
  };

  return async (request, from) => {
    const publicKey = await keyOfRequest(request.certificateRequest);
    if (publicKey === null) throw new CallError(status.INVALID_ARGUMENT, 'the certificate request is not one, or not of a P-256 key');
    if (!isEd25519Key(request.recordingPublicKey)) throw new CallError(status.INVALID_ARGUMENT, 'the recording key is not an Ed25519 key');
    const { token } = request;
    const reviewed = token === '' || token.length > MAX_TOKEN_CHARS ? null : await asked(options.review(token, [AUDIENCE]));
    if (reviewed === null) throw refuse(refusal('TokenNotGood', `the token is not good for the audience ${AUDIENCE}`), null, null, from);
    const claims = claimsOf(reviewed);
    if (claims === null)
      throw refuse(refusal('TokenNotOfAPod', `the token of ${reviewed.username} is not bound to a pod`), null, null, from);
    const pod = await asked(options.readPod(claims.namespace, claims.pod));
    const why = refusalOf(claims, pod, options.images);
    if (why !== null || pod === null) throw refuse(why ?? refusal('PodGone', 'the pod is gone'), claims, pod, from);

    const { namespace, serviceAccount, podUid } = claims;
    const key = keyFingerprint(publicKey);
    const bound = await asked(bindings.claim({ podUid, namespace, pod: claims.pod, key, ...sidecarRun(pod) }));
    if (!bound) {
      const message = 'another key speaks for this pod, and its sidecar was not restarted since';
      throw refuse(refusal('KeyInUse', message), claims, pod, from);
    }
    const identity = identityOf(claims, trustDomain);
    const at = now();
    const certificateChain = await authority.workload(identity, publicKey, at, certificateMs);
    const recordingCertificateChain = await authority.recording(identity, request.recordingPublicKey, at);
    log.info(
      { namespace, pod: claims.pod, podUid, key: key.slice(0, 16), sidecarVersion: request.sidecarVersion.slice(0, 64) },
      'enrolled',
    );
    return {
      certificateChain,
      recordingCertificateChain,
      caBundle: authority.bundle,
      renewAtSeconds: BigInt(Math.floor((at + (certificateMs * 2) / 3) / 1000)),
      namespace,
      serviceAccount,
      pod: claims.pod,
      podUid,
      cluster: options.clusterName,
    };
  };
}

const CODES: Readonly<Record<RefusalCode, status>> = {
  TokenNotGood: status.UNAUTHENTICATED,
  TokenNotOfAPod: status.PERMISSION_DENIED,
  PodGone: status.PERMISSION_DENIED,
  PodEnded: status.PERMISSION_DENIED,
  PodNotInjected: status.PERMISSION_DENIED,
  SidecarMissing: status.PERMISSION_DENIED,
  WrongNode: status.PERMISSION_DENIED,
  WrongServiceAccount: status.PERMISSION_DENIED,
  KeyInUse: status.FAILED_PRECONDITION,
};
