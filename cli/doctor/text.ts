import type { Diagnosis, Examination } from '../commands/doctor.ts';
import { type Paint, painter, printable, table } from '../sessions/table.ts';

/** What a person reads: each user's level, its columns with the reason, and what to run. */
export function doctorText({ resource, users, minimumAssurance }: Examination, color: boolean): string {
  const paint = painter(color);
  const asked = minimumAssurance === null ? '' : `An AccessPolicy asks for minimumAssurance ${minimumAssurance}.\n`;
  return `${users.map((user) => userText(resource, user, paint)).join('\n')}${asked}`;
}

function userText(
  resource: string,
  { user, role, serverVersion, level, columns, loweredBy, unmatched, remedy }: Diagnosis,
  paint: Paint,
): string {
  const head = paint('bold', printable(`${resource} as ${role} (requested user ${user}), PostgreSQL ${serverVersion}: assurance ${level}`));
  const rows = columns.flatMap(({ column, level: at, why }) => [
    [column, at, why[0] ?? 'no way to it'],
    ...why.slice(1).map((more) => ['', '', more]),
  ]);
  const lines = [head, ...loweredBy.map(printable)];
  if (rows.length > 0) lines.push('', table(['COLUMN', 'LEVEL', 'WHY'], rows).trimEnd());
  for (const entry of unmatched) lines.push(paint('yellow', printable(`warning: no column of the database is ${entry}`)));
  if (remedy.sql.length > 0) {
    const what =
      remedy.separateRole === null ? 'This lifts it to A' : `The role can not be at A. This makes ${remedy.separateRole}, which is`;
    lines.push('', `${what}; run it in the database as a superuser:`, '', ...remedy.sql.map((statement) => `  ${printable(statement)}`));
  }
  if (remedy.notes.length > 0) lines.push('', ...remedy.notes.map((note) => printable(`note: ${note}`)));
  return `${lines.join('\n')}\n`;
}
