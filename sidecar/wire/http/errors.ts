/** Why a request is refused before it is judged. The codes are stable. */
export const HTTP_ERROR_CODES = [
  'bad_version',
  'bad_method',
  'bad_target',
  'bad_path',
  'bad_host',
  'bad_header',
  'duplicate_header',
  'too_many_headers',
  'override_header',
  'unexpected_body',
  'unsupported',
] as const;
export type HttpErrorCode = (typeof HTTP_ERROR_CODES)[number];

/** A request that can't be read in one way only. The message holds nothing of the request. */
export class HttpError extends Error {
  readonly code: HttpErrorCode;
  /** What the client is answered with. */
  readonly status: number;

  constructor(code: HttpErrorCode, message: string, status = 400) {
    super(message);
    this.name = 'HttpError';
    this.code = code;
    this.status = status;
  }
}
