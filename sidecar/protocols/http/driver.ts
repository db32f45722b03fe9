import type { Duplex } from 'node:stream';
import { type StartTls, TLS_HANDSHAKE_BYTE } from '../../listener/tls.ts';
import type { Connection, Driver, DriverContext } from '../../pipeline.ts';
import { plainProblem } from './reply.ts';
import { HttpSession } from './session.ts';

export interface HttpDriverOptions {
  /** Null: the agent's leg is plain. Else TLS is taken where the client begins with it. */
  readonly tls: StartTls | null;
  readonly connectTimeoutMs?: number;
  /** A connection without a request for so long is closed, where no policy says less. */
  readonly idleTimeoutMs?: number;
  /** Between two looks at what each session has used of its limits. */
  readonly limitCheckMs?: number;
}

/** HTTP/1.1 to one service: each request is judged, recorded, and forwarded with the service's credential. */
export function createHttpDriver(context: DriverContext, options: HttpDriverOptions): Driver {
  return new HttpDriver(context, options);
}

class HttpDriver implements Driver {
  readonly protocol = 'HTTP';
  readonly noRoom = noRoom();
  readonly #context: DriverContext;
  readonly #options: HttpDriverOptions;
  readonly #sessions = new Set<HttpSession>();
  readonly #timer: NodeJS.Timeout;
  readonly #stopWatching: () => void;
  #draining = false;

  constructor(context: DriverContext, options: HttpDriverOptions) {
    this.#context = context;
    this.#options = options;
    this.#timer = setInterval(() => this.#checkLimits(), options.limitCheckMs ?? 1000);
    this.#timer.unref();
    this.#stopWatching = context.policy.onChange(() => {
      for (const session of this.#sessions) session.policyChanged();
    });
  }

  async serve(connection: Connection): Promise<void> {
    const client = await this.#greet(connection);
    if (client === null || this.#draining) return void connection.stream.destroy();
    const session = new HttpSession({
      context: this.#context,
      connection,
      ...client,
      connectTimeoutMs: this.#options.connectTimeoutMs ?? 10_000,
    });
    this.#sessions.add(session);
    try {
      session.start();
      await session.finished;
    } finally {
      this.#sessions.delete(session);
    }
  }

  /** Null where the client went away or its TLS failed. */
  async #greet(connection: Connection): Promise<{ readonly stream: Duplex; readonly encrypted: boolean } | null> {
    const { stream } = connection;
    const { tls } = this.#options;
    if (tls === null) return { stream, encrypted: false };
    const first = await firstBytes(stream);
    if (first === null) return null;
    if (first[0] !== TLS_HANDSHAKE_BYTE) {
      stream.unshift(first);
      return { stream, encrypted: false };
    }
    try {
      return { stream: await tls.direct(stream, first, 'http/1.1'), encrypted: true };
    } catch {
      return null;
    }
  }

  #checkLimits(): void {
    const idleTimeoutSeconds = (this.#options.idleTimeoutMs ?? 300_000) / 1000;
    const now = this.#context.now();
    for (const session of this.#sessions) {
      const limit = session.overLimit ?? session.meter.over({ idleTimeoutSeconds }, now, session.busy);
      if (limit !== null) session.end('limit', `the session's limit ${limit} is exceeded`);
    }
  }

  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    this.#stopWatching();
    clearInterval(this.#timer);
    const sessions = [...this.#sessions];
    for (const session of sessions) {
      session.closing = true;
      if (!session.busy) session.end('drain');
    }
    const late = setTimeout(() => {
      for (const session of sessions) session.end('drain');
    }, graceMs);
    await Promise.all(sessions.map((session) => session.finished));
    clearTimeout(late);
  }
}

function noRoom(): Buffer {
  const { body } = plainProblem(503, 'LimitExceeded', 'too many connections');
  const head = ['HTTP/1.1 503 Service Unavailable', 'Content-Type: application/problem+json', `Content-Length: ${Buffer.byteLength(body)}`];
  return Buffer.from([...head, 'Connection: close', '', body].join('\r\n'));
}

function firstBytes(stream: Duplex): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const settle = (bytes: Buffer | null): void => {
      stream.off('readable', onReadable).off('end', onGone).off('close', onGone).off('error', onGone);
      resolve(bytes);
    };
    const onReadable = (): void => {
      const bytes = stream.read() as Buffer | null;
      if (bytes !== null) settle(bytes);
    };
    const onGone = (): void => settle(null);
    stream.on('readable', onReadable).on('end', onGone).on('close', onGone).on('error', onGone);
  });
}
