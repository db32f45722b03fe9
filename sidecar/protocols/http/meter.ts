import { createHash } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';

/** Counts and hashes what passes, and keeps nothing of it. */
export class BodyMeter extends Transform {
  bytes = 0;
  readonly #hash = createHash('sha256');
  readonly #onBytes: (count: number) => void;

  /** `onBytes` may throw: the stream then fails. */
  constructor(onBytes: (count: number) => void = () => {}) {
    super();
    this.#onBytes = onBytes;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.bytes += chunk.length;
    this.#hash.update(chunk);
    try {
      this.#onBytes(chunk.length);
      done(null, chunk);
    } catch (error: unknown) {
      done(error instanceof Error ? error : new Error('refused'));
    }
  }

  /** Of what passed so far, hex. */
  get sha256(): string {
    return this.#hash.copy().digest('hex');
  }
}
