import type { SnapshotStrategy } from '#crds/policy/snapshot.ts';
import { REDACTED } from './postgres/placeholder.ts';

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

/** Null, then Redact, then Partial that keeps less. */
export function stricter(a: SnapshotStrategy, b: SnapshotStrategy): SnapshotStrategy {
  if (a.type === 'Partial' && b.type === 'Partial')
    return { type: 'Partial', keepStart: Math.min(a.keepStart, b.keepStart), keepEnd: Math.min(a.keepEnd, b.keepEnd) };
  return RANK[a.type] >= RANK[b.type] ? a : b;
}

const RANK = { Null: 2, Redact: 1, Partial: 0 } as const;

/** What stands in the text where the value was. For Null too: not every sink can say null. */
export function maskedValue(value: string, strategy: SnapshotStrategy): string {
  switch (strategy.type) {
    case 'Null':
    case 'Redact':
      return REDACTED;
    case 'Partial':
      return partial([...value], strategy.keepStart, strategy.keepEnd);
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
