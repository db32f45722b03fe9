export type ListenErrorCode = 'port_in_use' | 'not_allowed' | 'no_such_address' | 'failed' | 'certificate';

/** A listener that can't be opened: a user's error, with a message for them. */
export class ListenError extends Error {
  readonly code: ListenErrorCode;

  constructor(code: ListenErrorCode, message: string) {
    super(message);
    this.name = 'ListenError';
    this.code = code;
  }
}

export type TlsErrorCode = 'plaintext_before_handshake' | 'handshake_failed' | 'alpn_missing' | 'timeout';

/** The agent's leg did not get to TLS. The stream is destroyed. */
export class TlsError extends Error {
  readonly code: TlsErrorCode;

  constructor(code: TlsErrorCode, message: string) {
    super(message);
    this.name = 'TlsError';
    this.code = code;
  }
}
