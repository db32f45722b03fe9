/** What verification can find, as stable codes; docs/recording.md lists each, and a test holds the two together. */
export const FINDING_CODES = [
  'UnknownFile',
  'Unreadable',
  'TooLarge',
  'NotSupported',
  'HeaderInvalid',
  'HeaderMisplaced',
  'SealMissing',
  'SealInvalid',
  'KeyUnknown',
  'SignatureInvalid',
  'BytesChanged',
  'BodyInvalid',
  'EventInvalid',
  'EventChanged',
  'EventMissing',
  'EventOutOfOrder',
  'EventsDifferFromSeal',
  'SessionStartMissing',
  'EventAfterEnd',
  'SegmentMissing',
  'SegmentOrder',
  'SegmentOpen',
  'SegmentOpenBesideSealed',
  'LineTorn',
  'SegmentChanged',
  'SegmentNotInLedger',
  'SessionMissing',
  'SessionNotInLedger',
  'SessionDuplicated',
  'SessionEndMissing',
  'LedgerMissing',
  'LedgerEntryInvalid',
  'LedgerEntryChanged',
  'LedgerChainBroken',
  'LedgerEntryImpossible',
  'LedgerCut',
  'LedgerTorn',
  'LedgerOpen',
  'LedgerHeadMissing',
  'CertificateInvalid',
  'CertificateExpired',
  'HeadInvalid',
  'HeadNotInLedger',
  'RecorderGap',
  'SessionTailMissing',
  'ObjectOverwritten',
  'ObjectDeleted',
  'CompletenessNotProven',
] as const;
export type FindingCode = (typeof FINDING_CODES)[number];

/** An `error` means that the recordings don't verify. A `warning` is what a running or a killed recorder leaves. */
export interface Finding {
  readonly code: FindingCode;
  readonly severity: 'error' | 'warning';
  /** One sentence. Never a part of what was recorded. */
  readonly message: string;
  /** Below the `recordings` folder. */
  readonly file?: string;
  readonly session?: string;
  readonly segment?: number;
  readonly seq?: number;
  readonly recorder?: string;
  /** Entry of the ledger. */
  readonly entry?: number;
}

/** Whose key a chain of certificates proves. */
export type KeyOwner =
  | { readonly type: 'recorder'; readonly namespace: string; readonly serviceAccount: string; readonly podUid: string }
  /** The operator's, for heads. */
  | { readonly type: 'authority' };

export type Certified =
  | { readonly type: 'refused'; readonly why: string }
  | {
      readonly type: 'certified';
      readonly owner: KeyOwner;
      /** RFC 3339 with milliseconds, UTC: the leaf's. */
      readonly notBefore: string;
      readonly notAfter: string;
      /** Ed25519. */
      verify(message: Uint8Array, signature: Uint8Array): boolean;
    };

/** What verification needs of the platform. Each may throw: then the bytes that it was given do not verify. */
export interface Platform {
  /** Lower-case hex. */
  sha256(bytes: Uint8Array): string;
  /** Ed25519. False also where no key with this ID was given; `hasKey` tells the two apart. */
  verify(keyId: string, message: Uint8Array, signature: Uint8Array): boolean;
  hasKey(keyId: string): boolean;
  /**
   * Whether the chain (PEM, leaf first) leads from this key to an authority that was given; whether it is still valid is the caller's to weigh.
   * `hasKey` and `verify` know a recorder's key from then on. Absent where no authority was given.
   */
  readonly certify?: (certificates: readonly string[], keyId: string) => Certified;
  /** All zstd frames. Throws where the result would be longer than `maxBytes`. */
  decompress(bytes: Uint8Array, maxBytes: number): Uint8Array;
}
