/**
 * SHA-256 of short texts and lines, of which there are several for each statement. The work itself is a few hundred nanoseconds; OpenSSL's own function
 * for it is called past Node's digest objects, whose making costs several times that.
 */
import { hash } from 'node:crypto';
import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';

const BLOCK_BYTES = 64;
const START = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
/** Of OpenSSL's SHA256_CTX, and some to spare: state, two words of length, a block, and the number of bytes in it. */
const CONTEXT_WORDS = 64;
const DIGITS = Buffer.from('0123456789abcdef');

interface Native {
  /** Whole blocks: nothing is left in the context but the state. */
  update(context: number, bytes: number, length: number): number;
  address(bytes: Uint8Array): number;
}

/** Memory to put bytes in, and their hash. */
export class Hasher {
  /** Behind the first `capacity` bytes there is room for the padding, which `digest` writes over what is behind the bytes it hashes. */
  readonly bytes: Buffer;
  readonly capacity: number;
  /** 64 lower-case digits: the last digest. */
  readonly hex = Buffer.alloc(BLOCK_BYTES);
  readonly #native: Native | null;
  /** Kept for as long as this is, since their addresses are. */
  readonly #context = new Uint32Array(CONTEXT_WORDS);
  readonly #contextAt: number;
  readonly #bytesAt: number;

  constructor(capacity: number, native: Native | null = found()) {
    this.capacity = capacity;
    this.bytes = Buffer.alloc(capacity + 2 * BLOCK_BYTES);
    this.#native = native;
    this.#contextAt = native?.address(new Uint8Array(this.#context.buffer)) ?? 0;
    this.#bytesAt = native?.address(this.bytes) ?? 0;
  }

  /** Of the first `length` bytes; they stay as they are. */
  digest(length: number): void {
    if (this.#native === null) {
      this.hex.write(hash('sha256', this.bytes.subarray(0, length)), 'latin1');
      return;
    }
    const context = this.#context;
    for (let i = 0; i < 8; i++) context[i] = START[i] as number;
    for (let i = 8; i < 32; i++) context[i] = 0;
    this.#native.update(this.#contextAt, this.#bytesAt, this.#pad(length));
    const { hex } = this;
    for (let i = 0, at = 0; i < 8; i++) {
      const word = context[i] as number;
      for (let shift = 28; shift >= 0; shift -= 4) hex[at++] = DIGITS[(word >>> shift) & 15] as number;
    }
  }

  /** FIPS 180-4, section 5.1.1. */
  #pad(length: number): number {
    const { bytes } = this;
    const end = Math.ceil((length + 9) / BLOCK_BYTES) * BLOCK_BYTES;
    bytes[length] = 0x80;
    for (let i = length + 1; i < end - 5; i++) bytes[i] = 0;
    const bits = length * 8;
    bytes[end - 5] = Math.floor(bits / 2 ** 32);
    bytes[end - 4] = bits >>> 24;
    bytes[end - 3] = bits >>> 16;
    bytes[end - 2] = bits >>> 8;
    bytes[end - 1] = bits;
    return end;
  }
}

const TEXT_BYTES = 8 * 1024;
let texts: Hasher | null = null;

/** Of the text in UTF-8, as lower-case hex. */
export function sha256Hex(text: string): string {
  if (text.length * 3 > TEXT_BYTES) return hash('sha256', text);
  texts ??= new Hasher(TEXT_BYTES);
  texts.digest(texts.bytes.write(text, 0, 'utf8'));
  return texts.hex.toString('latin1');
}

let loaded: Native | null | undefined;

function found(): Native | null {
  loaded ??= load();
  return loaded;
}

/** Null where there is no such function, or where it is not what is known here. */
function load(): Native | null {
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
    const native: Native = {
      update: koffi.load(null).func('int SHA256_Update(uintptr_t context, uintptr_t bytes, size_t length)'),
      address: (bytes) => Number(koffi.address(bytes)),
    };
    return isRight(native) ? native : null;
  } catch {
    return null;
  }
}

function isRight(native: Native): boolean {
  const hasher = new Hasher(1024, native);
  for (let i = 0; i < 1024; i++) hasher.bytes[i] = i * 7;
  return [1024, 1000, 128, 65, 64, 63, 56, 55, 3, 0].every((length) => {
    const right = hash('sha256', hasher.bytes.subarray(0, length));
    hasher.digest(length);
    return hasher.hex.toString('latin1') === right;
  });
}
