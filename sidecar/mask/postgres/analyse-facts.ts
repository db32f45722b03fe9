/** From what the text says to what policy judges: names resolved, what is behind them added. */
import type { SqlName, SqlStatement, StatementKind } from '#crds/policy/action.ts';
import { asNode, type Fields, list, text } from '#sidecar/wire/postgres/sql/ast.ts';
import type { FunctionFact, RelationFact, StatementFacts, WrittenName } from '#sidecar/wire/postgres/sql/facts.ts';
import { classifySetting } from '#sidecar/wire/postgres/sql/settings.ts';
import { droppedRelations } from '#sidecar/wire/postgres/sql/statements.ts';
import type { Relation } from './catalog.ts';
import { FIRST_USER_OID } from './catalog-queries.ts';
import { effectsOfFunction } from './function-effects.ts';
import {
  candidateFunctions,
  candidateOperators,
  creationSchema,
  isTemporary,
  type Resolver,
  resolveRelation,
  resolveType,
} from './resolve.ts';
import { statementEffects } from './statement-effects.ts';
import { builtInsAreCastByCode, rowsAreCastByCode, typeRunsCode } from './type-code.ts';
import { isReadingFunction } from './vet-lists.ts';
import type { MaskedCatalog } from './world.ts';

/** Null members where there is no catalog: nothing is resolved then. */
export interface Names {
  readonly world: MaskedCatalog | null;
  readonly at: Resolver | null;
  readonly searchPath: readonly string[];
}

const READING_KINDS: ReadonlySet<StatementKind> = new Set<StatementKind>([
  'Select',
  'Show',
  'Explain',
  'Prepare',
  'Execute',
  'Cursor',
  'CopyTo',
  'Transaction',
  'Deallocate',
  'Set',
]);

/** `inner` are the statements that EXECUTE or FETCH runs. */
export function toStatement(facts: StatementFacts, names: Names, inner: readonly SqlStatement[], knownInner: boolean): SqlStatement {
  const reads = new NameSet();
  const writes = new NameSet();
  const reached = new NameSet();
  for (const fact of facts.relations) {
    const relation = names.at === null ? null : resolveRelation(names.at, fact);
    const name = relationName(fact, relation, names);
    if (isRead(fact)) reads.add(name);
    if (isWritten(fact)) writes.add(name);
    for (const behind of relation === null ? [] : (names.world?.reached(relation) ?? [])) reached.add(nameOf(behind));
  }
  for (const dropped of droppedRelations(facts.type, facts.node)) {
    const relation = names.at === null ? null : resolveRelation(names.at, dropped);
    writes.add(relation === null ? { schema: null, name: dropped.name } : nameOf(relation));
  }
  for (const label of facts.opaque) writes.add({ schema: null, name: label });
  const functions = new NameSet();
  for (const written of facts.functions) for (const name of functionNames(written, names)) functions.add(name);
  for (const statement of inner) {
    for (const name of statement.reads) reads.add(name);
    for (const name of statement.writes) writes.add(name);
    for (const name of statement.reached) reached.add(name);
    for (const name of statement.functions) functions.add(name);
  }
  return {
    kind: facts.kind,
    kinds: [...new Set([...facts.kinds, ...inner.flatMap((statement) => statement.kinds.filter((kind) => kind !== 'Prepare'))])],
    reads: reads.all(),
    writes: writes.all(),
    reached: reached.all(),
    functions: functions.all(),
    access: knownInner && inner.every((statement) => statement.access === 'Read') && onlyReads(facts, names) ? 'Read' : 'Write',
    missingWhere: facts.missingWhere || inner.some((statement) => statement.missingWhere),
    effects: [...statementEffects(facts, names), ...inner.flatMap((statement) => statement.effects)],
    countsRows: countsRows(facts) || (facts.type === 'ExecuteStmt' && inner.length === 1 && inner[0]?.countsRows === true),
    housekeeping: isHousekeeping(facts, knownInner),
  };
}

const COUNTING: ReadonlySet<string> = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']);

/** PREPARE counts like what it prepares, which EXECUTE then runs. */
function countsRows(facts: StatementFacts): boolean {
  const [first, ...others] = facts.type === 'PrepareStmt' ? facts.acts.slice(1) : facts.acts;
  if (first === undefined || facts.serverFile) return false;
  const copies = first.type === 'CopyStmt' && first.node.is_from === true;
  return (copies || COUNTING.has(first.type)) && others.every(({ type, node }) => type === 'SelectStmt' && node.intoClause === undefined);
}

/** Proved, as far as the declarations of functions are true. */
function onlyReads(facts: StatementFacts, names: Names): boolean {
  if (!facts.kinds.every((kind) => READING_KINDS.has(kind))) return false;
  if (facts.locking || facts.serverFile || facts.opaque.length > 0 || facts.unknown.length > 0) return false;
  if (facts.type === 'ConstraintsSetStmt' || facts.type === 'DiscardStmt') return false;
  if (facts.settings.some((setting) => !['harmless', 'transaction'].includes(classifySetting(setting)))) return false;
  if (facts.type === 'TransactionStmt' && !isPlainTransaction(facts)) return false;
  return runsOnlyReadingCode(facts, names.at) && facts.relations.every((fact) => readsWithoutEffect(fact, names));
}

function runsOnlyReadingCode(facts: StatementFacts, at: Resolver | null): boolean {
  if (at === null) {
    const builtIn = ({ schema }: { readonly schema: string }): boolean => schema === 'pg_catalog';
    return (
      facts.functions.length === 0 && facts.types.every(builtIn) && facts.operators.every((name) => name.schema === '' || builtIn(name))
    );
  }
  return (
    facts.functions.every((name) => callsReadingCode(at, name)) &&
    facts.columns.every((column) => isNoWritingField(at, column)) &&
    facts.operators.every((name) =>
      candidateOperators(at, name).every((item) => item.function !== null && isReadingFunction(item.function)),
    ) &&
    facts.types.every((name) => isMadeWithoutCode(at, name)) &&
    !builtInsAreCastByCode(at.catalog)
  );
}

