import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';

/** The agent's leg. PEM. */
export interface ServerCertificate {
  readonly key: string | Buffer;
  /** Leaf first, then intermediates. */
  readonly certificate: string | Buffer;
}

/** First byte of a TLS record: a client that starts TLS without asking (PostgreSQL 17's direct TLS, HTTPS). */
export const TLS_HANDSHAKE_BYTE = 0x16;

export interface StartTls {
  /** After the answer `S` to an SSLRequest. Rejects where bytes are already there: they came before the handshake. */
  inBand(stream: Duplex): Promise<TLSSocket>;
  /** For a client that began with TLS: `received` is what was read so far. Rejects where ALPN does not say `protocol`. */
  direct(stream: Duplex, received: Buffer, protocol: 'postgresql'): Promise<TLSSocket>;
}

/** Rejections are TlsError and the stream is destroyed. */
export function startTlsWith(_certificate: ServerCertificate, _timeoutMs?: number): StartTls {
  throw new Error('not yet');
}
