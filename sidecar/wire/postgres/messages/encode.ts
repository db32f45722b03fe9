import { WireError } from '../errors.ts';

/** PostgreSQL's PQ_LARGE_MESSAGE_LIMIT: the greatest length field that either side takes. A longer message is refused, never wrapped. */
const MAX_LENGTH = 0x3fff_fffe;

/** A typed frame: type, length, parts. */
export function frame(type: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = 4 + lengthOf(parts);
  const buffer = Buffer.allocUnsafe(length + 1);
  buffer[0] = type;
  buffer.writeUInt32BE(length, 1);
  copyAll(buffer, 5, parts);
  return buffer;
}

/** A startup packet: length and parts, no type. */
export function untypedFrame(...parts: readonly Uint8Array[]): Buffer {
  const length = 4 + lengthOf(parts);
  const buffer = Buffer.allocUnsafe(length);
  buffer.writeUInt32BE(length, 0);
  copyAll(buffer, 4, parts);
  return buffer;
}

function lengthOf(parts: readonly Uint8Array[]): number {
  let total = 0;
  for (const part of parts) total += part.length;
  if (total + 4 > MAX_LENGTH) throw new WireError('too_long', 'a message to write is longer than the protocol takes');
  return total;
}

function copyAll(buffer: Buffer, from: number, parts: readonly Uint8Array[]): void {
  let position = from;
  for (const part of parts) {
    buffer.set(part, position);
    position += part.length;
  }
}

export function byte(value: number): Buffer {
  return Buffer.from([value]);
}

/** A count or code of 16 bits, 0 to 65 535. */
export function uint16(value: number): Buffer {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff) throw new WireError('bad_length', 'a number does not fit 16 bits');
  const buffer = Buffer.allocUnsafe(2);
  buffer.writeUInt16BE(value);
  return buffer;
}

export function uint16s(values: readonly number[]): Buffer {
  return Buffer.concat([uint16(values.length), ...values.map(uint16)]);
}

export function int32(value: number): Buffer {
  if (!Number.isInteger(value) || value < -0x8000_0000 || value > 0xffff_ffff)
    throw new WireError('bad_length', 'a number does not fit 32 bits');
  const buffer = Buffer.allocUnsafe(4);
  buffer.writeUInt32BE(value >>> 0);
  return buffer;
}

/** A string and its NUL. */
export function cstring(text: string): Buffer {
  if (text.includes('\0')) throw new WireError('embedded_nul', 'a string to write holds a NUL');
  const length = Buffer.byteLength(text);
  const buffer = Buffer.allocUnsafe(length + 1);
  buffer.write(text, 0, length, 'utf8');
  buffer[length] = 0;
  return buffer;
}

/** Each value as its length and bytes; -1 for null. */
export function values(list: readonly (Uint8Array | null)[]): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (const value of list) {
    if (value === null) parts.push(NULL_LENGTH);
    else parts.push(int32(value.length), value);
  }
  return parts;
}

const NULL_LENGTH = Buffer.from([0xff, 0xff, 0xff, 0xff]);
