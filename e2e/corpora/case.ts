// What every set of the corpora gives: a case that was run, and how it ended.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Major } from '../postgres/server.ts';

/** One case: `set` is masking, controls, blocking or protocol; `problem` says what was seen instead of what the case asks, null when all was as asked. */
export type CaseResult = Readonly<{ set: string; id: string; category: string; problem: string | null; leftOut?: boolean }>;

/** Where a set finds its cases: `cases` is a folder with files of the corpora's names; `only` keeps the cases whose id matches. */
export type CorpusOptions = Readonly<{
  cases: string;
  only: RegExp | null;
  /** The server's version: Debian's 15, or the embedded 18. */
  postgres: Major;
}>;

/** A module that the case sets up is not among those of the server's version. */
export function lacksModule(error: unknown): boolean {
  return error instanceof Error && /extension "\w+" is not available/.test(error.message);
}

/** How masking and its controls are run beside that. */
export type MaskingOptions = CorpusOptions &
  Readonly<{
    /** Also compare the transcripts of two databases that differ only in their secrets. */
    twin: boolean;
    /** A: the role may not read the masked columns; B: it owns the tables. */
    assurance: 'A' | 'B';
    /** Written into the MaskingRule of the reference policy. */
    predicates: 'Strict' | 'SourceMasked' | 'Permissive';
    /** Of every masked column of the reference policy. With a key, twins differ by design. */
    strategy: 'Redact' | 'Token' | 'FormatPreserving';
    /** Attacks the server itself, where every masking case leaks: whether the cases and this program see a leak. */
    withoutSidecar: boolean;
  }>;

/** Lines of JSON, those that `only` keeps. None where the folder has no such file. */
export async function readCases<T extends { readonly id: string }>(options: CorpusOptions, file: string): Promise<T[]> {
  // `more` are ours: what other authors thought of is kept as it came.
  const texts = [await textOf(join(options.cases, file)), await textOf(join(options.cases, 'more', file))];
  return texts
    .join('\n')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as T)
    .filter(({ id }) => options.only?.test(id) ?? true);
}

/** Empty where there is no such file. */
async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}
