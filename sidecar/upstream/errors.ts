/** Why the target could not be reached or logged in to. The codes are stable. */
export const UPSTREAM_ERROR_CODES = [
  'unreachable',
  'timeout',
  'aborted',
  /** The target does not speak TLS where the resource asks for it. */
  'tls_refused',
  /** The certificate does not verify, or is another name's. */
  'tls_untrusted',
  'tls_failed',
  /** The target asks for a way to prove the password that is not sent to it: md5, cleartext without TLS, GSS, SSPI. */
  'method_refused',
  'password_rejected',
  /** The server could not prove that it knows the password. */
  'server_not_proven',
  /** The target said no for another reason; `sqlstate` tells which. */
  'refused',
  /** The target does not keep to the protocol. */
  'protocol',
  'closed',
  'too_much',
  /** Of a query by PostgresClient: the server's error; the connection lives on. */
  'query_failed',
] as const;
export type UpstreamErrorCode = (typeof UPSTREAM_ERROR_CODES)[number];

/** Never holds a password, a nonce, or text that a server sent before it was authenticated. */
export class UpstreamError extends Error {
  readonly code: UpstreamErrorCode;
  /** What the server gave as its reason. */
  readonly sqlstate: string | undefined;

  constructor(code: UpstreamErrorCode, message: string, sqlstate?: string) {
    super(message);
    this.name = 'UpstreamError';
    this.code = code;
    this.sqlstate = sqlstate;
  }
}
