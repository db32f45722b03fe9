import type { ByteStream } from '../../transport/stream.ts';
import { WireError } from '../../wire/postgres/errors.ts';
import type { Frame } from '../../wire/postgres/frame.ts';
import { ANY_LENGTH, BACKEND_LENGTH, UNKNOWN_TYPE } from '../../wire/postgres/limits.ts';
import { UpstreamError } from '../errors.ts';

/** No message of a login is longer; an error's text is the longest. */
const MAX_LOGIN_LENGTH = 65_535;
/** Nor a whole login: a server that goes on with notices for ever is stopped. */
const MAX_LOGIN_BYTES = 1024 * 1024;

/** Reads a server's messages one at a time while a login goes on: pulled, bounded, with a deadline for the whole. */
export class Conversation {
  readonly #stream: ByteStream;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout;
  #held = Buffer.alloc(0);
  #total = 0;
  #error: UpstreamError | null = null;
  #wake: (() => void) | null = null;

  constructor(stream: ByteStream, timeoutMs: number, signal: AbortSignal | undefined) {
    this.#stream = stream;
    this.#signal = signal;
    this.#timer = setTimeout(() => this.#fail(new UpstreamError('timeout', 'the login took too long')), Math.max(1, timeoutMs));
    signal?.addEventListener('abort', this.#aborted);
    if (signal?.aborted) this.#aborted();
    const closed = (): void => this.#fail(new UpstreamError('closed', 'the target closed the connection during the login'));
    stream.start({ data: (chunk) => this.#received(chunk), drained: () => {}, ended: closed, closed });
  }

  #aborted = (): void => this.#fail(new UpstreamError('aborted', 'connecting was given up'));

  #received(chunk: Buffer): void {
    this.#total += chunk.length;
    if (this.#total > MAX_LOGIN_BYTES) return this.#fail(new UpstreamError('protocol', 'the target says too much in the login'));
    this.#held = Buffer.concat([this.#held, chunk]);
    // Nobody sends this much in a login: what is over is read when it is wanted.
    if (this.#held.length > MAX_LOGIN_LENGTH) this.#stream.pause();
    this.#wakeUp();
  }

  #fail(error: UpstreamError): void {
    this.#error ??= error;
    this.#wakeUp();
  }

  #wakeUp(): void {
    const wake = this.#wake;
    this.#wake = null;
    wake?.();
  }

  write(bytes: Uint8Array): void {
    this.#stream.write(bytes);
  }

  /** Rejects with UpstreamError, or WireError for a message that can't be. */
  async next(): Promise<Frame> {
    for (;;) {
      const frame = this.#take();
      if (frame) return frame;
      if (this.#error) throw this.#error;
      this.#stream.resume();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #take(): Frame | null {
    const buffer = this.#held;
    if (buffer.length === 0) return null;
    const type = buffer[0] as number;
    const known = BACKEND_LENGTH[type] as number;
    if (known === UNKNOWN_TYPE) throw new WireError('unknown_type', `invalid backend message type ${type}`);
    if (buffer.length < 5) return null;
    const length = buffer.readUInt32BE(1);
    if (length < 4 || (known !== ANY_LENGTH && known !== length)) throw new WireError('bad_length', 'a message has an impossible length');
    if (length > MAX_LOGIN_LENGTH) throw new WireError('too_long', 'a message of the login is too long');
    if (buffer.length < length + 1) return null;
    this.#held = buffer.subarray(length + 1);
    return { type, buffer, start: 0, end: length + 1 };
  }

  /** Ends the reading without closing; gives what was read ahead. */
  finish(): Buffer {
    this.#stop();
    this.#stream.pause();
    return this.#held;
  }

  destroy(): void {
    this.#stop();
    this.#stream.destroy();
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#aborted);
  }
}
