import { Socket } from 'node:net';
import type { StartTls } from '../../listener/tls.ts';
import { TLS_HANDSHAKE_BYTE } from '../../listener/tls.ts';
import type { Connection } from '../../pipeline.ts';
import { NodeStream } from '../../transport/node.ts';
import { OnReadSocket } from '../../transport/onread.ts';
import type { ByteStream } from '../../transport/stream.ts';
import type { ByteBudget } from '../../wire/postgres/budget.ts';
import { WireError } from '../../wire/postgres/errors.ts';
import { type Frame, FrameReader } from '../../wire/postgres/frame.ts';
import type { FrameLimits } from '../../wire/postgres/limits.ts';
import { type CancelRequest, decodeStartupPacket, type StartupMessage } from '../../wire/postgres/messages/startup.ts';

const AHEAD_BYTES = 256 * 1024;

/** A client before its session: one reader over one stream, with promises instead of handlers. */
export class Handshake {
  #stream: NodeStream;
  #handedOver: ByteStream | null = null;
  readonly reader: FrameReader;
  encrypted = false;
  #closed = false;
  #wake: (() => void) | null = null;
  #first = true;
  #received: Buffer[] | null = [];

  constructor(connection: Connection, limits: Partial<FrameLimits>, budget: ByteBudget) {
    this.reader = new FrameReader(limits, budget);
    this.#stream = new NodeStream(connection.stream);
    this.#listen();
  }

  /** The client will send no more. */
  get closed(): boolean {
    return this.#closed;
  }

  get stream(): ByteStream {
    return this.#handedOver ?? this.#stream;
  }

  #listen(): void {
    this.#stream.start({
      data: (chunk) => {
        const copy = Buffer.from(chunk);
        if (this.#first) this.#received?.push(copy);
        else this.reader.push(copy);
        // Who sends on without waiting for the login is read later: the session's pump reads on.
        if (this.reader.buffered > AHEAD_BYTES) this.#stream.pause();
        this.#wake?.();
      },
      drained: () => {},
      ended: () => this.#close(),
      closed: () => this.#close(),
    });
  }

  #close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  async #more(): Promise<boolean> {
    if (this.#closed) return false;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = null;
    return true;
  }

  /** The next message, or null where the client closed. */
  async next(): Promise<Frame | null> {
    for (;;) {
      const frame = this.reader.next();
      if (frame !== null) return frame;
      if (this.reader.buffered > 0 && this.#closed) return null;
      if (!(await this.#more())) return this.reader.next();
    }
  }

  /** Startup packets until a StartupMessage or CancelRequest; TLS where the client asks for it. Null where the client closed. */
  async startup(tls: StartTls | null): Promise<StartupMessage | CancelRequest | null> {
    if (!(await this.#firstByte(tls))) return null;
    let asked = { ssl: false, gss: false };
    for (;;) {
      const frame = await this.next();
      if (frame === null) return null;
      const packet = decodeStartupPacket(frame.buffer, frame.start, frame.end);
      if (packet.type === 'StartupMessage' || packet.type === 'CancelRequest') return packet;
      // A byte after the request would be read as if it had come through TLS (CVE-2021-23214).
      if (this.reader.buffered > 0) throw new WireError('trailing_bytes', 'bytes came after a request for encryption');
      const ssl = packet.type === 'SSLRequest';
      if (this.encrypted || (ssl ? asked.ssl : asked.gss)) throw new WireError('unexpected_type', 'encryption was asked for twice');
      asked = { ssl: asked.ssl || ssl, gss: asked.gss || !ssl };
      if (!ssl || tls === null) {
        this.#stream.write(Buffer.from('N'));
        continue;
      }
      this.#stream.write(Buffer.from('S'));
      this.#adopt(await tls.inBand(this.#stream.detach()));
    }
  }

  /** Direct TLS begins with a TLS record instead of a packet. */
  async #firstByte(tls: StartTls | null): Promise<boolean> {
    while (this.#received?.length === 0) if (!(await this.#more())) return false;
    const received = Buffer.concat(this.#received ?? []);
    this.#first = false;
    this.#received = null;
    if (received[0] !== TLS_HANDSHAKE_BYTE) {
      this.reader.push(received);
      return true;
    }
    if (tls === null) throw new WireError('unexpected_type', 'TLS is not served');
    this.#adopt(await tls.direct(this.#stream.detach(), received, 'postgresql'));
    return true;
  }

  /** The stream for the session, which reads on where this stops. A plain one is read without Node's stream from here on. */
  handOver(): ByteStream {
    const { duplex } = this.#stream;
    if (this.#closed || this.encrypted || !(duplex instanceof Socket)) return this.#stream;
    this.#stream.detach();
    const unread: unknown = duplex.read();
    if (Buffer.isBuffer(unread)) this.reader.push(unread);
    this.#handedOver = OnReadSocket.over(duplex) ?? new NodeStream(duplex);
    return this.#handedOver;
  }

  #adopt(stream: ConstructorParameters<typeof NodeStream>[0]): void {
    this.#stream = new NodeStream(stream);
    this.encrypted = true;
    this.#listen();
  }
}
