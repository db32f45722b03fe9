/** Calls `found` for each value of its form, in order and without overlap. Its steps are linear in the text: each is bounded by what it has not looked at yet. */
export type Finder = (text: string, found: (start: number, end: number) => void) => void;

export const DIGIT = 1;
export const UPPER = 2;
export const LOWER = 4;
const ALNUM = DIGIT | UPPER | LOWER;

export function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39;
}

export function isLetter(code: number): boolean {
  return (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
}

export function isAlphanumeric(code: number): boolean {
  return isDigit(code) || isLetter(code);
}

/** A set of ASCII characters as a table: letters, digits and what else is given. Characters past ASCII are not in it. */
export function characterSet(kinds: number, others = ''): Uint8Array {
  const table = new Uint8Array(128);
  const range = (from: string, to: string): void => {
    for (let code = from.charCodeAt(0); code <= to.charCodeAt(0); code++) table[code] = 1;
  };
  if (kinds & DIGIT) range('0', '9');
  if (kinds & UPPER) range('A', 'Z');
  if (kinds & LOWER) range('a', 'z');
  for (const other of others) table[other.charCodeAt(0)] = 1;
  return table;
}

export const BASE64URL = characterSet(ALNUM, '-_');
export const WORD = characterSet(ALNUM);

/** Where the run of characters of `set` that begins at `from` ends, at the latest after `max`. */
export function runEnd(text: string, from: number, set: Uint8Array, max = Number.POSITIVE_INFINITY): number {
  const stop = Math.min(text.length, from + max);
  let at = from;
  while (at < stop && set[text.charCodeAt(at)] === 1) at++;
  return at;
}

/** The length of a separator of digits at `at` (`-` or space, also behind the backslash that COPY puts before a delimiter), or 0. */
export function separatorLength(text: string, at: number): number {
  const code = text.charCodeAt(at);
  if (code === 0x2d || code === 0x20) return 1;
  if (code !== 0x5c) return 0;
  const next = text.charCodeAt(at + 1);
  return next === 0x2d || next === 0x20 ? 2 : 0;
}
