/** What a row guard asks of a command, and what it says to one that broke it. Pure. */
import type { SqlName } from '#crds/policy/action.ts';
import { theRule } from '#crds/policy/rule.ts';
import type { Author, RowGuard } from '#crds/policy/verdict.ts';
import { denialOf } from '../../decide/decide.ts';
import type { Analysis } from '../../mask/postgres/analyse.ts';
import type { Denial } from '../../permit.ts';

/** A text that ends transactions itself would have committed before anything is counted. */
export function mayNotGuard(analysis: Analysis, guard: RowGuard): Denial | null {
  const { statements } = analysis;
  const transactions = statements.some(({ kind }) => kind === 'Transaction');
  if (statements.length > 1 && transactions) {
    return deniedByGuard(authorOf(guard), 'its rows are counted before they are committed: send BEGIN and COMMIT in messages of their own');
  }
  const unnamed = watchedBy(analysis, guard).some(({ schema }) => schema === null);
  return unnamed ? deniedByGuard(authorOf(guard), 'what it deletes from is not in the catalog') : null;
}

/** The relations that a statement with a DELETE or MERGE writes: others can't be emptied by it. */
export function watchedBy({ statements }: Analysis, guard: RowGuard): readonly SqlName[] {
  if (guard.everyRow === null) return [];
  const found = new Map<string, SqlName>();
  for (const { kinds, writes } of statements) {
    if (!kinds.includes('Delete') && !kinds.includes('Merge')) continue;
    for (const name of writes) found.set(JSON.stringify([name.schema, name.name]), name);
  }
  return [...found.values()];
}

/** By the command tags: `DELETE 3`, `INSERT 0 5`. */
export function rowsChanged(tags: readonly string[], { effects }: Analysis): number {
  let rows = 0;
  for (const tag of tags) {
    const [, command, count] = /^(INSERT 0|UPDATE|DELETE|MERGE|COPY) (\d+)$/.exec(tag) ?? [];
    if (command !== undefined && (command !== 'COPY' || effects.copyIn)) rows += Number(count);
  }
  return rows;
}

export function tooManyRows({ rows }: RowGuard, changed: number): Denial | null {
  if (rows === null || changed <= rows.max) return null;
  return deniedByGuard(rows.author, `it changes ${changed} rows and may change ${rows.max}; it was undone`);
}

/** Two counts for each relation, as `before` and `after` have them. */
export function emptiedBy(
  guard: RowGuard,
  watched: readonly SqlName[],
  before: readonly number[],
  after: readonly number[],
): Denial | null {
  const at = before.findIndex((count, index) => count > 1 && after[index] === 0);
  if (at < 0 || guard.everyRow === null) return null;
  const name = watched[at >> 1];
  return deniedByGuard(guard.everyRow, `it deletes every row of ${name?.schema}.${name?.name}; it was undone`);
}

export function deniedByGuard(author: Author | null, why: string): Denial {
  if (author === null) return denialOf('row-guard', 'NotSupported', why);
  const { verdict } = denialOf('row-guard', 'DeniedByRule', `denied by ${theRule(author)}: ${why}`);
  return { type: 'denial', verdict: { ...verdict, authors: [author] } };
}

function authorOf(guard: RowGuard): Author | null {
  return guard.rows?.author ?? guard.everyRow;
}
