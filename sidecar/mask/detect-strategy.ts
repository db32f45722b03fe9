import { stricter } from '#crds/policy/masking.ts';
import type { SnapshotPseudonym, SnapshotStrategy } from '#crds/policy/snapshot.ts';
import { REDACTED } from './postgres/placeholder.ts';
import type { Pseudonymiser } from './pseudonym.ts';

/** One value that a detector found. */
export interface Span {
  readonly start: number;
  readonly end: number;
  readonly strategy: SnapshotStrategy;
}

/** Of spans that overlap, one span over all of them with the strictest strategy. */
export function mergeSpans(spans: readonly Span[]): Span[] {
  const merged: Span[] = [];
  for (const span of [...spans].sort((a, b) => a.start - b.start || b.end - a.end)) {
    const last = merged.at(-1);
    if (last === undefined || span.start >= last.end) merged.push(span);
    else
      merged[merged.length - 1] = {
        start: last.start,
        end: Math.max(last.end, span.end),
        strategy: stricter(last.strategy, span.strategy),
      };
  }
  return merged;
}

/** What makes pseudonyms with the key that a strategy names; null while there is none. */
export type Pseudonyms = (strategy: SnapshotPseudonym) => Pseudonymiser | null;

/** What stands in the text where the value was. For Null too: not every sink can say null. */
export function maskedValue(value: string, strategy: SnapshotStrategy, pseudonyms: Pseudonyms): string {
  switch (strategy.type) {
    case 'Null':
    case 'Redact':
      return REDACTED;
    case 'Partial':
      return partial([...value], strategy.keepStart, strategy.keepEnd);
    case 'FormatPreserving':
    case 'Token':
      return pseudonyms(strategy)?.text(value) ?? REDACTED;
    default:
      throw strategy satisfies never;
  }
}

/** Nothing is kept of a value that is shorter than twice what would be kept. */
function partial(characters: readonly string[], keepStart: number, keepEnd: number): string {
  const { length } = characters;
  if (length < 2 * (keepStart + keepEnd)) return '*'.repeat(length);
  const kept = [characters.slice(0, keepStart), characters.slice(length - keepEnd)].map((part) => part.join(''));
  return `${kept[0]}${'*'.repeat(length - keepStart - keepEnd)}${kept[1]}`;
}
