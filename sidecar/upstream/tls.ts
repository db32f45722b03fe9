import type { Socket } from 'node:net';
import { isIP } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import type { Address, UpstreamTls } from './dial.ts';
import { UpstreamError } from './errors.ts';
import { systemRoots } from './roots.ts';

export interface TlsOptions {
  readonly tls: UpstreamTls & { readonly mode: 'VerifyFull' };
  readonly address: Address;
  readonly alpn: readonly string[];
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * TLS 1.2 or later over a socket, verified in full: chain and name. The server may not have sent a byte yet: what it sent before
 * its handshake was not protected by it. Rejects with UpstreamError, and destroys the socket then.
 */
export function startUpstreamTls(socket: Socket, options: TlsOptions): Promise<TLSSocket> {
  const name = options.tls.serverName ?? options.address.host;
  const { ca } = options.tls;
  return new Promise((resolve, reject) => {
    const secure = connect({
      socket,
      host: name,
      // An IP address may not stand in SNI.
      ...(isIP(name) === 0 ? { servername: name } : {}),
      ...(ca === undefined ? { secureContext: systemRoots() } : { ca }),
      ALPNProtocols: [...options.alpn],
      minVersion: 'TLSv1.2',
      rejectUnauthorized: true,
    });
    const settle = (error: UpstreamError | null): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', aborted);
      secure.off('secureConnect', onSecure);
      secure.off('error', onError);
      secure.off('close', onClose);
      if (!error) return resolve(secure);
      secure.on('error', () => {});
      socket.on('error', () => {});
      secure.destroy();
      socket.destroy();
      reject(error);
    };
    const onSecure = (): void =>
      settle(secure.authorized ? null : new UpstreamError('tls_untrusted', `the certificate of ${name} does not verify`));
    const onError = (error: NodeJS.ErrnoException): void => settle(tlsError(name, error.code));
    const onClose = (): void => settle(new UpstreamError('tls_failed', `${name} closed the connection in the TLS handshake`));
    const aborted = (): void => settle(new UpstreamError('aborted', `connecting to ${name} was given up`));
    const timer = setTimeout(
      () => settle(new UpstreamError('timeout', `no TLS with ${name} within ${options.timeoutMs} ms`)),
      options.timeoutMs,
    );
    secure.on('secureConnect', onSecure);
    secure.on('error', onError);
    secure.on('close', onClose);
    if (options.signal?.aborted) aborted();
    else options.signal?.addEventListener('abort', aborted);
  });
}

const UNTRUSTED =
  /^(ERR_TLS_CERT_ALTNAME|CERT_|UNABLE_TO_|SELF_SIGNED|DEPTH_ZERO|INVALID_CA|INVALID_PURPOSE|HOSTNAME_|ERROR_IN_CERT|PATH_LENGTH)/;

function tlsError(name: string, code: string | undefined): UpstreamError {
  if (code !== undefined && UNTRUSTED.test(code))
    return new UpstreamError('tls_untrusted', `the certificate of ${name} does not verify: ${code}`);
  return new UpstreamError('tls_failed', `TLS with ${name} failed: ${code ?? 'unknown reason'}`);
}
