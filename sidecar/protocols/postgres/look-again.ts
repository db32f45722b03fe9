import type { SqlStatement } from '#crds/policy/action.ts';
import type { Analysis } from '../../mask/postgres/analyse.ts';
import type { PgSession } from './session.ts';
import { refreshState } from './state.ts';

/**
 * What is not in the catalog may have been made by another session since it was looked at. Before it is refused for that, the catalog is looked at
 * once more, and the statement is to be analysed again. Null where nothing is to be waited for.
 */
export function lookAgain(session: PgSession, analysis: Analysis): Promise<void> | null {
  if (!session.needsNames || session.ddlOpen || session.segmentSent || session.tx === 'E' || !isUnresolved(analysis)) return null;
  return session.parts.catalog
    .freshen()
    .catch(() => false)
    .then((changed) => (changed ? refreshState(session) : undefined));
}

function isUnresolved({ refusal, statements }: Analysis): boolean {
  if (refusal !== null && refusal.code !== 'NotResolved') return false;
  if (refusal !== null) return true;
  const known = unresolved.get(statements);
  if (known !== undefined) return known;
  const found = statements.some(({ reads, writes, functions }) => [reads, writes, functions].some(hasUnknown));
  unresolved.set(statements, found);
  return found;
}

/** Texts that differ in literals alone share their statements. */
const unresolved = new WeakMap<readonly SqlStatement[], boolean>();

const hasUnknown = (names: SqlStatement['reads']): boolean => names.some(({ schema }) => schema === null);
