import type { Duplex } from 'node:stream';
import { noteQueued } from './lend.ts';
import type { ByteStream, StreamHandlers } from './stream.ts';

/** Any of Node's duplex streams: accepted sockets and TLS. Each chunk is one of its own. */
export class NodeStream implements ByteStream {
  readonly lends = false;
  readonly duplex: Duplex;
  #handlers: StreamHandlers | null = null;
  #error: Error | null = null;
  #closed = false;

  constructor(duplex: Duplex) {
    this.duplex = duplex;
    // From here on: an error between two owners must not be thrown at the process.
    duplex.on('error', this.#onError);
    duplex.on('close', this.#onClose);
    duplex.on('end', this.#onEnd);
    duplex.on('drain', this.#onDrain);
  }

  #onError = (error: Error): void => {
    this.#error = error;
  };
  #onClose = (): void => {
    this.#closed = true;
    this.#handlers?.closed(this.#error);
    this.#handlers = null;
  };
  #onEnd = (): void => this.#handlers?.ended();
  #onDrain = (): void => this.#handlers?.drained();
  #onData = (chunk: Buffer): void => this.#handlers?.data(chunk);

  start(handlers: StreamHandlers): void {
    const first = this.#handlers === null;
    this.#handlers = handlers;
    if (this.#closed) {
      process.nextTick(() => {
        this.#handlers?.closed(this.#error);
        this.#handlers = null;
      });
      return;
    }
    if (first) this.duplex.on('data', this.#onData);
    this.duplex.resume();
  }

  pause(): void {
    this.duplex.pause();
  }

  resume(): void {
    this.duplex.resume();
  }

  write(bytes: Uint8Array): boolean {
    if (this.#closed || this.duplex.destroyed) return true;
    const more = this.duplex.write(bytes);
    // Node says false for every large chunk, also for one that the kernel took at once.
    if (this.duplex.writableLength === 0) return true;
    noteQueued();
    return more;
  }

  end(): void {
    this.duplex.end();
  }

  destroy(): void {
    this.duplex.destroy();
  }

  get pending(): number {
    return this.duplex.writableLength;
  }

  get destroyed(): boolean {
    return this.duplex.destroyed;
  }

  /**
   * Gives the socket back, paused, so that TLS can be put on it. Nothing of this object may be used after.
   * What came and was not read is still in it.
   */
  detach(): Duplex {
    const duplex = this.duplex;
    duplex.pause();
    duplex.off('data', this.#onData);
    duplex.off('end', this.#onEnd);
    duplex.off('close', this.#onClose);
    duplex.off('drain', this.#onDrain);
    this.#handlers = null;
    return duplex;
  }
}
