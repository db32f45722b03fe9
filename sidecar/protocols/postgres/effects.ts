import { hash } from 'node:crypto';
import type { Analysis } from '../../mask/postgres/analyse.ts';
import type { PgSession } from './session.ts';
import type { Prepared } from './statements.ts';

/** What a statement did to names, once the server said that it is done. */
export function applyEffects(session: PgSession, analysis: Analysis): void {
  const { effects } = analysis;
  if (effects.discardsAll) {
    session.names.discardAll();
    session.cursors.clear();
  }
  if (effects.unlistensAll) session.use.listening.clear();
  for (const channel of effects.unlistens) session.use.listening.delete(channel);
  if (effects.deallocatesAll) session.names.deallocate({ all: true });
  for (const name of effects.deallocates) session.names.deallocate({ name });
  for (const name of effects.prepares) prepare(session, name, analysis);
  if (effects.closesAll) session.cursors.clear();
  for (const name of effects.closes) session.cursors.delete(name);
  for (const name of effects.declares) session.cursors.set(name, analysis);
  if (effects.ddl) session.catalogChanged = true;
}

/**
 * A text of several statements failed, and some of them may have been committed before: what it could have renamed is not known any more.
 * A name that is forgotten here and still there is refused; one that was kept and is another would be a way round.
 */
export function forgetEffects(session: PgSession, analysis: Analysis): void {
  const { effects } = analysis;
  if (effects.discardsAll || effects.deallocatesAll) session.names.deallocate({ all: true });
  for (const name of [...effects.deallocates, ...effects.prepares]) session.names.deallocate({ name });
  if (effects.discardsAll || effects.closesAll) session.cursors.clear();
  for (const name of [...effects.closes, ...effects.declares]) session.cursors.delete(name);
  if (effects.ddl) session.catalogChanged = true;
}

function prepare(session: PgSession, name: string, analysis: Analysis): void {
  const value: Prepared = {
    type: 'statement',
    origin: 'sql',
    name,
    sql: analysis.sql,
    digest: hash('sha256', analysis.sql),
    analysis,
    fields: null,
  };
  session.names.confirm(session.names.propose({ kind: 'statement', name, segment: session.segment, value }));
}
