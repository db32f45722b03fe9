/** Why an approval could not be raised or decided. Stable; the admin socket and the CLI show them. */
export const APPROVAL_ERROR_CODES = [
  'AskerNotIdentified',
  'GateMissing',
  'LimitExceeded',
  'Closed',
  'NotFound',
  'NotPending',
  'NotAnApprover',
  'SelfApproval',
  'DelegatedApprover',
  'AlreadyDecided',
  'ReasonRequired',
  'ReasonTooLong',
] as const;
export type ApprovalErrorCode = (typeof APPROVAL_ERROR_CODES)[number];

/** The message is one sentence for the person who asked or decided. It holds no part of a statement and no token. */
export class ApprovalError extends Error {
  override readonly name = 'ApprovalError';
  readonly code: ApprovalErrorCode;

  /** With LimitExceeded: the limit is one of all askers together. */
  readonly ofAll: boolean;

  constructor(code: ApprovalErrorCode, message: string, { ofAll = false } = {}) {
    super(message);
    this.code = code;
    this.ofAll = ofAll;
  }
}
