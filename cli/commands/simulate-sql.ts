import type { Action, SqlEffect, SqlName, SqlStatement } from '#crds/policy/action.ts';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import { analyse, ready } from '#sidecar/mask/postgres/analyse.ts';
import { fields } from '#sidecar/wire/postgres/sql/ast.ts';
import { textEffects } from '#sidecar/wire/postgres/sql/effects.ts';
import { readFacts, type StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { parseSql } from '#sidecar/wire/postgres/sql/parse.ts';
import { droppedRelations } from '#sidecar/wire/postgres/sql/statements.ts';

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
  const notes = [
    `no catalog is asked here: names without a schema are taken as ${schema}.NAME, functions to be the server's own and only to read; views are not looked into`,
  ];
  if (mask.active) notes.push('whether a statement that meets masked columns can be rewritten is known at the database only');
  const action: Action = { type: 'sql', database, user, statements: assumedAll(sql, statements, schema) };
  return { action, notes, refusal: refusal === null || refusal.code === 'NotResolved' ? null : refusal };
}

function assumedAll(sql: string, statements: readonly SqlStatement[], schema: string): SqlStatement[] {
  const parsed = parseSql(sql);
  const facts = parsed.ok ? parsed.statements.map(({ stmt }) => readFacts(fields(stmt))) : [];
  return statements.map((statement, index) => {
    const own = facts.length === statements.length ? facts[index] : undefined;
    // Facts that can't be told apart by statement: what can't be named stays so, and matches no Allow rule.
    if (own === undefined) return statement;
    const named = assumed(statement, own, schema);
    const judged = { ...named, effects: assumedEffects(own) };
    return looksReading(own) ? { ...judged, access: 'Read' } : judged;
  });
}

const READING: ReadonlySet<string> = new Set(['Select', 'Show', 'Explain', 'Cursor', 'CopyTo']);
/** Functions of the server that are known to change something, by name or by the start of it. */
const WRITING = /^(nextval|setval|set_config|lo_|dblink|query_to_xml|pg_(?!typeof$|get_|size_pretty$|table_size$|total_relation_size$))/;

function looksReading(facts: StatementFacts): boolean {
  if (!facts.kinds.every((kind) => READING.has(kind)) || facts.locking || facts.serverFile) return false;
  return facts.opaque.length === 0 && facts.unknown.length === 0 && !facts.functions.some(({ name }) => WRITING.test(name));
}

/** What the text says. A function is taken to be the server's own, a relation to be a table without triggers. */
function assumedEffects(facts: StatementFacts): SqlEffect[] {
  const written = textEffects(facts).map(({ kind, what }): SqlEffect => ({ kind, what, function: null }));
  const called = facts.functions.flatMap(({ name }): SqlEffect[] =>
    WRITING.test(name) ? [{ kind: 'Write', what: `function ${name}`, function: { schema: 'pg_catalog', name } }] : [],
  );
  return [...written, ...called];
}

/** Without a catalog every name comes without its schema: as written, it is in the facts. */
function assumed(statement: SqlStatement, facts: StatementFacts, schema: string): SqlStatement {
  const named = (
    names: readonly SqlName[],
    written: readonly { readonly schema: string; readonly name: string }[],
    usual: string,
  ): SqlName[] =>
    names.flatMap((name) => {
      if (name.schema !== null) return [name];
      const schemas = new Set(written.filter((fact) => fact.name === name.name).map((fact) => fact.schema || usual));
      return schemas.size === 0 ? [{ ...name, schema: usual }] : [...schemas].map((own) => ({ schema: own, name: name.name }));
    });
  return {
    ...statement,
    reads: named(statement.reads, facts.relations, schema),
    writes: named(statement.writes, [...facts.relations, ...droppedRelations(facts.type, facts.node)], schema),
    functions: named(statement.functions, facts.functions, 'pg_catalog'),
  };
}
