import { isUuid, storedFile } from '#crds/record/format.ts';
import { MAX_SEGMENT_BYTES } from '#crds/record/segment.ts';

export const REFUSALS = [
  'BucketNotReady',
  'BucketFailed',
  'RateLimited',
  'TooMany',
  'PathInvalid',
  'SizeInvalid',
  'HashInvalid',
  'ClusterForeign',
  'NamespaceForeign',
  'NotSynced',
  'RecorderForeign',
  'StoredDifferently',
  'HeadInvalid',
  'HeadGoesBack',
] as const;
export type RefusalCode = (typeof REFUSALS)[number];

export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
}

/** One object that a sidecar asks a place for; RecordingObject of the protocol has this shape. */
export interface AskedObject {
  readonly path: string;
  readonly sha256: Uint8Array;
  readonly sizeBytes: bigint;
  readonly recorder: string;
  readonly mayBeStored: boolean;
}

export interface Allowed {
  readonly cluster: string;
  /** Of the resources that the caller may have sessions with; null where that is not known yet. */
  readonly namespaces: ReadonlySet<string> | null;
}

/** Why the object may not be stored, as far as its name tells; null where it may. Whose the recorder is, is asked elsewhere. */
export function refusalOf(object: AskedObject, { cluster, namespaces }: Allowed): Refusal | null {
  if (!isUuid(object.recorder)) return { code: 'PathInvalid', message: 'the recorder is not a UUID' };
  if (object.sha256.length !== 32) return { code: 'HashInvalid', message: 'a SHA-256 has 32 bytes' };
  if (object.sizeBytes < 1n || object.sizeBytes > BigInt(MAX_SEGMENT_BYTES))
    return { code: 'SizeInvalid', message: `an object has 1 to ${MAX_SEGMENT_BYTES} bytes` };
  const stored = storedFile(object.path);
  switch (stored.type) {
    case 'segment':
      if (stored.state === 'open') return { code: 'PathInvalid', message: 'an open segment is not uploaded' };
      if (stored.place.cluster !== cluster) return { code: 'ClusterForeign', message: `this is cluster ${cluster}` };
      if (namespaces === null) return { code: 'NotSynced', message: 'the caller’s policy is not known yet' };
      if (!namespaces.has(stored.place.namespace))
        return { code: 'NamespaceForeign', message: 'no policy of this namespace is for the caller' };
      return null;
    case 'ledgerChunk':
      return stored.recorder === object.recorder ? null : { code: 'RecorderForeign', message: 'the ledger is of another recorder' };
    case 'ledger':
    case 'head':
    case 'selfCheck':
    case 'unknown':
      return { code: 'PathInvalid', message: 'a sidecar stores segments and pieces of its ledger, and nothing else' };
    default:
      throw stored satisfies never;
  }
}
