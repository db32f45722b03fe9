/** Why bytes of PostgreSQL were not accepted. The codes are stable: recordings and metrics carry them. */
export const WIRE_ERROR_CODES = [
  /** A length below the header's own four bytes, or one that the message can't have. */
  'bad_length',
  /** A length above the limit of its type. Also 'negative' ones: lengths are unsigned. */
  'too_long',
  /** More than all connections together may hold of unfinished messages. */
  'too_much',
  'unknown_type',
  /** A known type where it may not stand, such as a password after login. */
  'unexpected_type',
  /** A field ends past its message. */
  'truncated',
  'trailing_bytes',
  'missing_nul',
  'embedded_nul',
  'bad_utf8',
  /** A member outside of its closed set of values. */
  'bad_value',
  'count_mismatch',
  'unsupported_protocol',
  'duplicate_parameter',
  'parameter_not_allowed',
] as const;
export type WireErrorCode = (typeof WIRE_ERROR_CODES)[number];

/** The only error that frames and codecs throw. The message names the rule and never holds a byte of what was received. */
export class WireError extends Error {
  readonly code: WireErrorCode;
  /** protocol_violation, or feature_not_supported where the protocol's version is the reason. */
  readonly sqlstate: '08P01' | '53200' | '0A000' | '22021' | '42501';

  constructor(code: WireErrorCode, message: string) {
    super(message);
    this.name = 'WireError';
    this.code = code;
    this.sqlstate = sqlstateOf(code);
  }
}

function sqlstateOf(code: WireErrorCode): WireError['sqlstate'] {
  if (code === 'unsupported_protocol') return '0A000';
  if (code === 'too_much') return '53200';
  if (code === 'bad_utf8') return '22021';
  if (code === 'parameter_not_allowed') return '42501';
  return '08P01';
}
