/** A generator of numbers that can be told again (mulberry32), and the changes that are made to inputs. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0 to `below` - 1. */
  roll(below: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return ((value ^ (value >>> 14)) >>> 0) % below;
  }

  pick<T>(from: readonly T[]): T {
    return from[this.roll(from.length)] as T;
  }
}

const EDGES = [0, 1, 0x7f, 0x80, 0xff] as const;
const LENGTHS = [0, 3, 4, 5, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff] as const;
export const MAX_INPUT_BYTES = 4096;

/** One to four changes; `other` lends pieces. */
export function mutate(dice: Dice, input: Buffer, other: Buffer): Buffer {
  let bytes: Buffer = Buffer.from(input);
  for (let left = 1 + dice.roll(4); left > 0; left--) bytes = changed(dice, bytes, other);
  return bytes.subarray(0, MAX_INPUT_BYTES);
}

function changed(dice: Dice, bytes: Buffer, other: Buffer): Buffer {
  if (bytes.length === 0) return Buffer.from(other);
  const at = dice.roll(bytes.length);
  const size = 1 + dice.roll(Math.min(64, bytes.length - at));
  switch (dice.roll(8)) {
    case 0:
      bytes[at] = dice.roll(256);
      return bytes;
    case 1:
      bytes[at] = dice.pick(EDGES);
      return bytes;
    case 2:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << dice.roll(8));
      return bytes;
    case 3:
      if (bytes.length - at >= 4) bytes.writeUInt32BE(dice.pick(LENGTHS), at);
      return bytes;
    case 4:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + size)]);
    case 5:
      return Buffer.concat([bytes.subarray(0, at + size), bytes.subarray(at, at + size), bytes.subarray(at + size)]);
    case 6:
      return Buffer.concat([bytes.subarray(0, at), other.subarray(dice.roll(other.length + 1))]);
    default: {
      const from = dice.roll(other.length + 1);
      return Buffer.concat([bytes.subarray(0, at), other.subarray(from, from + size), bytes.subarray(at)]);
    }
  }
}
