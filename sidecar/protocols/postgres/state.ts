import type { SessionState } from '../../mask/postgres/analyse.ts';
import { askOwn } from './own.ts';
import type { PgSession } from './session.ts';

/** A catalog that changes faster than it can be asked about leaves names unknown, and what needs them refused. */
const MAX_TRIES = 5;
/** Everything is named in full: the client's search_path must not decide what this asks. */
const STATE_SQL =
  "SELECT pg_catalog.current_setting('role'), CURRENT_USER::pg_catalog.text, pg_catalog.array_to_json(pg_catalog.current_schemas(true))::pg_catalog.text";

/**
 * Asks the server for role and effective search_path, where they may have changed. Only between two segments: inside of one the server
 * would not answer. There the old state stands and `stateDirty` stays, which the analysis then refuses to go by (see extended.ts).
 */
export async function refreshState(session: PgSession): Promise<void> {
  for (let tries = 0; !session.namesReady && !session.ended && tries < MAX_TRIES; tries++) {
    if (session.segmentSent || session.skipping !== 'no') return;
    if (!session.queue.empty) {
      session.toServer.flush();
      await session.waitSettled();
      tries--;
      continue;
    }
    // In a failed transaction nothing but its end runs, whatever the search_path is.
    if (session.tx === 'E') return;
    await waitForCatalog(session);
    if (session.readOnlyPending && (await askOwn(session, 'SET default_transaction_read_only = on')) !== null) session.isReadOnly = true;
    session.stateDirty = false;
    session.stateVersion = session.parts.catalog.current()?.version ?? '';
    const rows = await askOwn(session, STATE_SQL);
    const [row] = rows ?? [];
    if (row === undefined) {
      if (!session.ended) session.fatal('58000', 'the session state of the target could not be read', 'error');
      return;
    }
    const [, user, schemas] = row;
    session.state = sameOr(session.state, { ...session.state, user: user ?? '', searchPath: schemasOf(schemas ?? null) });
  }
}

async function waitForCatalog(session: PgSession): Promise<void> {
  if (!session.needsNames || session.ended || session.ddlOpen || session.parts.catalog.current() !== null) return;
  try {
    await session.parts.catalog.ready();
  } catch (error: unknown) {
    const { context, resource } = session.parts;
    const why = error instanceof Error ? error.message : 'unknown';
    context.log.warn({ resource: `${resource.namespace}/${resource.name}`, error: why }, 'the catalog of the target could not be read');
    // Without a catalog names are not resolved, and what needs them is refused.
  }
}

/** The old one where it says the same: what went by it still holds. */
function sameOr(old: SessionState, now: SessionState): SessionState {
  const { user, searchPath } = now;
  const same = old.user === user && old.searchPath.length === searchPath.length && old.searchPath.every((s, i) => s === searchPath[i]);
  return same ? old : now;
}

function schemasOf(json: string | null): readonly string[] {
  const schemas: unknown = JSON.parse(json ?? '[]');
  return Array.isArray(schemas) ? schemas.filter((schema): schema is string => typeof schema === 'string') : [];
}
