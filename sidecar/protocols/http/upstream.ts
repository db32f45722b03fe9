import { Agent, type ClientRequest, type ClientRequestArgs, request } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Recorded } from '../../permit.ts';
import { dialSocket } from '../../upstream/dial.ts';
import { startUpstreamTls } from '../../upstream/tls.ts';
import { comparable, type Header } from '../../wire/http/headers.ts';
import type { HttpTarget } from './target.ts';

/** A request's head as a permit carries it: what was judged is what is sent. */
export interface SentHead {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: readonly Header[];
}

export function encodeHead(head: SentHead): Buffer {
  return Buffer.from(JSON.stringify(head));
}

/** The one connection to the service that a client's connection has. Requests go one after another; an idle one that broke is dialled again. */
export class UpstreamLeg {
  readonly #connectTimeoutMs: number;
  #agent: DialAgent | null = null;

  constructor(connectTimeoutMs: number) {
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  /** Sends the head that the permit carries, with the credential in place of the agent's own header of that name. The body is the caller's to write. */
  send(recorded: Recorded, target: HttpTarget): ClientRequest {
    const head = JSON.parse(Buffer.from(recorded.permit.bytes).toString()) as SentHead;
    const { credential } = target;
    const own = credential === null ? null : comparable(credential.header);
    const headers = head.headers.filter(([name]) => comparable(name) !== own);
    if (credential !== null) headers.push([credential.header, credential.value]);
    const agent = this.#agentFor(target);
    agent.recorded = recorded;
    const sent = request({
      agent,
      method: head.method,
      path: head.target,
      headers: [...headers.flat(), 'Connection', 'keep-alive'],
      setHost: false,
      insecureHTTPParser: false,
      maxHeaderSize: 65_536,
    });
    // The dialler hands sockets over paused.
    sent.once('socket', (socket) => socket.resume());
    return sent;
  }

  #agentFor(target: HttpTarget): DialAgent {
    const key = JSON.stringify([target.address, target.tls]);
    if (this.#agent?.key === key) return this.#agent;
    this.#agent?.destroy();
    this.#agent = new DialAgent(key, target, this.#connectTimeoutMs);
    return this.#agent;
  }

  close(): void {
    this.#agent?.destroy();
    this.#agent = null;
  }
}

class DialAgent extends Agent {
  readonly key: string;
  /** The proof of the request that is about to be sent. */
  recorded: Recorded | null = null;
  readonly #target: HttpTarget;
  readonly #timeoutMs: number;

  constructor(key: string, target: HttpTarget, timeoutMs: number) {
    super({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1 });
    this.key = key;
    this.#target = target;
    this.#timeoutMs = timeoutMs;
  }

  override createConnection(_options: ClientRequestArgs, done?: (error: Error | null, stream: Duplex) => void): undefined {
    this.#dial().then(
      (stream) => done?.(null, stream),
      (error: unknown) => done?.(error instanceof Error ? error : new Error('dial failed'), undefined as unknown as Duplex),
    );
  }

  async #dial(): Promise<Duplex> {
    const { address, tls } = this.#target;
    if (this.recorded === null) throw new TypeError('dialling needs a recorded permit');
    const socket = await dialSocket({ recorded: this.recorded, address, timeoutMs: this.#timeoutMs });
    return tls.mode === 'Disable' ? socket : startUpstreamTls(socket, { tls, address, alpn: ['http/1.1'], timeoutMs: this.#timeoutMs });
  }
}
