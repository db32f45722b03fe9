import { connect, type Socket } from 'node:net';
import { Recorded } from '../permit.ts';
import { OnReadSocket } from '../transport/onread.ts';
import { UpstreamError } from './errors.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export type UpstreamTls =
  | { readonly mode: 'Disable' }
  | {
      readonly mode: 'VerifyFull';
      /** Name to verify and to send as SNI; the address's host where absent. */
      readonly serverName?: string | undefined;
      /** PEM bundle; the system's roots where absent. */
      readonly ca?: string | Buffer | undefined;
    };

export interface DialOptions {
  /** The proof that the verdict is on disk. */
  readonly recorded: Recorded;
  readonly address: Address;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** A socket that TLS will be put on. Rejects with UpstreamError. */
export async function dialSocket(options: DialOptions): Promise<Socket> {
  requireProof(options.recorded);
  const { host, port } = options.address;
  const socket = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000, allowHalfOpen: true });
  socket.pause();
  await connected(socket, options);
  return socket;
}

/** Plain TCP for good. Rejects with UpstreamError. */
export async function dialPlain(options: DialOptions): Promise<OnReadSocket> {
  requireProof(options.recorded);
  const stream = new OnReadSocket(options.address);
  await connected(stream.socket, options);
  return stream;
}

function requireProof(recorded: Recorded): void {
  if (!Recorded.is(recorded)) throw new TypeError('dialling needs a recorded permit');
}

function connected(socket: Socket, options: DialOptions): Promise<void> {
  const { address, timeoutMs, signal } = options;
  const where = `${address.host}:${address.port}`;
  return new Promise((resolve, reject) => {
    const settle = (error: UpstreamError | null): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
      socket.off('connect', onConnect);
      socket.off('error', onError);
      if (!error) return resolve();
      socket.on('error', () => {});
      socket.destroy();
      reject(error);
    };
    const onConnect = (): void => settle(null);
    const onError = (error: NodeJS.ErrnoException): void =>
      settle(new UpstreamError('unreachable', `can't connect to ${where}: ${error.code ?? 'unknown reason'}`));
    const aborted = (): void => settle(new UpstreamError('aborted', `connecting to ${where} was given up`));
    const timer = setTimeout(() => settle(new UpstreamError('timeout', `no connection to ${where} within ${timeoutMs} ms`)), timeoutMs);
    socket.on('connect', onConnect);
    socket.on('error', onError);
    if (signal?.aborted) aborted();
    else signal?.addEventListener('abort', aborted);
  });
}
