import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import { pipeline } from 'node:stream/promises';
import type { Recorded } from '../../permit.ts';
import { endToEnd, type Header } from '../../wire/http/headers.ts';
import { BodyMeter } from './meter.ts';
import { CredentialScrubber, scrubText } from './scrub.ts';
import { type HttpTarget, MIN_SCRUBBED } from './target.ts';
import type { UpstreamLeg } from './upstream.ts';

export interface Forwarded {
  readonly status: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly requestSha256: string;
  readonly responseSha256: string;
}

export interface ForwardOptions {
  readonly recorded: Recorded;
  readonly target: HttpTarget;
  readonly leg: UpstreamLeg;
  readonly request: IncomingMessage;
  /** The whole body where it was read before: the request was held. */
  readonly body: Buffer | null;
  readonly response: ServerResponse;
  /** The client went away, a limit was exceeded, or the policy changed. */
  readonly signal: AbortSignal;
  /** Of the response; may throw. */
  readonly onBytes: (count: number) => void;
  /** The response is the last of its connection. */
  readonly last: boolean;
}

/** Sends what was permitted and recorded, and the answer back. Bodies stream with back-pressure. Rejects where either side broke off. */
export async function forward(options: ForwardOptions): Promise<Forwarded> {
  const { request, response, target, signal } = options;
  signal.throwIfAborted();
  const upstream = options.leg.send(options.recorded, target);
  const abort = (): void => void upstream.destroy(new Error('aborted'));
  signal.addEventListener('abort', abort, { once: true });
  const sent = new BodyMeter();
  try {
    const answered = answerOf(upstream);
    sendBody(request, options.body, sent, upstream);
    const answer = await answered;
    const secret = target.credential !== null && target.credential.secret.length >= MIN_SCRUBBED ? target.credential.secret : null;
    const received = new BodyMeter(options.onBytes);
    response.sendDate = false;
    response.shouldKeepAlive &&= !options.last;
    response.writeHead(answer.statusCode as number, responseHeaders(answer.rawHeaders, secret).flat());
    if (secret === null) await pipeline(answer, received, response);
    else await pipeline(answer, new CredentialScrubber(Buffer.from(secret, 'latin1')), received, response);
    return {
      status: answer.statusCode as number,
      bytesIn: sent.bytes,
      bytesOut: received.bytes,
      requestSha256: sent.sha256,
      responseSha256: received.sha256,
    };
  } finally {
    signal.removeEventListener('abort', abort);
    request.unpipe(sent);
    // The answer came before the body's end: the connection has no next request.
    if (!upstream.writableFinished) upstream.destroy();
  }
}

/** A piped body: a client that breaks off ends the request to the service too (by `signal`), a service that breaks off can still be told to the client. */
function sendBody(request: IncomingMessage, body: Buffer | null, sent: BodyMeter, upstream: ClientRequest): void {
  sent.on('error', () => upstream.destroy());
  sent.pipe(upstream);
  if (body === null) request.pipe(sent);
  else sent.end(body);
}

function answerOf(upstream: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    upstream.once('response', resolve);
    upstream.on('error', reject);
    upstream.once('upgrade', (_answer, socket) => {
      socket.destroy();
      reject(new Error('the target changed the protocol'));
    });
    upstream.once('close', () => reject(new Error('the target closed the connection')));
  });
}

/** `Alt-Svc` would lead the client past the sidecar. */
function responseHeaders(raw: readonly string[], secret: string | null): Header[] {
  const headers: Header[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) headers.push([raw[i] as string, raw[i + 1] as string]);
  const kept = endToEnd(headers).filter(([name]) => name.toLowerCase() !== 'alt-svc');
  return secret === null ? kept : kept.map(([name, value]) => [name, scrubText(value, secret)]);
}
