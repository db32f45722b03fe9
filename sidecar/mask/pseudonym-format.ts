import { findCards } from './detect-card.ts';
import { findEmails } from './detect-email.ts';
import type { Finder } from './detect-finder.ts';
import { findIbans, ibanCheckDigits } from './detect-iban.ts';
import { findSsns } from './detect-numbers.ts';

/** The length of words and of numbers in a longer text tells too much of it. */
const MAX_CHARACTERS = 256;
/** With fewer letters and digits the form is nearly the value. */
const MIN_REPLACED = 4;
const MAX_ATTEMPTS = 4;

/** `count` bytes that are random to whoever lacks the key, other ones with each `attempt`. */
export type Stream = (count: number, attempt: number) => Buffer;

/**
 * A value of the same form. Each digit becomes a digit and each letter a letter of its case; what is not ASCII becomes a letter, a digit or `*`;
 * spaces and signs stay. Besides:
 * - a card number keeps its length, its separators and a right Luhn digit, and begins with 9, so that it is nobody's card
 * - an e-mail address keeps the lengths of its parts, and its top-level domain becomes as many `z`: there is none such, so no mail arrives anywhere
 * - an IBAN keeps its country and has right check digits
 * - an SSN begins with 9, so that it is nobody's
 *
 * Null where the form would tell too much: fewer than four letters and digits, or more than 256 characters.
 */
export function formatPreserving(value: string, stream: Stream): string | null {
  if (value.length > MAX_CHARACTERS) return null;
  const shape = shapeOf(value);
  if (replaceable(value) < MIN_REPLACED) return null;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const made = shape(value, letters(value, stream(2 * value.length, attempt)));
    if (made !== value) return made;
  }
  return null;
}

/** From the value and its letters and digits replaced one by one. */
type Shape = (value: string, replaced: string) => string;

const SHAPES: readonly (readonly [Finder, Shape])[] = [
  [findCards, (_, replaced) => withLuhn(fromDigit(replaced, '9'))],
  [findEmails, asEmail],
  [findIbans, asIban],
  [findSsns, (_, replaced) => fromDigit(replaced, '9')],
];

function shapeOf(value: string): Shape {
  for (const [find, shape] of SHAPES) if (isWhole(find, value)) return shape;
  return (_, replaced) => replaced;
}

function isWhole(find: Finder, value: string): boolean {
  let whole = false;
  find(value, (start, end) => {
    whole = start === 0 && end === value.length;
  });
  return whole;
}

function replaceable(value: string): number {
  let count = 0;
  for (const character of value) if (/[\p{L}\p{N}]/u.test(character)) count++;
  return count;
}

/** Two bytes each, so that no letter is more likely than another by more than one in a thousand. */
function letters(value: string, random: Buffer): string {
  let out = '';
  let at = 0;
  for (const character of value) {
    out += replacement(character, random.readUInt16BE(at));
    at += 2;
  }
  return out;
}

function replacement(character: string, random: number): string {
  const code = character.charCodeAt(0);
  if (code >= 0x30 && code <= 0x39) return letter(0x30, random % 10);
  if (code >= 0x41 && code <= 0x5a) return letter(0x41, random % 26);
  if (code >= 0x61 && code <= 0x7a) return letter(0x61, random % 26);
  if (code < 0x80) return character;
  if (/\p{Nd}/u.test(character)) return letter(0x30, random % 10);
  if (/\p{Lu}/u.test(character)) return letter(0x41, random % 26);
  return /[\p{L}\p{M}\p{N}]/u.test(character) ? letter(0x61, random % 26) : '*';
}

function letter(base: number, offset: number): string {
  return String.fromCharCode(base + offset);
}

function fromDigit(value: string, first: string): string {
  return value.replace(/\d/, first);
}

/** The last digit made right: doubling every second digit from the right, the sum is a multiple of ten. */
export function withLuhn(value: string): string {
  const last = value.search(/\d\D*$/);
  let sum = 0;
  let double = true;
  for (let at = last - 1; at >= 0; at--) {
    const digit = value.charCodeAt(at) - 0x30;
    if (digit < 0 || digit > 9) continue;
    sum += double ? (digit > 4 ? 2 * digit - 9 : 2 * digit) : digit;
    double = !double;
  }
  return value.slice(0, last) + String((10 - (sum % 10)) % 10) + value.slice(last + 1);
}

function asEmail(_: string, replaced: string): string {
  const dot = replaced.lastIndexOf('.');
  return replaced.slice(0, dot + 1) + 'z'.repeat(replaced.length - dot - 1);
}

function asIban(value: string, replaced: string): string {
  const country = value.slice(0, 2);
  const rest = replaced.slice(2);
  const digits = ibanCheckDigits(country + rest);
  let at = 0;
  // The first two digits behind the country, between whatever separators there are.
  return country + rest.replace(/\d/g, (digit) => (at < 2 ? digits.charAt(at++) : digit));
}
