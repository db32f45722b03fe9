import { ByteBudget } from './budget.ts';
import { WireError } from './errors.ts';
import { DEFAULT_FRAME_LIMITS, type FrameLimits, frontendLimit } from './limits.ts';

/**
 * One message in place. `start..end` covers it whole, header too: a typed one is a type byte, a length (which counts
 * itself and not the type) and the body from `start + 5`; an untyped startup packet is a length and the body from `start + 4`.
 */
export interface Frame {
  /** The type byte; 0 for the untyped startup packets. */
  readonly type: number;
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
}

/**
 * Which messages may come. `startup`: untyped packets (StartupMessage, SSLRequest, GSSENCRequest, CancelRequest).
 * `login`: passwords and SASL only. `session`: everything else.
 */
export type FramePhase = 'startup' | 'login' | 'session';

const FIRST_CAPACITY = 16_384;

/**
 * Pulls the client's messages out of chunks. A frame that lies in one chunk is given in place, without a copy: the reader
 * owns the chunks that are pushed. A length or type that can't be accepted throws WireError as soon as the header is there,
 * and again on each later call: there is no way to find the next message after it.
 */
export class FrameReader {
  #limits: FrameLimits;
  #phase: FramePhase = 'startup';
  #chunks: Buffer[] = [];
  #head = 0;
  #position = 0;
  #buffered = 0;
  /** A frame that spans chunks, while it is put together. */
  #part: Buffer | null = null;
  #filled = 0;
  #total = 0;
  #error: WireError | null = null;
  readonly #budget: ByteBudget;
  /** Of the budget: for the frame that is put together, and for those that were given out and not settled. */
  #taken = 0;
  #lent = 0;

  constructor(limits: Partial<FrameLimits> = {}, budget = new ByteBudget(Number.POSITIVE_INFINITY)) {
    this.#limits = { ...DEFAULT_FRAME_LIMITS, ...limits };
    this.#budget = budget;
  }

  get phase(): FramePhase {
    return this.#phase;
  }

  /** Takes effect for the next frame whose header has not been looked at; call it between two frames. */
  enter(phase: FramePhase): void {
    if (this.#filled > 0) throw new WireError('unexpected_type', 'a message is under way while the phase changes');
    this.#phase = phase;
  }

  /** Bytes held: received and not yet given out by `next`. */
  get buffered(): number {
    return this.#buffered;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
  }

  /** The frames that were given out are sent on: what they took of the budget is free again. */
  settle(): void {
    if (this.#lent === 0) return;
    this.#budget.give(this.#lent);
    this.#lent = 0;
  }

  /** No more is read. */
  dispose(): void {
    this.settle();
    this.#budget.give(this.#taken);
    this.#taken = 0;
    this.#error ??= new WireError('unexpected_type', 'the connection is closed');
  }

  /** The next message, or null where more bytes are needed. */
  next(): Frame | null {
    if (this.#error) throw this.#error;
    try {
      return this.#filled > 0 ? this.#resume() : this.#begin();
    } catch (error) {
      if (error instanceof WireError) this.#error = error;
      throw error;
    }
  }

  #begin(): Frame | null {
    const chunk = this.#chunks[this.#head];
    if (!chunk) return null;
    const header = this.#phase === 'startup' ? 4 : 5;
    const start = this.#position;
    const available = chunk.length - start;
    if (available >= header) {
      const total = this.#checkHeader(chunk, start);
      if (available >= total) {
        this.#take(total);
        return { type: header === 4 ? 0 : (chunk[start] as number), buffer: chunk, start, end: start + total };
      }
      this.#total = total;
    } else {
      // A type that can't be is refused before its length is there.
      if (header === 5) frontendLimit(chunk[start] as number, this.#phase, this.#limits);
      this.#total = 0;
    }
    this.#part = Buffer.allocUnsafeSlow(Math.min(Math.max(this.#total, header), FIRST_CAPACITY));
    return this.#resume();
  }

  #resume(): Frame | null {
    const header = this.#phase === 'startup' ? 4 : 5;
    if (this.#total === 0) {
      this.#fill(header);
      if (this.#filled < header) return null;
      this.#total = this.#checkHeader(this.#part as Buffer, 0);
    }
    this.#fill(this.#total);
    if (this.#filled < this.#total) return null;
    const buffer = this.#part as Buffer;
    const frame = { type: header === 4 ? 0 : (buffer[0] as number), buffer, start: 0, end: this.#total };
    this.#buffered -= this.#total;
    this.#lent += this.#taken;
    this.#taken = 0;
    this.#part = null;
    this.#filled = 0;
    this.#total = 0;
    return frame;
  }

  /** Moves bytes from the chunks until `target` of the frame are there. They still count as buffered. */
  #fill(target: number): void {
    while (this.#filled < target) {
      const chunk = this.#chunks[this.#head];
      if (!chunk) return;
      const count = Math.min(target - this.#filled, chunk.length - this.#position);
      this.#reserve(this.#filled + count, target);
      chunk.copy(this.#part as Buffer, this.#filled, this.#position, this.#position + count);
      this.#filled += count;
      this.#advance(count);
    }
  }

  /** Grows by doubling, so that a length alone never makes the reader allocate. */
  #reserve(needed: number, target: number): void {
    const part = this.#part as Buffer;
    if (needed <= part.length) return;
    const capacity = Math.max(needed, Math.min(target, part.length * 2));
    if (!this.#budget.take(capacity - this.#taken))
      throw new WireError('too_much', 'all messages that are under way are too large together');
    this.#taken = capacity;
    const grown = Buffer.allocUnsafeSlow(capacity);
    part.copy(grown, 0, 0, this.#filled);
    this.#part = grown;
  }

  #checkHeader(buffer: Buffer, start: number): number {
    if (this.#phase === 'startup') return checkStartupLength(buffer.readUInt32BE(start), this.#limits);
    const limit = frontendLimit(buffer[start] as number, this.#phase, this.#limits);
    const length = buffer.readUInt32BE(start + 1);
    if (length < 4) throw new WireError('bad_length', 'a message is shorter than its own length field');
    if (length > limit) throw new WireError('too_long', `a message is longer than the ${limit} bytes of its type`);
    return length + 1;
  }

  #take(count: number): void {
    this.#buffered -= count;
    this.#advance(count);
  }

  #advance(count: number): void {
    this.#position += count;
    if (this.#position < (this.#chunks[this.#head] as Buffer).length) return;
    this.#position = 0;
    this.#head++;
    if (this.#head < this.#chunks.length && this.#head < 64) return;
    this.#chunks = this.#chunks.slice(this.#head);
    this.#head = 0;
  }
}

function checkStartupLength(length: number, limits: FrameLimits): number {
  if (length < 8) throw new WireError('bad_length', 'a startup packet is shorter than its header');
  if (length > limits.startupBytes) throw new WireError('too_long', `a startup packet is longer than ${limits.startupBytes} bytes`);
  return length;
}
