import { isUtf8 } from 'node:buffer';
import { WireError } from '../errors.ts';

/** Reads one frame's members in order. Every read is checked against the frame's end; `finish` refuses what is left over. */
export class Body {
  readonly buffer: Buffer;
  readonly end: number;
  position: number;

  /** `start..end` covers a typed frame with its five header bytes. */
  constructor(buffer: Buffer, start: number, end: number, header = 5) {
    this.buffer = buffer;
    this.position = start + header;
    this.end = end;
    if (this.position > end || end > buffer.length) throw new WireError('truncated', 'a message is shorter than its header');
  }

  get left(): number {
    return this.end - this.position;
  }

  #need(count: number): number {
    const at = this.position;
    if (count > this.end - at) throw new WireError('truncated', 'a field ends past its message');
    this.position = at + count;
    return at;
  }

  byte(): number {
    return this.buffer[this.#need(1)] as number;
  }

  uint16(): number {
    return this.buffer.readUInt16BE(this.#need(2));
  }

  int16(): number {
    return this.buffer.readInt16BE(this.#need(2));
  }

  int32(): number {
    return this.buffer.readInt32BE(this.#need(4));
  }

  uint32(): number {
    return this.buffer.readUInt32BE(this.#need(4));
  }

  /** A view of the frame, not a copy. */
  bytes(count: number): Buffer {
    const at = this.#need(count);
    return this.buffer.subarray(at, at + count);
  }

  rest(): Buffer {
    return this.bytes(this.left);
  }

  /** A count and that many members. */
  list<T>(read: (body: this) => T): T[] {
    const count = this.uint16();
    const members: T[] = [];
    for (let i = 0; i < count; i++) members.push(read(this));
    return members;
  }

  /** Length and bytes; null for -1. Any other negative length is refused. */
  value(): Buffer | null {
    const length = this.int32();
    if (length === -1) return null;
    if (length < 0) throw new WireError('bad_length', 'a value has a negative length');
    return this.bytes(length);
  }

  /** A NUL-terminated string in valid UTF-8. */
  cstring(): string {
    const nul = this.buffer.indexOf(0, this.position);
    if (nul < 0 || nul >= this.end) throw new WireError('missing_nul', 'a string does not end within its message');
    const text = utf8(this.buffer.subarray(this.position, nul));
    this.position = nul + 1;
    return text;
  }

  /** The last member: a string whose NUL ends the frame. Another NUL before it would hide text from a reader that stops there. */
  lastCstring(): string {
    if (this.left === 0 || this.buffer[this.end - 1] !== 0) throw new WireError('missing_nul', 'a string does not end its message');
    const nul = this.buffer.indexOf(0, this.position);
    if (nul !== this.end - 1) throw new WireError('embedded_nul', 'bytes follow the NUL that ends a string');
    const text = utf8(this.buffer.subarray(this.position, nul));
    this.position = this.end;
    return text;
  }

  finish(): void {
    if (this.position !== this.end) throw new WireError('trailing_bytes', 'bytes are left over at the end of a message');
  }
}

export function utf8(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new WireError('bad_utf8', 'a string is not valid UTF-8');
  return bytes.toString('utf8');
}

/** A format code: 0 text, 1 binary. */
export function format(code: number): 0 | 1 {
  if (code !== 0 && code !== 1) throw new WireError('bad_value', 'a format code is neither text nor binary');
  return code;
}
