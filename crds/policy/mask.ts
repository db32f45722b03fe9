import type { SnapshotMasking, SnapshotStrategy } from './snapshot.ts';
import type { Author } from './verdict.ts';

export interface ColumnMask {
  /** The strictest of all rules that cover the column: see `stricter`. */
  readonly strategy: SnapshotStrategy;
  readonly authors: readonly Author[];
  /** Nothing may be selected, joined, ordered, grouped or decided by it: so says one of the rules that cover it. */
  readonly strict: boolean;
}

/** What is masked for one list of principals on one resource. */
export interface MaskPolicy {
  /** False where there is no MaskingRule on the resource at all: then nothing has to be resolved or rewritten. */
  readonly active: boolean;
  /** Null where no rule covers the column, or where every rule that covers it exempts the principals. */
  column(schema: string, relation: string, column: string): ColumnMask | null;
  /** Detectors of every rule that does not exempt the principals. */
  readonly detectors: readonly (SnapshotMasking['detectors'][number] & { readonly author: Author })[];
  /** SHA-256 of the definitions of the functions that every rule lists which does not exempt the principals. */
  readonly functions: ReadonlySet<string>;
  /** Equal for equal masks: a key for caches of rewritten statements. */
  readonly key: string;
}
