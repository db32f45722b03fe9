/** Mutants that no test can notice, each with its reason. One that is no mutant of its file any more fails. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Mutant } from './mutants.ts';

export interface Equivalent {
  readonly file: string;
  /** The lines that the mutant changes, as they are and as they would be, without the space around. */
  readonly before: string;
  readonly after: string;
  readonly reason: string;
}

export type Described = Pick<Equivalent, 'file' | 'before' | 'after'>;

export async function readEquivalents(): Promise<readonly Equivalent[]> {
  return JSON.parse(await readFile(join(import.meta.dirname, 'equivalent.json'), 'utf8')) as Equivalent[];
}

export function described(file: string, source: string, { start, end, text }: Mutant): Described {
  const from = source.lastIndexOf('\n', start - 1) + 1;
  const until = source.indexOf('\n', end);
  const to = until < 0 ? source.length : until;
  const before = source.slice(from, to);
  const after = source.slice(from, start) + text + source.slice(end, to);
  return { file, before: plain(before), after: plain(after) };
}

export function keyOf({ file, before, after }: Described): string {
  return JSON.stringify([file, before, after]);
}

function plain(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}
