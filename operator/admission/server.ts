/** The HTTPS server that the API server calls. Whatever goes wrong here is a refusal. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { createPlaces, createRateLimiter, type RateLimit } from '../distribute/rate.ts';
import { type AdmissionAnswer, type AdmissionRequest, type Handler, parseReview, refusal, reviewOf } from './review.ts';
import type { ServingCertificates } from './serving.ts';
import type { WebhookPath } from './webhooks.ts';

export interface AdmissionLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface AdmissionServerOptions {
  /** All interfaces where absent. */
  readonly host?: string;
  readonly port: number;
  readonly certificates: ServingCertificates;
  readonly routes: { readonly [path in WebhookPath]: Handler };
  readonly log: AdmissionLog;
  /** After each review, for metrics. */
  readonly onReview?: (review: { readonly path: string; readonly allowed: boolean; readonly seconds: number }) => void;
  /** Less than the webhooks' own timeout, so that the answer says why. */
  readonly handlerTimeoutMs?: number;
  readonly handshakeTimeoutMs?: number;
  readonly limits?: AdmissionLimits;
}

/** Nobody who calls shows who they are, for API servers have no certificate that could be asked for: one address at least can't keep the others out. */
export interface AdmissionLimits {
  readonly connections: number;
  readonly perAddress: number;
  /** Requests of one address. */
  readonly rate: RateLimit;
}

export interface AdmissionServer {
  readonly port: number;
  /** From now on each answer ends its connection, so that the API server goes to another replica. */
  leave(): void;
  /** Answers what is under way, at the latest after `graceMs`. */
  close(graceMs?: number): Promise<void>;
}

/** An object has at most 3 MiB at the API server, and a review holds the old one too. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
const HANDLER_TIMEOUT_MS = 4000;
/** Whoever reaches the port may open connections: those that say nothing must not keep the API server out for long. */
const HANDSHAKE_TIMEOUT_MS = 5000;
/** The API server lets go what is idle for 90 s. Were we the first, a request could meet a connection that just ends, and be refused for that. */
const KEEP_ALIVE_MS = 100_000;
const TELL_EVERY_MS = 10_000;

const LIMITS: AdmissionLimits = { connections: 512, perAddress: 192, rate: { perSecond: 200, burst: 2000 } };

/** Rejects where the port can't be had. */
export async function serveAdmission(options: AdmissionServerOptions): Promise<AdmissionServer> {
  const { certificates, limits = LIMITS } = options;
  const limiter = createRateLimiter(limits.rate, () => performance.now());
  let leaving = false;
  const server = createServer(
    {
      ...contextOf(certificates),
      maxHeaderSize: 16 * 1024,
      handshakeTimeout: options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
      headersTimeout: 5000,
      requestTimeout: 10_000,
    },
    (request, response) => {
      if (leaving) response.setHeader('connection', 'close');
      // Before the body is read.
      if (!limiter.take(request.socket.remoteAddress ?? '')) return end(response, 429);
      void answer(options, request, response);
    },
  );
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  server.maxConnections = limits.connections;
  const places = createPlaces(limits.perAddress);
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? '';
    if (places.take(address)) socket.once('close', () => places.give(address));
    else socket.destroy();
  });
  let failures = 0;
  let toldAt = Number.NEGATIVE_INFINITY;
  // Connections that are open go on; a handshake from now on gets the new certificate.
  const stopWatching = certificates.onChange(() => server.setSecureContext(contextOf(certificates)));
  // Not a line each: anybody can make them.
  server.on('tlsClientError', (error, socket) => {
    socket.destroy();
    failures++;
    if (performance.now() - toldAt < TELL_EVERY_MS) return;
    toldAt = performance.now();
    options.log.warn({ code: error.name, failures }, 'admission: TLS handshakes failed');
    failures = 0;
  });
  await listen(server, options.port, options.host);
  return {
    port: (server.address() as AddressInfo).port,
    leave: () => {
      leaving = true;
    },
    close: (graceMs = 5000) => {
      stopWatching();
      return new Promise((resolve) => {
        const timer = setTimeout(() => server.closeAllConnections(), graceMs);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
        server.closeIdleConnections();
      });
    },
  };
}

function contextOf({ current }: ServingCertificates): SecureContextOptions {
  return { cert: current.chain, key: current.key, minVersion: 'TLSv1.3' };
}

function listen(server: Server, port: number, host: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function answer(options: AdmissionServerOptions, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = new URL(request.url ?? '/', 'https://admission').pathname;
  const handler = Object.hasOwn(options.routes, path) ? options.routes[path as WebhookPath] : undefined;
  if (handler === undefined) return end(response, 404);
  if (request.method !== 'POST' || !/^application\/json\b/.test(request.headers['content-type'] ?? '')) return end(response, 405);
  const body = await bodyOf(request).catch(() => null);
  if (body === null) return end(response, 413);
  const review = parsed(body);
  if (review === null) return end(response, 400);
  const before = performance.now();
  const given = await judged(options, path, handler, review);
  options.onReview?.({ path, allowed: given.allowed, seconds: (performance.now() - before) / 1000 });
  if (!given.allowed) options.log.info(fieldsOf(path, review, given), 'admission: refused');
  const text = JSON.stringify(reviewOf(review.uid, given));
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text);
}

/** Never rejects. What a handler throws is for the log; the caller learns that it was refused. */
async function judged(options: AdmissionServerOptions, path: string, handler: Handler, review: AdmissionRequest): Promise<AdmissionAnswer> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<AdmissionAnswer>((resolve) => {
    const ms = options.handlerTimeoutMs ?? HANDLER_TIMEOUT_MS;
    timer = setTimeout(() => resolve(refusal(503, 'chaperone could not judge this in time: try again')), ms);
  });
  try {
    return await Promise.race([Promise.resolve(handler(review)), late]);
  } catch (error: unknown) {
    const { name, message } = error instanceof Error ? error : { name: typeof error, message: '' };
    options.log.error({ ...fieldsOf(path, review), error: name, detail: message }, 'admission: the handler failed');
    return refusal(500, 'chaperone could not judge this, so it is refused: see the log of the operator');
  } finally {
    clearTimeout(timer);
  }
}

/** Who and what, never an object. */
function fieldsOf(
  path: string,
  { operation, resource, subResource, namespace, name, user }: AdmissionRequest,
  answer?: AdmissionAnswer,
): object {
  const what = subResource === '' ? resource.resource : `${resource.resource}/${subResource}`;
  const why = answer?.allowed === false ? { status: answer.status, why: answer.message } : {};
  return { path, operation, resource: what, namespace, name, user: user.username, ...why };
}

function parsed(body: Buffer): AdmissionRequest | null {
  try {
    return parseReview(JSON.parse(body.toString('utf8')));
  } catch {
    return null;
  }
}

function end(response: ServerResponse, status: number): void {
  response.writeHead(status, { connection: 'close' }).end();
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new RangeError('too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
