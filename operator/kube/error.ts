/** What can go wrong with a call of the API server, in a closed list. */
export const KUBE_ERROR_CODES = [
  'NotFound',
  'AlreadyExists',
  /** The object has changed since it was read, or another field manager owns a field. */
  'Conflict',
  'Forbidden',
  'Unauthorized',
  /** The resourceVersion is too old: list again. */
  'Gone',
  /** The API server refuses what was sent: an invalid object, or an admission webhook said no. */
  'Invalid',
  /** Too much was asked; ask again later. */
  'TooManyRequests',
  /** No answer, an answer that is not Kubernetes', or a server's own failure. */
  'Unavailable',
  /** The caller gave up. */
  'Aborted',
] as const;
export type KubeErrorCode = (typeof KUBE_ERROR_CODES)[number];

/** Its message names the call and what the API server said; never a header, a body that was sent, or a token. */
export class KubeError extends Error {
  override readonly name = 'KubeError';
  readonly code: KubeErrorCode;
  /** HTTP status; 0 where there was no answer. */
  readonly status: number;
  readonly retryAfterMs: number | null;

  constructor(code: KubeErrorCode, message: string, status = 0, retryAfterMs: number | null = null) {
    super(scrub(message));
    this.code = code;
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** An answer that is not 2xx. `call` is `GET /path`; `status` the parsed metav1.Status, or whatever came. */
export function errorOfStatus(call: string, httpStatus: number, status: unknown, retryAfterMs: number | null = null): KubeError {
  const { reason, message } = (typeof status === 'object' && status !== null ? status : {}) as { reason?: unknown; message?: unknown };
  const said = typeof message === 'string' && message !== '' ? message : `HTTP ${httpStatus}`;
  return new KubeError(codeOf(httpStatus, reason), `${call}: ${said}`, httpStatus, retryAfterMs);
}

export function isKubeError(error: unknown, ...codes: readonly KubeErrorCode[]): error is KubeError {
  return error instanceof KubeError && (codes.length === 0 || codes.includes(error.code));
}

function codeOf(status: number, reason: unknown): KubeErrorCode {
  if (reason === 'AlreadyExists') return 'AlreadyExists';
  if (reason === 'Expired' || reason === 'Gone') return 'Gone';
  switch (status) {
    case 401:
      return 'Unauthorized';
    case 403:
      return 'Forbidden';
    case 404:
      return 'NotFound';
    case 409:
      return 'Conflict';
    case 410:
      return 'Gone';
    case 429:
      return 'TooManyRequests';
    default:
      return status >= 400 && status < 500 ? 'Invalid' : 'Unavailable';
  }
}

const MAX_MESSAGE = 1024;

/** A JWT is what all of Kubernetes' tokens look like; the API server may quote what it was given. */
function scrub(message: string): string {
  return message.replace(/\beyJ[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*){0,2}/g, '[token]').slice(0, MAX_MESSAGE);
}
