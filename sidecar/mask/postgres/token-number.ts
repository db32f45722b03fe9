/** Numbers of the same form, and numeric on the wire (numeric_send in numeric.c). */
import { WireError } from '../../wire/postgres/errors.ts';
import type { Pseudonymiser } from '../pseudonym.ts';

/** With fewer digits the form is nearly the value. */
const MIN_DIGITS = 4;
const MAX_ATTEMPTS = 4;
/** Of the longest numbers of a size: how large the first digit may be, whatever follows. */
const LARGEST = { 16: { digits: 5, first: 2 }, 32: { digits: 10, first: 1 }, 64: { digits: 19, first: 8 } } as const;

/** As many digits with the same sign. Null for fewer than four. */
export function integerOfForm(value: string, bits: 16 | 32 | 64, pseudonymiser: Pseudonymiser): string | null {
  const parts = /^(-?)(\d+)$/.exec(value);
  if (parts === null) throw notANumber();
  const [, sign = '', digits = ''] = parts;
  const { digits: longest, first } = LARGEST[bits];
  return withDigits(value, digits, pseudonymiser, digits.length >= longest ? first : 9, (made) => sign + made);
}

/** The same digits before and behind the point. Null for fewer than four digits, and for NaN and Infinity. */
export function numericOfForm(value: string, pseudonymiser: Pseudonymiser): string | null {
  const parts = /^(-?)(\d+)(?:\.(\d+))?$/.exec(value);
  if (parts === null) {
    if (/^(NaN|-?Infinity)$/.test(value)) return null;
    throw notANumber();
  }
  const [, sign = '', whole = '', fraction = ''] = parts;
  // The zero before the point is no digit of it.
  const before = whole === '0' ? '' : whole;
  const point = fraction === '' ? '' : '.';
  return withDigits(value, before + fraction, pseudonymiser, before === '' ? null : 9, (made) => {
    return `${sign}${before === '' ? '0' : made.slice(0, before.length)}${point}${made.slice(before.length)}`;
  });
}

/** `largestFirst`: the first digit is 1 to that; null where it may be any. */
function withDigits(
  value: string,
  digits: string,
  pseudonymiser: Pseudonymiser,
  largestFirst: number | null,
  written: (digits: string) => string,
): string | null {
  if (digits.length < MIN_DIGITS) return null;
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const random = pseudonymiser.stream(value, 2 * digits.length, attempt);
    let made = '';
    for (let at = 0; at < digits.length; at++) {
      const number = random.readUInt16BE(2 * at);
      made += at === 0 && largestFirst !== null ? 1 + (number % largestFirst) : number % 10;
    }
    const whole = written(made);
    if (whole !== value) return whole;
  }
  return null;
}

/** A positive number of 31 or 63 bits. */
export function tokenInteger(value: string, bits: 16 | 32 | 64, pseudonymiser: Pseudonymiser): string {
  if (!/^-?\d+$/.test(value)) throw notANumber();
  const random = pseudonymiser.digest(value).readBigUInt64BE();
  return String(random >> BigInt(65 - bits) || 1n);
}

const NEGATIVE = 0x4000;
const POSITIVE = 0;
const SPECIAL: ReadonlyMap<number, string> = new Map([
  [0xc000, 'NaN'],
  [0xd000, 'Infinity'],
  [0xf000, '-Infinity'],
]);

/** As the server writes it as text. */
export function numericOfBytes(bytes: Buffer): string {
  if (bytes.length < 8) throw notANumber();
  const groups = bytes.readUInt16BE(0);
  const weight = bytes.readInt16BE(2);
  const sign = bytes.readUInt16BE(4);
  const scale = bytes.readUInt16BE(6);
  const special = SPECIAL.get(sign);
  if (special !== undefined) return special;
  if (bytes.length !== 8 + 2 * groups || (sign !== NEGATIVE && sign !== POSITIVE)) throw notANumber();
  const groupAt = (power: number): string => {
    const index = weight - power;
    return String(index >= 0 && index < groups ? bytes.readUInt16BE(8 + 2 * index) : 0).padStart(4, '0');
  };
  let whole = '';
  for (let power = weight; power >= 0; power--) whole += groupAt(power);
  let fraction = '';
  for (let power = -1; fraction.length < scale; power--) fraction += groupAt(power);
  return `${sign === NEGATIVE ? '-' : ''}${whole.replace(/^0+(?=\d)/, '') || '0'}${scale === 0 ? '' : `.${fraction.slice(0, scale)}`}`;
}

/** Of a plain decimal number. */
export function numericBytes(value: string): Buffer {
  const [, sign = '', whole = '', fraction = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(value) ?? [];
  const padded = whole.padStart(Math.ceil(whole.length / 4) * 4, '0') + fraction.padEnd(Math.ceil(fraction.length / 4) * 4, '0');
  const groups = (padded.match(/.{4}/g) ?? []).map(Number);
  let weight = Math.ceil(whole.length / 4) - 1;
  while (groups[0] === 0) {
    groups.shift();
    weight--;
  }
  while (groups.at(-1) === 0) groups.pop();
  const bytes = Buffer.alloc(8 + 2 * groups.length);
  bytes.writeUInt16BE(groups.length, 0);
  bytes.writeInt16BE(groups.length === 0 ? 0 : weight, 2);
  bytes.writeUInt16BE(sign === '-' && groups.length > 0 ? NEGATIVE : POSITIVE, 4);
  bytes.writeUInt16BE(fraction.length, 6);
  for (const [index, group] of groups.entries()) bytes.writeUInt16BE(group, 8 + 2 * index);
  return bytes;
}

function notANumber(): WireError {
  return new WireError('bad_value', 'a number that is to be masked does not have the form of its type');
}
