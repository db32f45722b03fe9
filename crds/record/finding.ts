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

/** What verification needs of the platform. Each may throw: then the bytes that it was given do not verify. */
export interface Platform {
  /** Lower-case hex. */
  sha256(bytes: Uint8Array): string;
  /** Ed25519. False also where no key with this ID was given; `hasKey` tells the two apart. */
  verify(keyId: string, message: Uint8Array, signature: Uint8Array): boolean;
  hasKey(keyId: string): boolean;
  /** All zstd frames. Throws where the result would be longer than `maxBytes`. */
  decompress(bytes: Uint8Array, maxBytes: number): Uint8Array;
}
