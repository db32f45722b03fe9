export const RECORDING_ERROR_CODES = [
  'WriteFailed',
  'SyncFailed',
  'SealFailed',
  'EventTooLarge',
  'SessionEnded',
  'SessionExists',
  'InvalidName',
  'SpoolFull',
  'Closed',
  'Locked',
  'KeyInvalid',
  'RecoveryFailed',
] as const;
export type RecordingErrorCode = (typeof RECORDING_ERROR_CODES)[number];

/** Recording can't go on: the session must end and nothing more may be forwarded. The message holds no part of an event. */
export class RecordingError extends Error {
  override readonly name = 'RecordingError';
  readonly code: RecordingErrorCode;

  constructor(code: RecordingErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** `ENOSPC: no space left on device, write` without what else an error may carry. */
export function causeOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
