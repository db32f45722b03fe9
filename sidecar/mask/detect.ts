import type { MaskPolicy } from '#crds/policy/mask.ts';

export interface Masked {
  readonly text: string;
  /** How many values were found and masked. */
  readonly hits: number;
  /** A detector with the strategy Null found something: where the sink can say null, the whole value becomes null. */
  readonly nulled: boolean;
}

/** Looks for values of known forms in everything that goes back: the second line of defence, because a value that was changed no longer has its form. */
export interface Detectors {
  /** False only where `mask` would find nothing in UTF-8 text of these bytes. Cheap, allocates nothing, and may say true for nothing. */
  mayContain(bytes: Uint8Array, start: number, end: number): boolean;
  /** Never throws. What can't be searched within its budget is masked as a whole. */
  mask(text: string): Masked;
  /** True where the digits of a number (no sign, no separators) are of a form that is masked: for numbers that a server sends in binary. */
  hitsNumber(digits: string): boolean;
}

/** Throws where a custom pattern doesn't compile: validation lets none such pass. */
export function compileDetectors(_specs: MaskPolicy['detectors']): Detectors {
  throw new Error('not yet');
}
