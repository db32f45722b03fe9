import { constants } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import { TlsError } from './errors.ts';

/** The agent's leg. PEM. */
export interface ServerCertificate {
  readonly key: string | Buffer;
  /** Leaf first, then intermediates. */
  readonly certificate: string | Buffer;
}

/** First byte of a TLS record: a client that starts TLS without asking (PostgreSQL 17's direct TLS, HTTPS). */
export const TLS_HANDSHAKE_BYTE = 0x16;

export interface StartTls {
  /** After the answer `S` to an SSLRequest. Rejects where bytes are already there: they came before the handshake (CVE-2021-23214). */
  inBand(stream: Duplex): Promise<TLSSocket>;
  /** For a client that began with TLS: `received` is what was read so far. Rejects where its ALPN does not say `protocol`; HTTP's need not say any. */
  direct(stream: Duplex, received: Buffer, protocol: 'postgresql' | 'http/1.1'): Promise<TLSSocket>;
}

const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** TLS 1.2 and later with forward secrecy, no renegotiation. A handshake has `timeoutMs`. Rejections are TlsError; the stream is destroyed then. */
export function startTlsWith(certificate: ServerCertificate, timeoutMs = 10_000): StartTls {
  const context = createSecureContext({
    key: certificate.key,
    cert: certificate.certificate,
    minVersion: 'TLSv1.2',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  });
  return {
    async inBand(stream) {
      if (stream.readableLength > 0) {
        stream.destroy();
        throw new TlsError('plaintext_before_handshake', 'unencrypted data came after the request for TLS');
      }
      return handshake(stream, context, timeoutMs, 'postgresql');
    },
    async direct(stream, received, protocol) {
      stream.unshift(received);
      const secure = await handshake(stream, context, timeoutMs, protocol);
      if (secure.alpnProtocol === protocol || (protocol === 'http/1.1' && secure.alpnProtocol === false)) return secure;
      secure.destroy();
      throw new TlsError('alpn_missing', `a direct TLS connection has to name the protocol ${protocol} (ALPN)`);
    },
  };
}

function handshake(stream: Duplex, secureContext: SecureContext, timeoutMs: number, protocol: string): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secure = new TLSSocket(stream, { isServer: true, secureContext, ALPNProtocols: [protocol] });
    const settle = (error: TlsError | null): void => {
      clearTimeout(timer);
      secure.off('secure', onSecure);
      secure.off('error', onError);
      secure.off('close', onClose);
      if (!error) return resolve(secure);
      secure.on('error', () => {});
      stream.on('error', () => {});
      secure.destroy();
      stream.destroy();
      reject(error);
    };
    const onSecure = (): void => settle(null);
    const onError = (error: NodeJS.ErrnoException): void =>
      settle(new TlsError('handshake_failed', `the TLS handshake failed: ${error.code ?? 'unknown reason'}`));
    const onClose = (): void => settle(new TlsError('handshake_failed', 'the connection was closed in the TLS handshake'));
    const timer = setTimeout(() => settle(new TlsError('timeout', 'the TLS handshake took too long')), timeoutMs);
    secure.on('secure', onSecure);
    secure.on('error', onError);
    secure.on('close', onClose);
  });
}
