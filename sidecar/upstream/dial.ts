import { connect, isIP, type LookupFunction, type Socket } from 'node:net';
import { Recorded } from '../permit.ts';
import type { TargetNames } from '../pipeline.ts';
import { OnReadSocket } from '../transport/onread.ts';
import { UpstreamError } from './errors.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
  /** How the host's name is looked up; by the machine's own ways where absent. */
  readonly names?: TargetNames | undefined;
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
  const socket = connect({
    ...placeOf(options.address),
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 60_000,
    allowHalfOpen: true,
  });
  socket.pause();
  await connected(socket, options);
  return socket;
}

/** Plain TCP for good. Rejects with UpstreamError. */
export async function dialPlain(options: DialOptions): Promise<OnReadSocket> {
  requireProof(options.recorded);
  const stream = OnReadSocket.connect(placeOf(options.address));
  await connected(stream.socket, options);
  return stream;
}

function placeOf({ host, port, names }: Address): { host: string; port: number; lookup?: LookupFunction } {
  if (names === undefined) return { host, port };
  if (isIP(host) !== 0 && names.isRefused(host)) throw new UpstreamError('unreachable', `no target can be at ${host}`);
  return { host, port, lookup: names.lookup };
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
