import { characterSet, DIGIT, isAlphanumeric, LOWER, UPPER } from './detect-finder.ts';

/** RFC 5322 atext and the dot; characters past ASCII count too (RFC 6531). */
const LOCAL = characterSet(DIGIT | UPPER | LOWER, ".!#$%&'*+/=?^_`{|}~-");
const DOMAIN = characterSet(DIGIT | UPPER | LOWER, '.-');
const MAX_QUOTED = 66;

/**
 * E-mail addresses with a dot in their domain. Goes from one `@` to the next and looks left and right of it: neither side may hold an `@`,
 * so no character is looked at more than twice.
 */
export function findEmails(text: string, found: (start: number, end: number) => void): void {
  let past = 0;
  for (let sign = text.indexOf('@'); sign !== -1; sign = text.indexOf('@', sign + 1)) {
    const start = localStart(text, sign, past);
    if (start === sign) continue;
    const end = domainEnd(text, sign + 1);
    if (end === -1) continue;
    found(start, end);
    past = end;
  }
}

function localStart(text: string, sign: number, past: number): number {
  // COPY puts a backslash before a character that is its delimiter.
  const end = text.charCodeAt(sign - 1) === 0x5c ? sign - 1 : sign;
  let start = end;
  while (start > past && isOf(LOCAL, text.charCodeAt(start - 1))) start--;
  if (start < end) return start;
  return quotedStart(text, sign, past);
}

/** `"john doe"@example.com`. */
function quotedStart(text: string, sign: number, past: number): number {
  if (text.charCodeAt(sign - 1) !== 0x22) return sign;
  const stop = Math.max(past, sign - MAX_QUOTED);
  for (let at = sign - 2; at >= stop; at--) if (text.charCodeAt(at) === 0x22) return at;
  return sign;
}

/** Behind the last character of the domain, or -1 where there is none with a dot and a last label of two or more. */
function domainEnd(text: string, from: number): number {
  let end = from;
  while (end < text.length && isOf(DOMAIN, text.charCodeAt(end))) end++;
  while (end > from && !isLabelCharacter(text.charCodeAt(end - 1))) end--;
  if (end === from || !isLabelCharacter(text.charCodeAt(from))) return -1;
  let dot = end - 1;
  while (dot > from && text.charCodeAt(dot) !== 0x2e) dot--;
  return dot > from && end - dot > 2 ? end : -1;
}

function isLabelCharacter(code: number): boolean {
  return code > 0x7f || isAlphanumeric(code);
}

function isOf(set: Uint8Array, code: number): boolean {
  return code > 0x7f || set[code] === 1;
}
