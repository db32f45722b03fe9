import type { Action, SqlName, SqlStatement } from '#crds/policy/action.ts';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import { analyse, ready } from '#sidecar/mask/postgres/analyse.ts';

export interface Refused {
  readonly code: string;
  readonly message: string;
}

/**
 * The facts of a text, as far as the text alone tells them. The sidecar resolves names from the database's catalog; here a relation without a schema
 * is taken to be in `schema`, and what lies behind a view is not seen. A refusal for want of a catalog is left out, and told as a note.
 */
export async function sqlAction(sql: string, schema: string, resource: SnapshotResource, mask: MaskPolicy) {
  await ready();
  const database = resource.postgresql?.database ?? '';
  const user = resource.postgresql?.users[0]?.name ?? '';
  const state = { searchPath: ['pg_catalog', schema], user, database };
  const { statements, refusal } = analyse({ sql, catalog: null, state, mask, prepared: () => undefined, cursor: () => undefined });
  const notes = [`no catalog is asked here: names without a schema are taken as ${schema}.NAME, and what is behind a view is not seen`];
  if (mask.active) notes.push('whether a statement that meets masked columns can be rewritten is known at the database only');
  const action: Action = { type: 'sql', database, user, statements: statements.map((statement) => assumed(statement, schema)) };
  return { action, notes, refusal: refusal === null || refusal.code === 'NotResolved' ? null : refusal };
}

function assumed(statement: SqlStatement, schema: string): SqlStatement {
  const inSchema = (names: readonly SqlName[]) => names.map((name) => ({ ...name, schema: name.schema ?? schema }));
  const inCatalog = (names: readonly SqlName[]) => names.map((name) => ({ ...name, schema: name.schema ?? 'pg_catalog' }));
  return {
    ...statement,
    reads: inSchema(statement.reads),
    writes: inSchema(statement.writes),
    reached: inSchema(statement.reached),
    functions: inCatalog(statement.functions),
  };
}
