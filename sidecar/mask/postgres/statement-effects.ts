/** What a statement does beyond reading: by its text, by the functions that it calls, and by what lies behind the relations that it names. */
import type { EffectKind, SqlEffect, SqlName } from '#crds/policy/action.ts';
import { asNode, constant, fields, list, text } from '#sidecar/wire/postgres/sql/ast.ts';
import { textEffects } from '#sidecar/wire/postgres/sql/effects.ts';
import { type FunctionFact, type RelationFact, readFacts, type StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { parseSql } from '#sidecar/wire/postgres/sql/parse.ts';
import { effectsOfValue } from '#sidecar/wire/postgres/sql/settings.ts';
import { droppedRelations } from '#sidecar/wire/postgres/sql/statements.ts';
import type { Names } from './analyse-facts.ts';
import type { CatalogFunction, Relation } from './catalog.ts';
import { FIRST_USER_OID } from './catalog-queries.ts';
import { effectsOfFunction, isTrustedTrigger } from './function-effects.ts';
import { candidateFunctions, candidateOperators, type Resolver, resolveRelation, resolveType } from './resolve.ts';
import { builtInsAreCastByCode, columnsRunCode, rowsAreCastByCode, typeRunsCode } from './type-code.ts';
import { isTrustedCode } from './vet-lists.ts';

/** System views that read the server's files. */
const FILE_VIEWS: ReadonlySet<string> = new Set([
  'pg_hba_file_rules',
  'pg_ident_file_mappings',
  'pg_file_settings',
  'pg_config',
  'pg_backend_memory_contexts',
]);
const CATALOG_WRITE: readonly EffectKind[] = ['Write', 'Drop', 'SchemaChange', 'PrivilegeChange', 'ServerAccess', 'OpaqueCode'];
const WRITING_ROLES: ReadonlySet<RelationFact['role']> = new Set(['Target', 'Write', 'CopyFrom']);

export function statementEffects(facts: StatementFacts, names: Names): readonly SqlEffect[] {
  const out = new EffectSet();
  for (const effect of textEffects(facts)) {
    if (effect.function === undefined) out.add(effect.kind, effect.what);
    else for (const name of namesOf(effect.function, names.at)) out.add(effect.kind, effect.what, name);
  }
  addCode(out, facts, { names, at: names.at, depth: 0 });
  for (const fact of facts.relations) addRelation(out, fact, facts, { names, at: names.at, depth: 0 });
  for (const dropped of droppedRelations(facts.type, facts.node)) {
    if (isCatalogName(dropped.schema, dropped.name)) addAll(out, `a change of ${dropped.name}`);
  }
  return out.all();
}

/** How names are read here, and how a function reads those in its own text: as the session does. */
interface Place {
  readonly names: Names;
  readonly at: Resolver | null;
  /** Of functions within functions. */
  readonly depth: number;
}

function addCode(out: EffectSet, facts: StatementFacts, place: Place): void {
  const { at } = place;
  for (const fact of facts.functions) addFunction(out, fact, place);
  if (at === null) return;
  // `row.name` calls the function of that name where the row has no such column.
  for (const column of facts.columns) {
    const parts = list(column.fields);
    const name = text(asNode(parts.at(-1), 'String')?.sval);
    if (parts.length < 2 || name === '') continue;
    for (const item of at.catalog.functions.get(name) ?? [])
      if (item.schema !== 'pg_catalog') addKinds(out, item, `function ${item.schema}.${item.name}`, place);
  }
  for (const operator of facts.operators) {
    for (const item of candidateOperators(at, operator)) {
      if (item.function === null) out.add('OpaqueCode', `operator ${item.schema}.${item.name}`);
      else if (!isTrustedCode(item.function)) addKinds(out, item.function, `operator ${item.schema}.${item.name}`, place);
    }
  }
  for (const written of facts.types) {
    const type = resolveType(at, written);
    if (type !== null && typeRunsCode(at.catalog, type)) out.add('OpaqueCode', `type ${type.schema}.${type.name}`);
  }
  if (builtInsAreCastByCode(at.catalog)) out.add('OpaqueCode', 'a cast between built-in types');
}

function addFunction(out: EffectSet, fact: FunctionFact, place: Place): void {
  const { at } = place;
  const what = `function ${fact.schema === '' ? fact.name : `${fact.schema}.${fact.name}`}`;
  const candidates = at === null ? [] : candidateFunctions(at, fact);
  // A name that only an older server would look up, and would not find.
  if (candidates.length === 0 && fact.syntax) return;
  if (candidates.length === 0) out.add('OpaqueCode', what, { schema: null, name: fact.name });
  for (const item of candidates) addKinds(out, item, `function ${item.schema}.${item.name}`, place);
  if (fact.name === 'set_config') {
    const [name, value] = list(fact.node.args).map(constantOf);
    for (const effect of effectsOfValue(name ?? null, value ?? null)) out.add(effect.kind, `${what}: ${effect.what}`);
  }
}

function addKinds(out: EffectSet, item: CatalogFunction, what: string, place: Place): void {
  if (item.body !== null && onlyReads(item.body, place)) return;
  for (const kind of effectsOfFunction(item)) out.add(kind, what, { schema: item.schema, name: item.name });
}

const MAX_FUNCTION_DEPTH = 4;

/** A function in SQL whose text is known, and has no effect at all. Of any other it is not known what it does. */
function onlyReads(body: string, { names, depth }: Place): boolean {
  if (depth >= MAX_FUNCTION_DEPTH || names.at === null) return false;
  const parsed = parseSql(body);
  if (!parsed.ok) return false;
  const found = new EffectSet();
  for (const { stmt } of parsed.statements) {
    const facts = readFacts(stmt);
    if (facts.acts.some(({ type }) => type !== 'SelectStmt')) return false;
    const inside: Place = { names, at: names.at, depth: depth + 1 };
    for (const effect of textEffects(facts)) found.add(effect.kind, effect.what);
    addCode(found, facts, inside);
    for (const fact of facts.relations) addRelation(found, fact, facts, inside);
  }
  return found.all().length === 0;
}

function constantOf(value: unknown): string | null {
  const cast = asNode(value, 'TypeCast');
  return cast === null ? constant(value) : constant(fields(cast).arg);
}

function addRelation(out: EffectSet, fact: RelationFact, facts: StatementFacts, place: Place): void {
  const { names } = place;
  if (fact.role === 'Create') return;
  const writes = WRITING_ROLES.has(fact.role);
  const written = fact.schema === '' ? fact.name : `${fact.schema}.${fact.name}`;
  const relation = names.at === null ? null : resolveRelation(names.at, fact);
  if (relation === null || names.world === null) {
    if (writes && isCatalogName(fact.schema, fact.name)) addAll(out, `a change of ${written}`);
    // Without a catalog it may be a view with functions, or a table with triggers.
    out.add('OpaqueCode', `relation ${written}, which is not in the catalog`);
    return;
  }
  // Definitions are printed with all names in full.
  const inside: Place = { ...place, at: { catalog: names.world.catalog, searchPath: ['pg_catalog'], database: '' } };
  const all = [relation, ...names.world.reached(relation)];
  for (const item of all) addBehind(out, item, writes, inside);
  if (facts.type === 'RefreshMatViewStmt' && relation.kind === 'MaterializedView') addBody(out, relation, inside);
}

function addBehind(out: EffectSet, item: Relation, writes: boolean, inside: Place): void {
  const name = `${item.schema}.${item.name}`;
  if (item.oid < FIRST_USER_OID) {
    if (writes) addAll(out, `a change of ${name}`);
    else if (FILE_VIEWS.has(item.name)) out.add('ServerAccess', name);
    return;
  }
  const catalog = inside.at?.catalog ?? null;
  if (catalog !== null && (rowsAreCastByCode(catalog, item) || (writes && columnsRunCode(catalog, item))))
    out.add('OpaqueCode', `the type of a column of ${name}`);
  if (item.kind === 'Foreign') out.add('ServerAccess', `foreign table ${name}`);
  if (item.kind === 'View') addBody(out, item, inside);
  if (writes && item.hasRules) out.add('OpaqueCode', `a rewrite rule of ${name}`);
  for (const code of item.code) {
    if (!writes && code.why !== 'policy') continue;
    if (code.why === 'trigger' && isTrustedTrigger(code.function)) continue;
    addKinds(out, code.function, `${code.why} of ${name}: function ${code.function.schema}.${code.function.name}`, inside);
  }
}

function addBody(out: EffectSet, view: Relation, inside: Place): void {
  const body = inside.names.world?.viewBody(view) ?? null;
  const name = `${view.schema}.${view.name}`;
  if (body === null || body.facts.unknown.length > 0) return out.add('OpaqueCode', `view ${name}, whose definition can't be read`);
  for (const effect of textEffects(body.facts)) out.add(effect.kind, `view ${name}: ${effect.what}`);
  const found = new EffectSet();
  addCode(found, body.facts, inside);
  for (const effect of found.all()) out.add(effect.kind, `view ${name}: ${effect.what}`, effect.function);
}

function addAll(out: EffectSet, what: string): void {
  for (const kind of CATALOG_WRITE) out.add(kind, what);
}

/** The server searches pg_catalog first, whatever a search_path says, unless it is named there. */
function isCatalogName(schema: string, name: string): boolean {
  if (schema === 'pg_catalog' || schema === 'information_schema') return true;
  return schema === '' && name.startsWith('pg_');
}

function namesOf(written: { readonly schema: string; readonly name: string }, at: Resolver | null): readonly SqlName[] {
  const candidates = at === null ? [] : candidateFunctions(at, written);
  if (candidates.length === 0) return [{ schema: null, name: written.name }];
  return [...new Set(candidates.map((item) => item.schema))].map((schema) => ({ schema, name: written.name }));
}

class EffectSet {
  readonly #effects = new Map<string, SqlEffect>();

  add(kind: EffectKind, what: string, name: SqlName | null = null): void {
    this.#effects.set(JSON.stringify([kind, name, what]), { kind, what, function: name });
  }

  all(): readonly SqlEffect[] {
    return [...this.#effects.values()];
  }
}