/** Some that say of themselves that they only read run what they are given as text. What an aggregate runs for each row is declared elsewhere. */
function callsReadingCode(at: Resolver, name: FunctionFact): boolean {
  const candidates = candidateFunctions(at, name);
  if (candidates.length === 0) return name.syntax;
  return candidates.every((item) => {
    if (!isReadingFunction(item)) return false;
    if (item.oid < FIRST_USER_OID) return effectsOfFunction(item).length === 0;
    return item.kind === 'Function' || item.ofExtension;
  });
}

/** `row.name` calls the function of that name where the row has no such column. */
function isNoWritingField({ catalog }: Resolver, column: Fields): boolean {
  const parts = list(column.fields);
  const name = text(asNode(parts.at(-1), 'String')?.sval);
  if (parts.length < 2 || name === '') return true;
  return (catalog.functions.get(name) ?? []).every((item) => item.schema === 'pg_catalog' || isReadingFunction(item));
}

function isMadeWithoutCode(at: Resolver, name: WrittenName): boolean {
  const type = resolveType(at, name);
  return type !== null && !typeRunsCode(at.catalog, type);
}

/** A view runs functions of its own, a policy those of its condition, and a cast the ones that it is made of. */
function readsWithoutEffect(fact: RelationFact, names: Names): boolean {
  if (names.at === null || names.world === null) return false;
  const { world } = names;
  const relation = resolveRelation(names.at, fact);
  if (relation === null) return false;
  const inside: Resolver = { catalog: world.catalog, searchPath: ['pg_catalog'], database: '' };
  return [relation, ...world.reached(relation)].every((item) => {
    if (rowsAreCastByCode(world.catalog, item)) return false;
    if (item.code.some(({ why, function: code }) => why === 'policy' && !isReadingFunction(code))) return false;
    if (item.definition === null || item.kind !== 'View') return true;
    const body = world.viewBody(item);
    return body !== null && !body.facts.locking && body.facts.unknown.length === 0 && runsOnlyReadingCode(body.facts, inside);
  });
}

const PLAIN_TRANSACTIONS: ReadonlySet<string> = new Set(
  ['BEGIN', 'START', 'COMMIT', 'ROLLBACK', 'SAVEPOINT', 'RELEASE', 'ROLLBACK_TO'].map((kind) => `TRANS_STMT_${kind}`),
);

function isPlainTransaction(facts: StatementFacts): boolean {
  return PLAIN_TRANSACTIONS.has(text(facts.node.kind));
}

function isHousekeeping(facts: StatementFacts, knownInner: boolean): boolean {
  if (facts.unknown.length > 0) return false;
  switch (facts.type) {
    case 'TransactionStmt':
      return isPlainTransaction(facts);
    case 'VariableSetStmt':
      return ['harmless', 'transaction'].includes(classifySetting(facts.node));
    case 'VariableShowStmt':
    case 'DeallocateStmt':
    case 'ClosePortalStmt':
      return true;
    case 'FetchStmt':
      return knownInner;
    default:
      return false;
  }
}

function isRead(fact: RelationFact): boolean {
  if (fact.role === 'From' || fact.role === 'Read' || fact.role === 'CopyTo') return true;
  if (fact.role !== 'Target') return false;
  const { owner } = fact;
  return [owner.whereClause, owner.returningClause, owner.joinCondition, owner.onConflictClause].some((part) => part !== undefined);
}

function isWritten(fact: RelationFact): boolean {
  return fact.role !== 'From' && fact.role !== 'Read' && fact.role !== 'CopyTo';
}

function relationName(fact: RelationFact, relation: Relation | null, names: Names): SqlName {
  if (fact.role === 'Create') return { schema: creationSchema(names.searchPath, fact), name: fact.name };
  return relation === null ? { schema: null, name: fact.name } : nameOf(relation);
}

function nameOf(relation: Relation): SqlName {
  return { schema: isTemporary(relation.schema) ? 'pg_temp' : relation.schema, name: relation.name };
}

/** One name per schema that has a candidate: the arguments choose among them, so each counts. */
function functionNames(written: FunctionFact, names: Names): readonly SqlName[] {
  const candidates = names.at === null ? [] : candidateFunctions(names.at, written);
  if (candidates.length === 0 && written.syntax) return [];
  if (candidates.length === 0) return [{ schema: null, name: written.name }];
  return [...new Set(candidates.map((item) => item.schema))].map((schema) => ({ schema, name: written.name }));
}

/** Name of the prepared statement or cursor that the statement runs, and of which kind it is. */
export function runsNamed(facts: StatementFacts): { readonly type: 'prepared' | 'cursor'; readonly name: string } | null {
  if (facts.type === 'ExecuteStmt') return { type: 'prepared', name: text(facts.node.name) };
  if (facts.type === 'FetchStmt') return { type: 'cursor', name: text(facts.node.portalname) };
  const nested = facts.acts.find((act) => act.type === 'ExecuteStmt');
  return nested === undefined ? null : { type: 'prepared', name: text(nested.node.name) };
}

class NameSet {
  readonly #names = new Map<string, SqlName>();

  add(name: SqlName): void {
    this.#names.set(JSON.stringify([name.schema, name.name]), name);
  }

  all(): readonly SqlName[] {
    return [...this.#names.values()];
  }
}
