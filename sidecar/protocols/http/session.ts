import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ResourcePolicy } from '#crds/policy/engine.ts';
import type { Principal } from '#crds/policy/principal.ts';
import type { Verdict } from '#crds/policy/verdict.ts';
import type { EndEvent } from '#crds/record/event.ts';
import type { Connection, DriverContext, SessionRecorder } from '../../pipeline.ts';
import { LimitMeter } from '../limits.ts';
import { codeOf, Exchange } from './exchange.ts';
import { NotIdentified, principalsOf, samePrincipals } from './identify.ts';
import { plainProblem } from './reply.ts';
import { UpstreamLeg } from './upstream.ts';

/** Requests of one connection that wait for an earlier one. */
const MAX_PIPELINED = 16;
const MAX_HEADER_BYTES = 32_768;

export interface HttpSessionParts {
  readonly context: DriverContext;
  readonly connection: Connection;
  /** The client's side, decrypted. */
  readonly stream: Duplex;
  readonly encrypted: boolean;
  readonly connectTimeoutMs: number;
}

/** One client connection: its requests are served one after another, over one connection to the service, with one identity. */
export class HttpSession {
  readonly context: DriverContext;
  readonly connection: Connection;
  readonly meter: LimitMeter;
  readonly leg: UpstreamLeg;
  readonly finished: Promise<void>;
  principals: readonly Principal[] = [];
  /** The response that is under way is the last. */
  closing = false;
  readonly #stream: Duplex;
  readonly #encrypted: boolean;
  #recorder: SessionRecorder | null = null;
  #current: Exchange | null = null;
  #queued = 0;
  #tail: Promise<void> = Promise.resolve();
  #ended = false;
  #finish: () => void = () => {};

  constructor({ context, connection, stream, encrypted, connectTimeoutMs }: HttpSessionParts) {
    this.context = context;
    this.connection = connection;
    this.#stream = stream;
    this.#encrypted = encrypted;
    this.meter = new LimitMeter(context.now());
    this.leg = new UpstreamLeg(connectTimeoutMs);
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** Reads requests from the stream. node:http refuses what is not framed strictly; each request is checked again by itself. */
  start(): void {
    const server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      insecureHTTPParser: false,
      requireHostHeader: true,
      keepAliveTimeout: 0,
      joinDuplicateHeaders: false,
    });
    server.maxHeadersCount = 0;
    server.timeout = 0;
    const take = (request: IncomingMessage, response: ServerResponse): void => this.#take(request, response);
    server.on('request', take).on('checkContinue', take).on('checkExpectation', take);
    server.on('connect', (_request, stream: Duplex) => this.#refuseBytes(stream, 501, 'CONNECT is not supported'));
    server.on('clientError', (error: NodeJS.ErrnoException, stream: Duplex) => {
      const status = error.code === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
      this.#refuseBytes(stream, status, 'this is not an HTTP request that can be read in one way only');
    });
    this.#stream.on('error', () => {});
    this.#stream.once('close', () => {
      this.#current?.cut('the client went away');
      void this.#tail.then(() => this.end('client'));
    });
    server.emit('connection', this.#stream);
    // The listener hands sockets over paused.
    this.#stream.resume();
  }

  get policy(): ResourcePolicy | null {
    return this.context.policy.resource(this.connection.resource);
  }

  readonly why = (): Verdict => this.context.policy.why(this.connection.resource);

  get busy(): boolean {
    return this.#queued > 0;
  }

  get overLimit(): string | null {
    return this.policy === null ? null : this.meter.over(this.policy.limits(this.principals), this.context.now(), this.busy);
  }

  /** Counts bytes of a response. Throws where the session may have no more. */
  returned(bytes: number): void {
    this.meter.returned(0, bytes);
    this.meter.touch(this.context.now());
    if (this.overLimit !== null) throw new Error('limit');
  }

  /** The session's recording and principals; the first request opens it, another identity is refused. */
  async recording(
    proxyAuthorization: string | null,
    userAgent: string | undefined,
  ): Promise<{ readonly recorder: SessionRecorder; readonly principals: readonly Principal[] }> {
    const resource = this.policy?.resource ?? null;
    const principals = await principalsOf(this.context, this.connection, resource, proxyAuthorization, this.#encrypted);
    if (this.#recorder === null) {
      this.principals = principals;
      this.#recorder = await this.#open(userAgent);
    } else if (!samePrincipals(this.principals, principals)) throw new NotIdentified('a connection carries one identity: open another');
    this.principals = principals;
    return { recorder: this.#recorder, principals };
  }

  #open(userAgent: string | undefined): Promise<SessionRecorder> {
    const start = {
      protocol: 'HTTP',
      resource: this.connection.resource,
      workload: this.connection.workload,
      principals: this.principals.map(({ claims: _claims, ...principal }) => principal),
      snapshot: this.context.policy.version,
      assurance: 'None',
      ...(userAgent !== undefined && { client: userAgent.slice(0, 256) }),
    } as const;
    return this.context.recordings.open(start, randomUUID());
  }

  #take(request: IncomingMessage, response: ServerResponse): void {
    this.connection.established?.();
    if (this.#ended || this.#queued >= MAX_PIPELINED) return void this.#stream.destroy();
    this.#queued++;
    const exchange = new Exchange(this, request, response);
    this.#tail = this.#tail.then(async () => {
      this.#current = exchange;
      if (this.closing || this.#ended) exchange.cut('the connection ends');
      await exchange.run();
      this.#current = null;
      this.#queued--;
      this.meter.touch(this.context.now());
      if (this.closing && !this.busy) this.end('drain');
    });
  }

  #refuseBytes(stream: Duplex, status: number, detail: string): void {
    this.context.log.info({ resource: this.connection.resource, remote: this.connection.remote }, 'refused: not a request');
    try {
      this.#recorder?.event({ type: 'note', code: 'Unparsable', message: detail });
    } catch {
      // The connection ends anyway.
    }
    this.#current?.cut('the client broke the protocol');
    const { body } = plainProblem(status, 'Unparsable', detail);
    const head = `HTTP/1.1 ${status} Refused\r\nContent-Type: application/problem+json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n`;
    if (stream.writable && !this.busy) stream.end(head + body);
    else stream.destroy();
  }

  tell(verdict: Verdict, summary: string): void {
    const { context, connection, principals } = this;
    const who = principals.at(-1)?.subject ?? 'unknown';
    context.onVerdict({
      time: context.now(),
      session: this.#recorder?.session ?? '',
      resource: connection.resource,
      who,
      verdict,
      summary,
    });
  }

  failed(error: unknown): void {
    this.context.log.error({ resource: this.connection.resource, error: codeOf(error) }, 'a request could not be served');
  }

  policyChanged(): void {
    this.#current?.policyChanged();
  }

  /** Ends the session: what is under way is cut off, unless its answer is written already. */
  end(reason: EndEvent['reason'], message?: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#current?.cut('the session ends');
    this.leg.close();
    if (reason === 'limit' || reason === 'drain' || reason === 'error') this.#stream.end(() => this.#stream.destroy());
    else this.#stream.destroy();
    const closed = this.#tail.then(() => this.#recorder?.end(reason, message));
    // `end` may be called by the exchange itself, whose end the tail waits for.
    closed.catch((error: unknown) => this.failed(error)).finally(this.#finish);
  }
}
