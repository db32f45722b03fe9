export const CONTROL_ERROR_CODES = ['Unavailable', 'Refused', 'Malformed', 'Closed'] as const;
/** `Unavailable` may go by; `Refused`: the operator says no; `Malformed`: what it says is not what the protocol says. */
export type ControlErrorCode = (typeof CONTROL_ERROR_CODES)[number];

/** What goes wrong between sidecar and operator. Never holds a token or a key. */
export class ControlError extends Error {
  override readonly name = 'ControlError';
  readonly code: ControlErrorCode;

  constructor(code: ControlErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}
