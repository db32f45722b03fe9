import { createHash, createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import type { SnapshotPseudonym } from '#crds/policy/snapshot.ts';
import { RecentCache } from './pseudonym-cache.ts';
import { formatPreserving } from './pseudonym-format.ts';

/** Of a key: what HMAC-SHA-256 makes full use of, so that the key can't be guessed from tokens of known values. */
export const MIN_KEY_BYTES = 32;
/** A key of few different bytes was typed, not drawn. */
const MIN_DISTINCT_BYTES = 8;

const TOKEN_PREFIX = 'tok_';
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
/** 130 bits. */
const TOKEN_CHARACTERS = 26;
export const TOKEN_LENGTH = TOKEN_PREFIX.length + TOKEN_CHARACTERS;
/** `tok_` and 60 bits: with fewer, tokens of different values would soon be equal. */
export const MIN_TOKEN_LENGTH = 16;

const CACHED_VALUES = 4096;
const MAX_CACHED_CHARACTERS = 256;

/** A key that is fit to make pseudonyms with, or null. One line end behind it is not part of it: files have one. */
export function pseudonymKey(bytes: Buffer): KeyObject | null {
  const end = bytes.at(-1) !== 0x0a ? bytes.length : bytes.at(-2) === 0x0d ? bytes.length - 2 : bytes.length - 1;
  // One in 256 random keys ends with such a byte by itself: what is just long enough with it is a raw key.
  const key = end < MIN_KEY_BYTES ? bytes : bytes.subarray(0, end);
  return key.length < MIN_KEY_BYTES || new Set(key).size < MIN_DISTINCT_BYTES ? null : createSecretKey(key);
}

/**
 * One key, strategy and domain: what stands in a value's place. A pseudorandom function of the value (HMAC-SHA-256): the same value gives the same
 * result, and nobody without the key learns from one more than which values are equal. It is one-way: there is no decryption, for us neither.
 */
export class Pseudonymiser {
  readonly type: SnapshotPseudonym['type'];
  readonly #key: KeyObject;
  readonly #label: string;
  readonly #known = new RecentCache<string>(CACHED_VALUES);

  constructor(key: KeyObject, { type, domain }: Pick<SnapshotPseudonym, 'type' | 'domain'>) {
    this.type = type;
    this.#key = key;
    this.#label = `chaperone pseudonym v1\n${type}\n${Buffer.byteLength(domain)}:${domain}\n`;
  }

  /** In place of a text. Null where the strategy has no form for it: the placeholder stands there. */
  text(value: string, maxLength = Number.POSITIVE_INFINITY): string | null {
    if (this.type === 'Token') return this.#token(value, maxLength);
    const short = value.length <= MAX_CACHED_CHARACTERS;
    const known = short ? this.#known.get(value) : undefined;
    if (known !== undefined) return known;
    const made = formatPreserving(value, (count, attempt) => this.stream(value, count, attempt));
    if (made !== null && short) this.#known.set(value, made);
    return made;
  }

  /** 32 bytes that only the key's holder could have made of the value. */
  digest(value: string | Uint8Array): Buffer {
    return createHmac('sha256', this.#key).update(this.#label).update(value).digest();
  }

  /** As many bytes as are asked for, other ones with each attempt. */
  stream(value: string | Uint8Array, count: number, attempt: number): Buffer {
    const seed = this.digest(value);
    return createHash('shake256', { outputLength: count }).update(seed).update(`\n${attempt}`).digest();
  }

  #token(value: string, maxLength: number): string | null {
    if (maxLength < MIN_TOKEN_LENGTH) return null;
    const short = value.length <= MAX_CACHED_CHARACTERS;
    let token = short ? this.#known.get(value) : undefined;
    if (token === undefined) {
      token = TOKEN_PREFIX + base32(this.digest(value));
      if (short) this.#known.set(value, token);
    }
    return token.length <= maxLength ? token : token.slice(0, maxLength);
  }
}

function base32(bytes: Buffer): string {
  let out = '';
  let bits = 0;
  let held = 0;
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      out += BASE32[(held >> bits) & 31];
      if (out.length === TOKEN_CHARACTERS) return out;
    }
  }
  return out;
}
