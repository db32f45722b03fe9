import type { MaskPolicy } from '#crds/policy/mask.ts';
import type { DetectorType } from '#crds/policy/snapshot.ts';
import { findCards } from './detect-card.ts';
import { compileCustom } from './detect-custom.ts';
import { findEmails } from './detect-email.ts';
import { unescaped } from './detect-escapes.ts';
import type { Finder } from './detect-finder.ts';
import { findIbans } from './detect-iban.ts';
import { findCloudKeys, findJwts, findPrivateKeys } from './detect-keys.ts';
import { findPhones, findSsns } from './detect-numbers.ts';
import { compilePrefilter } from './detect-prefilter.ts';
import { maskedValue, mergeSpans, type Pseudonyms, type Span } from './detect-strategy.ts';

export interface Masked {
  readonly text: string;
  /** How many values were found and masked. */
  readonly hits: number;
  /** A detector with the strategy Null found something: where the sink can say null, the whole value becomes null. */
  readonly nulled: boolean;
}

/** Looks for values of known forms in everything that goes back: the second line of defence, because a value that was changed no longer has its form. */
export interface Detectors {
  /** False only where `mask` would find nothing in UTF-8 text of these bytes, or in any part of it. Cheap, allocates nothing, may say true for nothing. */
  mayContain(bytes: Uint8Array, start: number, end: number): boolean;
  /** Never throws. What can't be searched within its budget is masked as a whole. */
  mask(text: string): Masked;
  /** The greatest position up to `at` that lies in no value that was found: where a text may be cut in two. */
  cutBefore(text: string, at: number): number;
}

const BUILT_IN: { readonly [type in Exclude<DetectorType, 'Custom'>]: Finder } = {
  Card: findCards,
  Email: findEmails,
  IBAN: findIbans,
  SSN: findSsns,
  Phone: findPhones,
  JWT: findJwts,
  CloudKey: findCloudKeys,
  PrivateKey: findPrivateKeys,
};

/** `pseudonyms` is asked at each hit, so that a new key counts at once; without it, strategies that need a key give the placeholder.
 * Throws where a custom pattern doesn't compile: validation lets none such pass. */
export function compileDetectors(specs: MaskPolicy['detectors'], pseudonyms: Pseudonyms = () => null): Detectors {
  const finders = specs.map((spec) => ({ find: finderOf(spec), strategy: spec.strategy }));
  const types = new Set(specs.map((spec) => spec.type));
  // A custom pattern says nothing about single bytes.
  const mayContain = types.has('Custom') ? (_: Uint8Array, start: number, end: number) => end > start : compilePrefilter(types);
  const spansOf = (text: string): Span[] => {
    const spans: Span[] = [];
    const plain = unescaped(text);
    for (const { find, strategy } of finders) {
      find(text, (start, end) => spans.push({ start, end, strategy }));
      if (plain === null) continue;
      find(plain.text, (start, end) => spans.push({ start: plain.at[start] as number, end: plain.at[end] as number, strategy }));
    }
    return mergeSpans(spans);
  };
  return {
    mayContain,
    mask(text) {
      const spans = spansOf(text);
      return spans.length === 0 ? { text, hits: 0, nulled: false } : replaced(text, spans, pseudonyms);
    },
    cutBefore(text, at) {
      return spansOf(text).find((span) => span.start < at && span.end > at)?.start ?? at;
    },
  };
}

function finderOf(spec: MaskPolicy['detectors'][number]): Finder {
  if (spec.type !== 'Custom') return BUILT_IN[spec.type];
  if (spec.pattern === undefined) throw new TypeError(`the detector ${spec.name} has no pattern`);
  return compileCustom(spec.pattern);
}

function replaced(text: string, spans: readonly Span[], pseudonyms: Pseudonyms): Masked {
  let result = '';
  let position = 0;
  let nulled = false;
  for (const { start, end, strategy } of spans) {
    const value = text.slice(start, end);
    result += text.slice(position, start) + maskedValue(unescaped(value)?.text ?? value, strategy, pseudonyms);
    position = end;
    nulled ||= strategy.type === 'Null';
  }
  return { text: result + text.slice(position), hits: spans.length, nulled };
}
