import { once } from 'node:events';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { NodeStream } from '../../transport/node.ts';
import type { ByteStream } from '../../transport/stream.ts';
import { encodeSslRequest } from '../../wire/postgres/messages/startup.ts';
import { type DialOptions, dialPlain, dialSocket, type UpstreamTls } from '../dial.ts';
import { UpstreamError } from '../errors.ts';
import { startUpstreamTls } from '../tls.ts';

export interface Opened {
  readonly stream: ByteStream;
  /** Null on plain TCP. */
  readonly secure: TLSSocket | null;
}

const YES = 0x53; // S
const NO = 0x4e; // N

/** A connection to a PostgreSQL server, with TLS where the resource asks for it, before the first message. Rejects with UpstreamError. */
export async function openPostgres(options: DialOptions & { readonly tls: UpstreamTls }): Promise<Opened> {
  const { tls } = options;
  if (tls.mode === 'Disable') return { stream: await dialPlain(options), secure: null };
  const deadline = Date.now() + options.timeoutMs;
  const socket = await dialSocket(options);
  socket.write(encodeSslRequest());
  const answer = await answerToSslRequest(socket, deadline - Date.now(), options.signal);
  if (answer !== YES) {
    socket.destroy();
    if (answer === NO) throw new UpstreamError('tls_refused', 'the target does not speak TLS');
    throw new UpstreamError('protocol', 'the target answered the request for TLS with something else');
  }
  const timeoutMs = Math.max(1, deadline - Date.now());
  const secure = await startUpstreamTls(socket, { tls, address: options.address, alpn: ['postgresql'], timeoutMs, signal: options.signal });
  return { stream: new NodeStream(secure), secure };
}

/** The one byte; -1 where more came with it: bytes from before the handshake must not be taken for the server's (CVE-2021-23222). */
async function answerToSslRequest(socket: Socket, timeoutMs: number, signal: AbortSignal | undefined): Promise<number> {
  const timeout = AbortSignal.timeout(Math.max(1, timeoutMs));
  const answered = new AbortController();
  const given = AbortSignal.any([timeout, answered.signal, ...(signal ? [signal] : [])]);
  try {
    for (;;) {
      const bytes = socket.read() as Buffer | null;
      if (bytes) return bytes.length === 1 ? (bytes[0] as number) : -1;
      if (socket.readableEnded || socket.destroyed) throw new Error('closed');
      await Promise.race([once(socket, 'readable', { signal: given }), once(socket, 'end', { signal: given })]);
    }
  } catch {
    socket.on('error', () => {});
    socket.destroy();
    if (signal?.aborted) throw new UpstreamError('aborted', 'connecting was given up');
    if (timeout.aborted) throw new UpstreamError('timeout', 'the target did not answer the request for TLS in time');
    throw new UpstreamError('closed', 'the target closed the connection at the request for TLS');
  } finally {
    // Takes the listeners off that are still waiting.
    answered.abort();
  }
}
