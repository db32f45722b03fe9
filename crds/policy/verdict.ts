/** Who caused a verdict. Named in the client's error, the log line, the metric and the recording. */
export interface Author {
  readonly kind: 'AccessPolicy' | 'ApprovalGate' | 'MaskingRule' | 'ProtectedResource' | 'Chaperone';
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  /** Rule's name, or `rules[2]` where it has none; a check's name where Chaperone itself is the author. */
  readonly rule: string;
}

export type Decision = 'Allow' | 'Deny' | 'Hold';

/** Why, as a stable code. docs/reasons.md lists each; a test holds the two together. */
export const REASON_CODES = [
  'AllowedByRule',
  'AllowedSession',
  'DeniedByRule',
  'HeldByRule',
  'NoRuleMatches',
  'NoPolicyForSubject',
  'ConditionFailed',
  'GateMissing',
  'NoSnapshot',
  'SnapshotStale',
  'MissingCapability',
  'AskerNotIdentified',
  'Unparsable',
  'NotSupported',
  'NotResolved',
  'NotRewritable',
  'LimitExceeded',
  'AssuranceTooLow',
  'ApprovalDenied',
  'ApprovalTimedOut',
  'ApprovalWithdrawn',
  'ApprovalUnavailable',
  'PolicyChanged',
  'RecordingUnavailable',
  'InternalError',
] as const;
export type ReasonCode = (typeof REASON_CODES)[number];

export interface GateRef {
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
}

export interface Verdict {
  readonly decision: Decision;
  readonly code: ReasonCode;
  /** One sentence for the client and the recording; names policy and rule; never a value of the statement. */
  readonly message: string;
  /** The first is the one that a message names. Empty only for a default deny. */
  readonly authors: readonly Author[];
  /** Gates that must all pass; only for Hold. */
  readonly gates: readonly GateRef[];
  /** What policies in Audit mode would have said; changes nothing. */
  readonly audit: readonly AuditVerdict[];
  /** Only with Allow and Hold of a command that may break it. */
  readonly guard?: RowGuard;
}

/** What is only known once a command has run: where it is broken, what the command did is undone, and it is denied by the author. */
export interface RowGuard {
  /** It may change so many rows. */
  readonly rows: { readonly max: number; readonly author: Author } | null;
  /** It may not delete the last row of a relation that had several. */
  readonly everyRow: Author | null;
}

export interface AuditVerdict {
  readonly decision: Decision;
  readonly code: ReasonCode;
  readonly authors: readonly Author[];
}
