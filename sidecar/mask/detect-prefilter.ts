import type { DetectorType } from '#crds/policy/snapshot.ts';
import { escapeMayBegin } from './detect-escapes.ts';
import { isIbanCountry } from './detect-iban.ts';
import { AZURE_MARK, JWT_BEGIN, KEY_SHAPES, PEM_BEGIN, SECRET_WORDS } from './detect-keys.ts';

/** What a byte may begin or end. Others end a run of digits. */
const PLAIN = 0;
const DIGIT = 1;
/** Stands between digits without ending their run. */
const SEPARATOR = 2;
const PLUS = 3;
const SIGN = 4;
/** The rarest byte of some prefix. */
const MARK = 5;
/** May begin an escape, behind which is any of the others. */
const ESCAPE = 6;

/** Rarest first, as in names, addresses, JSON and notes. Separators of digits are not in it. */
const RARITY = '~QZXJ_KVWYGjqxzPBFHUSADNRCTILMOEkvbpfghuy';

const BACKSLASH = 0x5c;

interface Prefix {
  readonly bytes: Uint8Array;
  readonly offset: number;
}

/**
 * True where a detector of `types` may find something. One pass over the bytes, no boundary conditions: bytes before and after a value
 * (the lengths of a row's fields) can only make it true more often.
 */
export function compilePrefilter(types: ReadonlySet<DetectorType>): (bytes: Uint8Array, start: number, end: number) => boolean {
  const byMark = prefixesByMark(types);
  const kinds = byteKinds(types, byMark);
  const prefixes = Array.from({ length: 256 }, (_, mark) => byMark.get(mark) ?? []);
  const enough = digitsThatAreEnough(types);
  const ibans = types.has('IBAN');
  return (bytes, start, end) => {
    let digits = 0;
    for (let at = start; at < end; at++) {
      const kind = kinds[bytes[at] as number];
      if (kind === PLAIN) {
        digits = 0;
        continue;
      }
      switch (kind) {
        case DIGIT:
          digits++;
          if (digits >= enough || (ibans && digits >= 2 && ibanMayBegin(bytes, at, start))) return true;
          break;
        case SEPARATOR:
          if (bytes[at] === BACKSLASH && escapeMayBegin(bytes, at, end)) return true;
          break;
        case ESCAPE:
          digits = 0;
          if (escapeMayBegin(bytes, at, end)) return true;
          break;
        case PLUS:
          if (at + 1 < end && isDigit(bytes[at + 1] as number)) return true;
          break;
        case SIGN:
          return true;
        case MARK:
          digits = 0;
          if (hasPrefixAround(bytes, at, start, end, prefixes[bytes[at] as number] as readonly Prefix[])) return true;
          break;
        default:
      }
    }
    return false;
  };
}

function byteKinds(types: ReadonlySet<DetectorType>, prefixes: ReadonlyMap<number, readonly Prefix[]>): Uint8Array {
  const kinds = new Uint8Array(256).fill(PLAIN);
  for (const escape of '%&\\') kinds[escape.charCodeAt(0)] = ESCAPE;
  if (types.has('Card') || types.has('SSN') || types.has('Phone') || types.has('IBAN')) {
    kinds.fill(DIGIT, 0x30, 0x3a);
    for (const separator of ' -\\.()/') kinds[separator.charCodeAt(0)] = SEPARATOR;
  }
  if (types.has('Phone')) kinds[0x2b] = PLUS;
  if (types.has('Email')) kinds[0x40] = SIGN;
  for (const mark of prefixes.keys()) kinds[mark] = MARK;
  return kinds;
}

/** A card has 13 digits, an SSN 9, a phone number without `+` 10. */
function digitsThatAreEnough(types: ReadonlySet<DetectorType>): number {
  if (types.has('SSN')) return 9;
  if (types.has('Phone')) return 10;
  return types.has('Card') ? 13 : Number.POSITIVE_INFINITY;
}

function prefixesByMark(types: ReadonlySet<DetectorType>): ReadonlyMap<number, readonly Prefix[]> {
  const texts: string[] = [];
  if (types.has('JWT')) texts.push(JWT_BEGIN);
  if (types.has('PrivateKey')) texts.push(PEM_BEGIN);
  if (types.has('CloudKey')) texts.push(...KEY_SHAPES.map((shape) => shape.prefix), ...SECRET_WORDS, AZURE_MARK);
  const byMark = new Map<number, Prefix[]>();
  for (const text of texts) {
    const mark = [...RARITY].find((character) => text.includes(character)) as string;
    const list = byMark.get(mark.charCodeAt(0)) ?? [];
    list.push({ bytes: new TextEncoder().encode(text), offset: text.indexOf(mark) });
    byMark.set(mark.charCodeAt(0), list);
  }
  return byMark;
}

function hasPrefixAround(bytes: Uint8Array, at: number, start: number, end: number, prefixes: readonly Prefix[]): boolean {
  for (let i = 0; i < prefixes.length; i++) {
    const { bytes: prefix, offset } = prefixes[i] as Prefix;
    const from = at - offset;
    if (from < start || bytes[from] !== prefix[0] || bytes[from + 1] !== prefix[1] || from + prefix.length > end) continue;
    let same = 2;
    while (same < prefix.length && bytes[from + same] === prefix[same]) same++;
    if (same === prefix.length) return true;
  }
  return false;
}

/** Two letters of a country and two digits, of which the second is at `at`. */
function ibanMayBegin(bytes: Uint8Array, at: number, start: number): boolean {
  return at - 3 >= start && isDigit(bytes[at - 1] as number) && isIbanCountry(bytes[at - 3] as number, bytes[at - 2] as number);
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}
