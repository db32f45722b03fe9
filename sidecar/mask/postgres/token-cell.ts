import { WireError } from '../../wire/postgres/errors.ts';
import type { Pseudonymiser } from '../pseudonym.ts';
import { RecentCache } from '../pseudonym-cache.ts';
import { shortRedacted } from './placeholder.ts';
import { maskBinaryArray, maskTextArray } from './token-array.ts';
import { integerOfForm, numericBytes, numericOfBytes, numericOfForm, tokenInteger } from './token-number.ts';
import type { Cell } from './token-types.ts';

type Scalar = Exclude<Cell, { kind: 'array' }>;

/** What stands in a value's place, in the same format. A value that is malformed throws: nothing of its row goes on. */
export type CellMask = (buffer: Buffer, start: number, length: number) => Buffer;

const CACHED_CELLS = 4096;
const MAX_CACHED_BYTES = 256;

/** `pseudonymiser` is null while there is no key: then the placeholder stands there. */
export function createCellMask(cell: Cell, format: number, pseudonymiser: Pseudonymiser | null): CellMask {
  const mask = maskOf(cell, format, pseudonymiser);
  const known = new RecentCache<Buffer>(CACHED_CELLS);
  return (buffer, start, length) => {
    if (length > MAX_CACHED_BYTES) return mask(buffer.subarray(start, start + length));
    const key = buffer.toString('latin1', start, start + length);
    const found = known.get(key);
    if (found !== undefined) return found;
    const made = mask(buffer.subarray(start, start + length));
    known.set(key, made);
    return made;
  };
}

function maskOf(cell: Cell, format: number, pseudonymiser: Pseudonymiser | null): (bytes: Buffer) => Buffer {
  if (cell.kind !== 'array') return (bytes) => maskScalar(cell, format, bytes, pseudonymiser);
  const { element, elementType } = cell;
  const inner = (bytes: Buffer) => maskScalar(element, format, bytes, pseudonymiser);
  return format === 1 ? (bytes) => maskBinaryArray(bytes, elementType, inner) : (bytes) => maskTextArray(bytes, inner);
}

function maskScalar(cell: Scalar, format: number, bytes: Buffer, pseudonymiser: Pseudonymiser | null): Buffer {
  switch (cell.kind) {
    case 'text':
      return Buffer.from(maskedText(cell, bytes.toString('utf8'), pseudonymiser));
    case 'integer': {
      const value = format === 1 ? integerOfBytes(bytes, cell.bits) : bytes.toString('latin1');
      return integerBytes(maskedInteger(value, cell.bits, pseudonymiser), cell.bits, format);
    }
    case 'numeric': {
      const value = format === 1 ? numericOfBytes(bytes) : bytes.toString('latin1');
      const made = pseudonymiser === null ? '0' : (numericOfForm(value, pseudonymiser) ?? '0');
      return format === 1 ? numericBytes(made) : Buffer.from(made);
    }
    case 'uuid': {
      if (format === 1 && bytes.length !== 16) throw malformed();
      const value = format === 1 ? bytes.toString('hex') : bytes.toString('latin1').replaceAll('-', '');
      const made = pseudonymiser === null ? Buffer.alloc(16) : uuidOf(value, pseudonymiser);
      return format === 1 ? made : Buffer.from(made.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-'));
    }
    case 'json':
      return Buffer.from(jsonOf(bytes, pseudonymiser));
    case 'jsonb':
      if (format === 0) return Buffer.from(jsonOf(bytes, pseudonymiser));
      if (bytes[0] !== 1) throw malformed();
      return Buffer.from(`\u0001${jsonOf(bytes.subarray(1), pseudonymiser)}`);
    case 'bytea': {
      const raw = format === 1 ? bytes : byteaOf(bytes);
      const made = pseudonymiser === null ? Buffer.alloc(0) : pseudonymiser.digest(raw).subarray(0, 16);
      return format === 1 ? made : Buffer.from(`\\x${made.toString('hex')}`);
    }
    default:
      throw cell satisfies never;
  }
}

/** What the server takes for equal becomes equal. */
function maskedText(cell: Scalar & { kind: 'text' }, text: string, pseudonymiser: Pseudonymiser | null): string {
  const max = cell.maxLength ?? Number.POSITIVE_INFINITY;
  const value = cell.padded ? text.replace(/ +$/, '') : text;
  const made = pseudonymiser?.text(cell.folded ? value.toLowerCase() : value, max) ?? shortRedacted(cell.maxLength);
  return cell.padded && cell.maxLength !== null ? made.padEnd(cell.maxLength) : made;
}

function maskedInteger(value: string, bits: 16 | 32 | 64, pseudonymiser: Pseudonymiser | null): string {
  if (pseudonymiser === null) return '0';
  return pseudonymiser.type === 'Token' ? tokenInteger(value, bits, pseudonymiser) : (integerOfForm(value, bits, pseudonymiser) ?? '0');
}

function integerOfBytes(bytes: Buffer, bits: 16 | 32 | 64): string {
  if (bytes.length * 8 !== bits) throw malformed();
  return String(bits === 64 ? bytes.readBigInt64BE() : bytes.readIntBE(0, bytes.length));
}

function integerBytes(value: string, bits: 16 | 32 | 64, format: number): Buffer {
  if (format === 0) return Buffer.from(value);
  const bytes = Buffer.alloc(bits / 8);
  if (bits === 64) bytes.writeBigInt64BE(BigInt(value));
  else bytes.writeIntBE(Number(value), 0, bytes.length);
  return bytes;
}

/** Version 8 (RFC 9562): what of it is random is the issuer's own affair. */
function uuidOf(hex: string, pseudonymiser: Pseudonymiser): Buffer {
  const made = pseudonymiser.digest(hex).subarray(0, 16);
  made[6] = ((made[6] as number) & 0x0f) | 0x80;
  made[8] = ((made[8] as number) & 0x3f) | 0x80;
  return made;
}

function jsonOf(bytes: Buffer, pseudonymiser: Pseudonymiser | null): string {
  return JSON.stringify(pseudonymiser?.text(bytes.toString('utf8')) ?? shortRedacted(null));
}

/** `\x` and hex digits, or with `bytea_output = escape` the bytes themselves, `\\` and `\ooo` for those that are not printable. */
function byteaOf(bytes: Buffer): Buffer {
  if (bytes[0] !== 0x5c || bytes[1] !== 0x78) return escapedBytes(bytes.toString('latin1'));
  const raw = Buffer.from(bytes.toString('latin1', 2), 'hex');
  if (raw.length * 2 !== bytes.length - 2) throw malformed();
  return raw;
}

function escapedBytes(text: string): Buffer {
  const raw = text.replace(/\\(\\|[0-3][0-7]{2})?/g, (_, escape: string | undefined) => {
    if (escape === undefined) throw malformed();
    return escape === '\\' ? escape : String.fromCharCode(Number.parseInt(escape, 8));
  });
  return Buffer.from(raw, 'latin1');
}

function malformed(): WireError {
  return new WireError('bad_value', 'a value that is to be masked does not have the form of its type');
}
