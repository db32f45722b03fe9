import type { SessionState } from '../../mask/postgres/analyse.ts';
import { encodeBind } from '../../wire/postgres/messages/bind.ts';
import { encodeClose } from '../../wire/postgres/messages/describe_close.ts';
import { encodeSync } from '../../wire/postgres/messages/empty.ts';
import { encodeExecute } from '../../wire/postgres/messages/execute.ts';
import { encodeParse } from '../../wire/postgres/messages/parse.ts';
import { OWN_PREFIX, type PgSession } from './session.ts';

/** A catalog that changes faster than it can be asked about leaves names unknown, and what needs them refused. */
const MAX_TRIES = 5;
const NAME = `${OWN_PREFIX}state`;
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

/** Runs a statement of our own on the client's session, with names of our own so that the client's unnamed statement stays. Null on error. */
function askOwn(session: PgSession, sql: string): Promise<(string | null)[][] | null> {
  return new Promise((resolve) => {
    const rows: (string | null)[][] = [];
    session.toServer.add(encodeParse({ statement: NAME, text: sql, parameterTypes: [] }));
    session.toServer.add(encodeBind({ portal: NAME, statement: NAME, parameterFormats: [], parameters: [], resultFormats: [] }));
    session.toServer.add(encodeExecute(NAME));
    session.toServer.add(encodeClose({ kind: 'portal', name: NAME }));
    session.toServer.add(encodeClose({ kind: 'statement', name: NAME }));
    session.toServer.add(encodeSync());
    const own = { rows, failed: false, done: (ok: boolean) => resolve(ok ? rows : null) };
    session.queue.push({ type: 'own', segment: session.segment, own });
    session.nextSegment();
    session.toServer.flush();
    if (session.ended) resolve(null);
  });
}
