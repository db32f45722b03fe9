import { isDigit, separatorLength } from './detect-finder.ts';

const MIN_DIGITS = 13;
const MAX_DIGITS = 19;

/**
 * Payment card numbers: 13 to 19 digits (ISO/IEC 7812) that begin with 2 to 6, whose Luhn digit is right, in one run or in groups with one
 * kind of separator. Digits after a decimal point are no card.
 */
export function findCards(text: string, found: (start: number, end: number) => void): void {
  let at = 0;
  while (at < text.length) {
    if (!isDigit(text.charCodeAt(at))) {
      at++;
      continue;
    }
    const chain = readChain(text, at);
    cardsOf(text, chain, found);
    // The last group may begin a chain with another separator.
    at = chain.open && chain.starts.length > 1 ? (chain.starts.at(-1) as number) : chain.end;
  }
}

interface Chain {
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  readonly end: number;
  /** Another separator and more digits follow. */
  readonly open: boolean;
}

/** Groups of digits from `from` with one kind of separator. */
function readChain(text: string, from: number): Chain {
  const starts: number[] = [];
  const ends: number[] = [];
  let at = from;
  let separator = -1;
  for (;;) {
    starts.push(at);
    while (isDigit(text.charCodeAt(at))) at++;
    ends.push(at);
    const length = separatorLength(text, at);
    if (length === 0 || !isDigit(text.charCodeAt(at + length))) return { starts, ends, end: at, open: false };
    const code = text.charCodeAt(at + length - 1);
    if (separator !== -1 && code !== separator) return { starts, ends, end: at, open: true };
    separator = code;
    at += length;
  }
}

function cardsOf(text: string, chain: Chain, found: (start: number, end: number) => void): void {
  const { starts, ends } = chain;
  for (let first = 0; first < starts.length; ) {
    const last = longestCard(text, chain, first);
    if (last === -1) {
      first++;
      continue;
    }
    found(starts[first] as number, ends[last] as number);
    first = last + 1;
  }
}

/** The last group of the longest card that begins with group `first`, or -1. Looks at no more than 19 digits. */
function longestCard(text: string, { starts, ends }: Chain, first: number): number {
  const begin = starts[first] as number;
  const leading = text.charCodeAt(begin);
  if (leading < 0x32 || leading > 0x36 || isFraction(text, begin)) return -1;
  let digits = 0;
  let best = -1;
  for (let last = first; last < starts.length; last++) {
    digits += (ends[last] as number) - (starts[last] as number);
    if (digits > MAX_DIGITS) break;
    if (digits >= MIN_DIGITS && luhn(text, begin, ends[last] as number)) best = last;
  }
  return best;
}

function isFraction(text: string, begin: number): boolean {
  return begin > 1 && text.charCodeAt(begin - 1) === 0x2e && isDigit(text.charCodeAt(begin - 2));
}

/** ISO/IEC 7812-1, annex B. Characters that are no digits are passed over. */
export function luhn(text: string, start: number, end: number): boolean {
  let sum = 0;
  let double = false;
  for (let at = end - 1; at >= start; at--) {
    const digit = text.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) continue;
    const value = double ? digit * 2 : digit;
    sum += value > 9 ? value - 9 : value;
    double = !double;
  }
  return sum % 10 === 0;
}
