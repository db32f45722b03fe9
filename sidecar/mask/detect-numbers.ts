import { isAlphanumeric, isDigit, separatorLength } from './detect-finder.ts';

type Found = (start: number, end: number) => void;

/** US social security numbers, `ddd-dd-dddd`, without the ranges that are never given out (area 000, 666 and 9xx, group 00, serial 0000). */
export function findSsns(text: string, found: Found): void {
  for (let at = 0; at + 10 < text.length; at++) {
    if (!isDigit(text.charCodeAt(at)) || isDigit(text.charCodeAt(at - 1))) continue;
    const end = ssnAt(text, at);
    if (end === -1) continue;
    found(at, end);
    at = end;
  }
}

function ssnAt(text: string, start: number): number {
  const first = digitsAt(text, start, 3) ? separatorLength(text, start + 3) : 0;
  if (first === 0) return -1;
  const group = start + 3 + first;
  const second = digitsAt(text, group, 2) ? separatorLength(text, group + 2) : 0;
  const serial = group + 2 + second;
  if (second === 0 || text.charCodeAt(group - 1) !== text.charCodeAt(serial - 1)) return -1;
  if (!digitsAt(text, serial, 4) || isDigit(text.charCodeAt(serial + 4))) return -1;
  const area = text.slice(start, start + 3);
  const never = area === '000' || area === '666' || area[0] === '9';
  return never || text.startsWith('00', group) || text.startsWith('0000', serial) ? -1 : serial + 4;
}

const PHONE_GAP = new Set([...' -.()/\\'].map((c) => c.charCodeAt(0)));
const MIN_INTERNATIONAL = 8;
/** E.164. */
const MAX_INTERNATIONAL = 15;

/** Phone numbers: international with `+` (8 to 15 digits, E.164), and North American ones with separators. */
export function findPhones(text: string, found: Found): void {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    let end = -1;
    if (code === 0x2b) end = isAlphanumeric(text.charCodeAt(at - 1)) ? -1 : internationalAt(text, at + 1);
    else if (code === 0x28 || (isDigit(code) && !isDigit(text.charCodeAt(at - 1)))) end = northAmericanAt(text, at);
    if (end === -1) continue;
    found(at, end);
    at = end - 1;
  }
}

/** At most two separators stand between digits. */
function internationalAt(text: string, start: number): number {
  if (!/[1-9]/.test(text.charAt(start))) return -1;
  let digits = 0;
  let gap = 0;
  let end = -1;
  for (let at = start; at < text.length && gap <= 2; at++) {
    const code = text.charCodeAt(at);
    if (isDigit(code)) {
      digits++;
      if (digits > MAX_INTERNATIONAL) return -1;
      gap = 0;
      end = at + 1;
    } else if (PHONE_GAP.has(code)) gap++;
    else break;
  }
  return digits >= MIN_INTERNATIONAL ? end : -1;
}

/** `(202) 555-0123`, `202-555-0123`, `202.555.0123`, `202 555 0123`. Area and exchange begin with 2 to 9. */
function northAmericanAt(text: string, start: number): number {
  const bracket = text.charCodeAt(start) === 0x28 ? 1 : 0;
  const area = start + bracket;
  if (!digitsAt(text, area, 3) || text.charCodeAt(area) < 0x32) return -1;
  let exchange = area + 3;
  if (bracket === 1) {
    if (text.charCodeAt(exchange) !== 0x29) return -1;
    exchange++;
    if (phoneSeparator(text, exchange)) exchange++;
  } else if (phoneSeparator(text, exchange)) exchange++;
  else return -1;
  const separator = exchange + 3;
  if (!digitsAt(text, exchange, 3) || text.charCodeAt(exchange) < 0x32 || !phoneSeparator(text, separator)) return -1;
  return digitsAt(text, separator + 1, 4) && !isDigit(text.charCodeAt(separator + 5)) ? separator + 5 : -1;
}

function phoneSeparator(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code === 0x2d || code === 0x2e || code === 0x20;
}

function digitsAt(text: string, at: number, count: number): boolean {
  for (let i = at; i < at + count; i++) if (!isDigit(text.charCodeAt(i))) return false;
  return true;
}
