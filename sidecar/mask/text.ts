import { isUtf8 } from 'node:buffer';
import type { Detectors } from './detect.ts';

/**
 * Masks a stream of text that comes in pieces, such as a COPY OUT in text or csv. A piece that ends with a line comes out whole, so that one
 * CopyData stays one row; what follows the last line end is held back, because a value may go on in the next piece.
 */
export interface TextMasker {
  readonly maskedValues: number;
  /** What may go on now; empty where all is held back. The same bytes where nothing was found. */
  push(piece: Buffer): Buffer;
  /** What was held back. */
  end(): Buffer;
}

/** A line that is longer is given out in parts that cut no value in two, with `overlapBytes` of it kept back for a value that has only begun. */
export interface TextLimits {
  readonly maxHeldBytes: number;
  readonly overlapBytes: number;
}

const DEFAULT_LIMITS: TextLimits = { maxHeldBytes: 1_048_576, overlapBytes: 65_536 };
const LINE_END = 0x0a;

export function createTextMasker(detectors: Detectors, limits: TextLimits = DEFAULT_LIMITS): TextMasker {
  let held = Buffer.alloc(0);
  let maskedValues = 0;

  const masked = (bytes: Buffer): Buffer => {
    if (!detectors.mayContain(bytes, 0, bytes.length)) return bytes;
    const encoding = encodingOf(bytes);
    const result = detectors.mask(bytes.toString(encoding));
    maskedValues += result.hits;
    return result.hits === 0 ? bytes : Buffer.from(result.text, encoding);
  };

  /** A value that is longer than all that may be held is masked as far as it is there. */
  const cutOfLongLine = (bytes: Buffer): number =>
    detectors.cutBefore(bytes.toString('latin1'), bytes.length - limits.overlapBytes) || bytes.length;

  return {
    get maskedValues() {
      return maskedValues;
    },
    push(piece) {
      const all = held.length === 0 ? piece : Buffer.concat([held, piece]);
      const lines = all.lastIndexOf(LINE_END) + 1;
      const cut = lines > 0 || all.length <= limits.maxHeldBytes ? lines : cutOfLongLine(all);
      held = Buffer.from(all.subarray(cut));
      return masked(all.subarray(0, cut));
    },
    end() {
      const rest = held;
      held = Buffer.alloc(0);
      return masked(rest);
    },
  };
}

/** One character a byte where the text is no UTF-8: what is looked for is ASCII. */
function encodingOf(bytes: Buffer): 'utf8' | 'latin1' {
  return isUtf8(bytes) ? 'utf8' : 'latin1';
}
