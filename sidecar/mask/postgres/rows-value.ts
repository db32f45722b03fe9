import { isUtf8 } from 'node:buffer';
import type { Detectors, Masked } from '../detect.ts';
import { REDACTED } from './placeholder.ts';
import { floatText, integerText, numericText } from './rows-number.ts';
import type { Look } from './rows-types.ts';

/** What becomes of one value: it stays, becomes other bytes, or NULL. */
export type MaskedField =
  | { readonly type: 'same' }
  | { readonly type: 'bytes'; readonly bytes: Buffer; readonly hits: number }
  /** `unproven`: nothing was found, but its form can't be searched. */
  | { readonly type: 'null'; readonly hits: number; readonly unproven: boolean };

const SAME: MaskedField = { type: 'same' };
const UNPROVEN: MaskedField = { type: 'null', hits: 1, unproven: true };

export function maskField(look: Look, format: number, buffer: Buffer, start: number, length: number, detectors: Detectors): MaskedField {
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
  const result = Buffer.from(masked.text, encoding);
  return { type: 'bytes', bytes: look === 'json' && !isJson(masked.text) ? JSON_REDACTED : result, hits: masked.hits };
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
