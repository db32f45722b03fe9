import { isUtf8 } from 'node:buffer';
import type { Detectors, Masked } from '../detect.ts';
import { REDACTED } from './placeholder.ts';
import { floatText, integerText, numericText } from './rows-number.ts';
import { elementType, type Look, lookAt } from './rows-types.ts';
import { maskBinaryArray } from './token-array.ts';

/** What becomes of one value: it stays, becomes other bytes, or NULL. */
export type MaskedField =
  | { readonly type: 'same' }
  | { readonly type: 'bytes'; readonly bytes: Buffer; readonly hits: number }
  /** `unproven`: nothing was found, but its form can't be searched. */
  | { readonly type: 'null'; readonly hits: number; readonly unproven: boolean };

const SAME: MaskedField = { type: 'same' };
const UNPROVEN: MaskedField = { type: 'null', hits: 1, unproven: true };

export function maskField(
  look: Look,
  type: number,
  format: number,
  buffer: Buffer,
  start: number,
  length: number,
  detectors: Detectors,
): MaskedField {
  const end = start + length;
  switch (look) {
    case 'pass':
      return SAME;
    case 'text':
    case 'value':
    case 'json':
      if (!detectors.mayContain(buffer, start, end)) return SAME;
      return maskText(look, buffer.subarray(start, end), detectors);
    case 'jsonb': {
      if (length === 0 || buffer[start] !== 1) return UNPROVEN;
      if (!detectors.mayContain(buffer, start + 1, end)) return SAME;
      const masked = maskText('json', buffer.subarray(start + 1, end), detectors);
      return masked.type === 'bytes' ? { ...masked, bytes: Buffer.concat([JSONB_VERSION, masked.bytes]) } : masked;
    }
    case 'bytea':
      return maskBytea(format, buffer.subarray(start, end), detectors);
    case 'integer':
      return maskNumber(integerText(buffer, start, length), detectors);
    case 'float':
      return maskNumber(floatText(buffer, start, length), detectors);
    case 'numeric':
      return maskNumber(numericText(buffer, start, length), detectors);
    case 'array':
      return maskArray(type, buffer.subarray(start, end), detectors);
    case 'never':
      return UNPROVEN;
    case 'unknown':
      return isPlainText(buffer.subarray(start, end)) ? maskText('text', buffer.subarray(start, end), detectors) : UNPROVEN;
    default:
      throw look satisfies never;
  }
}

const JSONB_VERSION = Buffer.from([1]);
const JSON_REDACTED = Buffer.from(JSON.stringify(REDACTED));

function maskText(look: 'text' | 'json' | 'value', bytes: Buffer, detectors: Detectors): MaskedField {
  const encoding = isUtf8(bytes) ? 'utf8' : 'latin1';
  const masked = detectors.mask(bytes.toString(encoding));
  if (masked.hits === 0) return SAME;
  if (masked.nulled || look === 'value') return nulled(masked);
  if (look === 'json' && !isJson(masked.text)) {
    const whole = maskJson(bytes.toString('utf8'), masked.hits, detectors);
    return { type: 'bytes', bytes: whole === null ? JSON_REDACTED : Buffer.from(whole), hits: masked.hits };
  }
  return { type: 'bytes', bytes: Buffer.from(masked.text, encoding), hits: masked.hits };
}

const JSON_SCALARS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/gs;

/** Texts and numbers one by one, of which what is masked becomes a text. Null where not all that was found lies in one of them. */
function maskJson(text: string, found: number, detectors: Detectors): string | null {
  if (!isJson(text)) return null;
  let hits = 0;
  const result = text.replace(JSON_SCALARS, (scalar) => {
    const masked = detectors.mask(scalar.startsWith('"') ? String(JSON.parse(scalar)) : scalar);
    hits += masked.hits;
    return masked.hits === 0 ? scalar : JSON.stringify(masked.text);
  });
  return hits === found ? result : null;
}

/** Searched as characters; a mask goes back in the same form. */
function maskBytea(format: number, bytes: Buffer, detectors: Detectors): MaskedField {
  if (format === 1 || bytes[0] !== 0x5c || bytes[1] !== 0x78) return maskText('text', bytes, detectors);
  const raw = Buffer.from(bytes.toString('latin1', 2), 'hex');
  // Digits that are not hex end the decoding early.
  if (raw.length * 2 !== bytes.length - 2) return UNPROVEN;
  const masked = maskText('text', raw, detectors);
  return masked.type === 'bytes' ? { ...masked, bytes: Buffer.from(`\\x${masked.bytes.toString('hex')}`) } : masked;
}

/** Element by element: what is hit becomes another text, or NULL where the type can't hold one. */
function maskArray(type: number, bytes: Buffer, detectors: Detectors): MaskedField {
  const element = elementType(type);
  if (element === undefined) return UNPROVEN;
  const look = lookAt(element, 1);
  let hits = 0;
  const mask = (value: Buffer): Buffer | null => {
    const masked = maskField(look, element, 1, value, 0, value.length, detectors);
    if (masked.type === 'same') return value;
    hits += masked.hits;
    return masked.type === 'null' ? null : masked.bytes;
  };
  try {
    const made = maskBinaryArray(bytes, element, mask);
    return hits === 0 ? SAME : { type: 'bytes', bytes: made, hits };
  } catch {
    return UNPROVEN;
  }
}

function maskNumber(digits: string | null, detectors: Detectors): MaskedField {
  if (digits === null) return UNPROVEN;
  const masked = detectors.mask(digits);
  return masked.hits === 0 ? SAME : nulled(masked);
}

function nulled(masked: Masked): MaskedField {
  return { type: 'null', hits: masked.hits, unproven: false };
}

/** UTF-8 without control characters: no composite, array or range looks like that, since each begins with counts. */
function isPlainText(bytes: Buffer): boolean {
  if (!isUtf8(bytes)) return false;
  for (const byte of bytes) if (byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) return false;
  return true;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
