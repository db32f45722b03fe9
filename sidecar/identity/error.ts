/** Why a token was refused. For the log and the metrics; a client only ever reads `invalid token`. */
export const IDENTITY_ERROR_CODES = [
  'Malformed',
  'TooLong',
  'UnknownIssuer',
  'AlgorithmRefused',
  'SignatureInvalid',
  'KeyUnavailable',
  'WrongAudience',
  'Expired',
  'NotYetValid',
  'ClaimInvalid',
  'SubjectMissing',
] as const;
export type IdentityErrorCode = (typeof IDENTITY_ERROR_CODES)[number];

/** A token was refused. The message never holds a part of the token. */
export class IdentityError extends Error {
  override readonly name = 'IdentityError';
  readonly code: IdentityErrorCode;

  constructor(code: IdentityErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
