import { MAX_SHAPED, shapeOf } from './analyse-shape.ts';

const ZERO = 0x30;
const MAX_DIGITS = 9;

/** The shape of one text, to be compared with the bytes of others: neither a string nor a key is made of them. */
export interface Template {
  /** What stands before, between and behind the integers. */
  readonly parts: readonly Uint8Array[];
  /** For each integer, which of the different ones it is. */
  readonly numbers: readonly number[];
}

/** Null for a text without a shape. */
export function templateOf(sql: string): Template | null {
  const shape = shapeOf(sql);
  if (shape === null) return null;
  const seen: number[] = [];
  const parts: Uint8Array[] = [];
  const numbers: number[] = [];
  let at = 0;
  for (const [start, end] of shape.spans) {
    parts.push(Buffer.from(sql.slice(at, start), 'latin1'));
    const value = Number(sql.slice(start, end));
    if (!seen.includes(value)) seen.push(value);
    numbers.push(seen.indexOf(value));
    at = end;
  }
  parts.push(Buffer.from(sql.slice(at), 'latin1'));
  return { parts, numbers };
}

/** Of the text that is compared. There is one at a time. */
const values: number[] = [];

/**
 * Whether the text in `bytes` has the template's shape, just as `shapeOf` would find. An integer is a whole word there, so what stands behind
 * it in the template is no part of a word, and a text that is equal but for digits is cut into the same words.
 */
export function isLike({ parts, numbers }: Template, bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start > MAX_SHAPED) return false;
  let at = start;
  let different = 0;
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] as Uint8Array;
    if (part.length > end - at) return false;
    for (let j = 0; j < part.length; j++) if (part[j] !== bytes[at + j]) return false;
    at += part.length;
    if (i === numbers.length) break;
    let value = 0;
    let digits = 0;
    for (; at < end; at++, digits++) {
      const digit = (bytes[at] as number) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
      if (digits === MAX_DIGITS) return false;
    }
    if (digits === 0) return false;
    const number = numbers[i] as number;
    if (number < different) {
      if (values[number] !== value) return false;
    } else {
      for (let j = 0; j < different; j++) if (values[j] === value) return false;
      values[different++] = value;
    }
  }
  return at === end;
}
