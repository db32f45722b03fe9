// What every set of the corpora gives: a case that was run, and how it ended.

/** One case: `set` is masking, controls, blocking or protocol; `problem` says what was seen instead of what the case asks, null when all was as asked. */
export type CaseResult = Readonly<{ set: string; id: string; category: string; problem: string | null }>;

/** Where a set finds its cases: `cases` is a folder with files of the corpora's names; `only` keeps the cases whose id matches. */
export type CorpusOptions = Readonly<{ cases: string; only: RegExp | null }>;
