/** Arrays, element by element; what is NULL stays. https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO, array_send in arrayfuncs.c */
import { WireError } from '../../wire/postgres/errors.ts';

const MAX_DIMENSIONS = 6;
/** Where the header says whether an element is NULL. */
const HAS_NULLS = 4;

export function maskBinaryArray(bytes: Buffer, elementType: number, mask: (element: Buffer) => Buffer | null): Buffer {
  const dimensions = bytes.length < 12 ? -1 : bytes.readInt32BE(0);
  if (dimensions < 0 || dimensions > MAX_DIMENSIONS || bytes.readUInt32BE(8) !== elementType) throw malformedArray();
  const header = 12 + 8 * dimensions;
  if (bytes.length < header) throw malformedArray();
  const head = Buffer.from(bytes.subarray(0, header));
  const parts: Buffer[] = [head];
  let at = header;
  while (at < bytes.length) {
    if (bytes.length - at < 4) throw malformedArray();
    const length = bytes.readInt32BE(at);
    at += 4;
    if (length === -1) {
      parts.push(bytes.subarray(at - 4, at));
      continue;
    }
    if (length < 0 || length > bytes.length - at) throw malformedArray();
    const made = mask(bytes.subarray(at, at + length));
    const size = Buffer.alloc(4);
    size.writeInt32BE(made === null ? -1 : made.length);
    parts.push(size);
    if (made === null) head.writeInt32BE(1, HAS_NULLS);
    else parts.push(made);
    at += length;
  }
  return Buffer.concat(parts);
}

const BRACE = /[{},]/;
/** `[0:2]={…}`: bounds that do not begin at one. */
const BOUNDS = /^(?:\[[-\d:]+\])+=/;

export function maskTextArray(bytes: Buffer, mask: (element: Buffer) => Buffer): Buffer {
  const text = bytes.toString('utf8');
  let at = BOUNDS.exec(text)?.[0].length ?? 0;
  let out = text.slice(0, at);
  if (text[at] !== '{') throw malformedArray();
  while (at < text.length) {
    const character = text[at] as string;
    if (BRACE.test(character)) {
      out += character;
      at++;
      continue;
    }
    const element = character === '"' ? quoted(text, at) : plain(text, at);
    at = element.end;
    if (element.value === null) out += 'NULL';
    else out += written(mask(Buffer.from(element.value)).toString('utf8'));
  }
  return Buffer.from(out);
}

interface Element {
  /** Null for NULL. */
  readonly value: string | null;
  readonly end: number;
}

function quoted(text: string, start: number): Element {
  let value = '';
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at] as string;
    if (character === '"') return { value, end: at + 1 };
    if (character !== '\\') value += character;
    else value += text[++at] ?? '';
  }
  throw malformedArray();
}

function plain(text: string, start: number): Element {
  let end = start;
  while (end < text.length && !BRACE.test(text[end] as string)) end++;
  const value = text.slice(start, end);
  if (end === text.length || /["\\\s]/.test(value)) throw malformedArray();
  return { value: value === 'NULL' ? null : value, end };
}

/** As the server writes it: in quotes only where it has to be. */
function written(value: string): string {
  if (value !== '' && !/[{},"\\\s]/.test(value) && value.toUpperCase() !== 'NULL') return value;
  return `"${value.replace(/["\\]/g, '\\$&')}"`;
}

function malformedArray(): WireError {
  return new WireError('bad_value', 'an array that is to be masked does not have the form of its type');
}
