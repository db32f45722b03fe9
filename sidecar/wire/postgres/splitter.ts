import { WireError } from './errors.ts';
import { ANY_LENGTH, BACKEND_LENGTH, MAX_BACKEND_BYTES, UNKNOWN_TYPE } from './limits.ts';

/** What a FrameSplitter finds. Nothing that it gives may be kept past the call without a copy: a chunk may be lent. */
export interface FrameSink {
  /**
   * Asked for a frame that does not lie whole in its chunk, as soon as its header is there. `length` is the length field:
   * the frame has one byte more. `whole` puts it together and gives it to `frame`; `stream` gives it to `piece` as it comes.
   */
  header(type: number, length: number): 'whole' | 'stream';
  /** `start..end` covers the frame with its header. `buffer` is the pushed chunk itself where the frame lies whole in it. */
  frame(type: number, buffer: Buffer, start: number, end: number): void;
  /** A part of a streamed frame; the first begins with the header, whole. Its parts are in order and not interrupted by others. */
  piece(type: number, buffer: Buffer, start: number, end: number, first: boolean, last: boolean): void;
}

export interface SplitterLimits {
  /** The greatest length field of a frame that is put together. */
  readonly wholeBytes: number;
  /** The greatest length field at all. */
  readonly frameBytes: number;
}

export const DEFAULT_SPLITTER_LIMITS: SplitterLimits = { wholeBytes: 64 * 1024 * 1024, frameBytes: MAX_BACKEND_BYTES };

const FIRST_CAPACITY = 65_536;
const HEADER = 5;

/**
 * Pushes the server's messages out of chunks, in the order of their bytes. Keeps no reference to a chunk after `push` returns.
 * A length or type that can't be accepted throws WireError as soon as it is seen; so does every later `push`.
 */
export class FrameSplitter {
  #sink: FrameSink;
  #limits: SplitterLimits;
  #header = Buffer.allocUnsafeSlow(HEADER);
  #headerFilled = 0;
  /** Of the frame under way, header and all; 0 where there is none. */
  #total = 0;
  #done = 0;
  #type = 0;
  /** Null while a frame is streamed. */
  #part: Buffer | null = null;
  #error: WireError | null = null;

  constructor(sink: FrameSink, limits: Partial<SplitterLimits> = {}) {
    this.#sink = sink;
    this.#limits = { ...DEFAULT_SPLITTER_LIMITS, ...limits };
  }

  /** True between two frames: the server may close here without cutting one. */
  get idle(): boolean {
    return this.#total === 0 && this.#headerFilled === 0;
  }

  push(chunk: Buffer): void {
    if (this.#error) throw this.#error;
    try {
      let position = 0;
      if (this.#headerFilled > 0) position = this.#finishHeader(chunk);
      if (this.#total > 0) position = this.#continue(chunk, position);
      if (position < chunk.length) this.#walk(chunk, position);
    } catch (error) {
      // Also an error of the sink: its place in the stream is lost.
      this.#error = error instanceof WireError ? error : new WireError('bad_value', 'an earlier message could not be handled');
      throw error;
    }
  }

  #walk(chunk: Buffer, from: number): void {
    const sink = this.#sink;
    const limit = this.#limits.frameBytes;
    const size = chunk.length;
    let position = from;
    while (size - position >= HEADER) {
      const type = chunk[position] as number;
      const length =
        (((chunk[position + 1] as number) << 24) |
          ((chunk[position + 2] as number) << 16) |
          ((chunk[position + 3] as number) << 8) |
          (chunk[position + 4] as number)) >>>
        0;
      const known = BACKEND_LENGTH[type] as number;
      if (known !== length && (known !== ANY_LENGTH || length < 4 || length > limit)) throw refusal(type, length, known, limit);
      const end = position + 1 + length;
      if (end > size) {
        this.#start(type, length, chunk, position);
        return;
      }
      sink.frame(type, chunk, position, end);
      position = end;
    }
    if (position === size) return;
    const type = chunk[position] as number;
    if (BACKEND_LENGTH[type] === UNKNOWN_TYPE) throw refusal(type, 0, UNKNOWN_TYPE, limit);
    this.#headerFilled = chunk.copy(this.#header, 0, position);
  }

  /** Begins a frame that goes on in later chunks. */
  #start(type: number, length: number, chunk: Buffer, position: number): void {
    const total = length + 1;
    const way = this.#sink.header(type, length);
    this.#type = type;
    if (way === 'whole') {
      if (length > this.#limits.wholeBytes) throw new WireError('too_long', `a message is longer than ${this.#limits.wholeBytes} bytes`);
      const have = chunk.length - position;
      this.#part = Buffer.allocUnsafeSlow(Math.max(have, Math.min(total, FIRST_CAPACITY)));
      chunk.copy(this.#part, 0, position);
    } else {
      this.#part = null;
      this.#sink.piece(type, chunk, position, chunk.length, true, false);
    }
    this.#total = total;
    this.#done = chunk.length - position;
  }

  #finishHeader(chunk: Buffer): number {
    const count = chunk.copy(this.#header, this.#headerFilled, 0, HEADER - this.#headerFilled);
    this.#headerFilled += count;
    if (this.#headerFilled < HEADER) return count;
    const header = this.#header;
    const type = header[0] as number;
    const length = header.readUInt32BE(1);
    const known = BACKEND_LENGTH[type] as number;
    const limit = this.#limits.frameBytes;
    if (known !== length && (known !== ANY_LENGTH || length < 4 || length > limit)) throw refusal(type, length, known, limit);
    this.#headerFilled = 0;
    if (length === 4) this.#sink.frame(type, header, 0, HEADER);
    else this.#start(type, length, header, 0);
    return count;
  }

  #continue(chunk: Buffer, position: number): number {
    const count = Math.min(this.#total - this.#done, chunk.length - position);
    if (count === 0) return position;
    const last = this.#done + count === this.#total;
    if (this.#part) this.#assemble(this.#part, chunk, position, count);
    this.#done += count;
    const part = this.#part;
    const total = this.#total;
    if (last) {
      this.#total = 0;
      this.#part = null;
    }
    if (!part) this.#sink.piece(this.#type, chunk, position, position + count, false, last);
    else if (last) this.#sink.frame(this.#type, part, 0, total);
    return position + count;
  }

  /** Grows by doubling, so that a length alone never makes the splitter allocate. */
  #assemble(part: Buffer, chunk: Buffer, position: number, count: number): void {
    let target = part;
    if (this.#done + count > part.length) {
      target = Buffer.allocUnsafeSlow(Math.max(this.#done + count, Math.min(this.#total, part.length * 2)));
      part.copy(target, 0, 0, this.#done);
      this.#part = target;
    }
    chunk.copy(target, this.#done, position, position + count);
  }
}

function refusal(type: number, length: number, known: number, limit: number): WireError {
  if (known === UNKNOWN_TYPE) return new WireError('unknown_type', `invalid backend message type ${type}`);
  if (known !== ANY_LENGTH || length < 4) return new WireError('bad_length', `a backend message of type ${type} has an impossible length`);
  return new WireError('too_long', `a backend message is longer than ${limit} bytes`);
}
