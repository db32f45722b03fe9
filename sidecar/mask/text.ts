import type { Detectors } from './detect.ts';

/**
 * Masks a stream of text that comes in pieces, such as a COPY OUT in text or csv. Holds back what may be the beginning of a value,
 * bounded. A piece that ends with a line comes out whole, so that one CopyData stays one row.
 */
export interface TextMasker {
  readonly maskedValues: number;
  /** What may go on now; empty where all is held back. The same bytes where nothing was found. */
  push(piece: Buffer): Buffer;
  /** What was held back. */
  end(): Buffer;
}

export function createTextMasker(_detectors: Detectors): TextMasker {
  throw new Error('not yet');
}
