import type { SqlName, SqlStatement } from '#crds/policy/action.ts';
import { denialOf } from '../../decide/decide.ts';
import type { Analysis } from '../../mask/postgres/analyse.ts';
import type { Catalog } from '../../mask/postgres/catalog.ts';
import type { Denial } from '../../permit.ts';
import type { Frame } from '../../wire/postgres/frame.ts';
import { CANCELED, DENIED, OVER_LIMIT } from './reply.ts';
import type { Run } from './run.ts';
import { OWN_PREFIX, type PgSession } from './session.ts';

/** Steps that the simple and the extended protocol share. */

export function copyOf(frame: Frame): Buffer {
  return frame.buffer.subarray(frame.start, frame.end);
}

/** The client's COPY data is looked at only when the server asks for it, or has refused the COPY. */
export async function copyBarrier(session: PgSession, run: Run): Promise<void> {
  session.toServer.flush();
  await run.progress();
  if (run.copy === 'in' && !session.ended) session.copyRun = run;
}

/** What a statement may change in how names are read counts from when it is sent, not from when it succeeded. */
export function noteState(session: PgSession, run: Run): void {
  const { effects } = run.analysis;
  for (const { channel, payload } of effects.notifies) session.notified.add(channel, payload);
  for (const channel of effects.listens) session.use.listening.add(channel);
  if (effects.state || effects.ddl) session.stateTouched = true;
  if (effects.ddl) session.ddlOpen = true;
  // What a transaction did to role and search_path is undone with it.
  if (run.analysis.statements.some((statement) => runsCode(session, statement))) session.stateDirty = session.stateTouched = true;
  if (effects.state || effects.ddl || (effects.endsTransaction && session.stateTouched)) session.stateDirty = true;
}

export function sqlstateOf(code: string): string {
  if (code === 'LimitExceeded') return OVER_LIMIT;
  return code === 'ApprovalWithdrawn' ? CANCELED : DENIED;
}

export function namesUnknown(): Denial {
  const text = 'an earlier statement may have changed role, search_path or the catalog: send Sync before the next one';
  return denialOf('session-state', 'NotResolved', text);
}

/**
 * A statement that may run code which is not in its text: functions that are not built in, views, triggers, rules, defaults. Such code can
 * change search_path, and only PostgreSQL 18 would say so; the state is asked again after it.
 */
export function runsCode(session: PgSession, statement: SqlStatement): boolean {
  if (!session.needsNames) return false;
  const catalog = session.parts.catalog.current();
  const known = runsCodeUnder.get(statement);
  if (known !== undefined && known.catalog === catalog) return known.runs;
  const runs = mayRunCode(statement, catalog);
  runsCodeUnder.set(statement, { catalog, runs });
  return runs;
}

/** Texts that differ in literals alone share their statements. */
const runsCodeUnder = new WeakMap<SqlStatement, { readonly catalog: Catalog | null; readonly runs: boolean }>();

function mayRunCode(statement: SqlStatement, catalog: Catalog | null): boolean {
  // A channel is no relation.
  if (statement.kind === 'Listen') return false;
  if (statement.reached.length > 0 || statement.functions.some(({ schema }) => schema !== 'pg_catalog')) return true;
  const relationOf = ({ schema, name }: SqlName) => catalog?.relations.get(schema ?? '')?.get(name);
  // Of pg_catalog only relations of its own are read; its views are built in.
  if (statement.reads.some((name) => name.schema !== 'pg_catalog' && relationOf(name)?.kind === 'View')) return true;
  return statement.writes.some((name) => {
    const relation = relationOf(name);
    return relation === undefined || relation.hasTriggers || relation.hasRules || relation.hasCodeDefaults;
  });
}

export function tooManyStatements(session: PgSession, more = 1): Denial | null {
  if (session.names.size('statement') + more <= session.limits.maxStatements) return null;
  return session.use.over('maxStatements', 'prepared statements');
}

/** Portals of the protocol and cursors of SQL. */
export function tooManyPortals(session: PgSession, more = 1): Denial | null {
  if (session.names.size('portal') + session.cursors.size + more <= session.limits.maxPortals) return null;
  return session.use.over('maxPortals', 'portals and cursors');
}

function tooManyChannels(session: PgSession, channels: readonly string[]): Denial | null {
  const listening = new Set([...session.use.listening, ...channels]);
  return listening.size <= session.limits.maxListenChannels ? null : session.use.over('maxListenChannels', 'channels that are listened to');
}

/** For a statement that makes names: too many of them, or one that is ours. */
export function tooManyNames(session: PgSession, { effects }: Analysis): Denial | null {
  const { prepares, declares, listens } = effects;
  if (prepares.length === 0 && declares.length === 0 && listens.length === 0) return null;
  if ([...prepares, ...declares].some((name) => name.startsWith(OWN_PREFIX)))
    return denialOf('names', 'NotSupported', 'the name is reserved');
  const statements = prepares.length > 0 ? tooManyStatements(session, prepares.length) : null;
  const portals = declares.length > 0 ? tooManyPortals(session, declares.length) : null;
  return statements ?? portals ?? (listens.length > 0 ? tooManyChannels(session, listens) : null);
}
