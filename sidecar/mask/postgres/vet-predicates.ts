/**
 * `predicates: Strict`: a masked column may be shown, and nothing may be decided by it. What decides would only ever see the mask, so this keeps no
 * secret that the rewriting does not keep: it says aloud that a condition can not mean what its author thinks. By names, so that it errs to refusal.
 */
import { type Fields, fields, isFields, list, names, numeric, text, unwrap } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import type { Relation } from './catalog.ts';
import { type Resolver, resolveRelation } from './resolve.ts';
import type { MaskedCatalog } from './world.ts';

/** Clauses that decide which rows there are, in which order, and what is one of them. */
const DECIDING: ReadonlySet<string> = new Set([
  ...['whereClause', 'havingClause', 'groupClause', 'sortClause', 'windowClause', 'limitCount', 'limitOffset'].map(
    (field) => `SelectStmt.${field}`,
  ),
  ...['JoinExpr.quals', 'SubLink.testexpr', 'FuncCall.agg_filter', 'FuncCall.agg_order', 'FuncCall.over', 'RangeTableSample.args'],
  ...['CommonTableExpr.search_clause', 'CommonTableExpr.cycle_clause', 'RangeFunction.functions', 'LockingClause.lockedRels'],
]);
/** Expressions whose value is a decision. */
const DECISIONS: ReadonlySet<string> = new Set(['CaseExpr', 'BoolExpr', 'NullTest', 'BooleanTest', 'MinMaxExpr']);

/** In words, what is decided by a masked column; null where nothing is. `touched` are the relations that have or read masked columns. */
export function decidedByMasked(
  world: MaskedCatalog,
  at: Resolver,
  facts: StatementFacts,
  touched: StatementFacts['relations'],
): string | null {
  const mentions = mentionsOf(world, at, facts, touched, true);
  if (mentions === null) return null;
  const using = facts.usingColumns.find((name) => name === '*' || mentions.masked.has(name));
  if (using !== undefined) return `rows are joined by ${using === '*' ? 'all columns of the same name' : using}`;
  return decided(facts.node, facts.type, mentions, false);
}

/** The first masked column that a statement names, or `*`; null where it names none. */
export function namesMasked(world: MaskedCatalog, at: Resolver, facts: StatementFacts): string | null {
  const mentions = mentionsOf(world, at, facts, facts.relations, false);
  if (mentions === null) return null;
  const using = facts.usingColumns.find((name) => name === '*' || mentions.masked.has(name));
  return (
    using ??
    first(facts.columns, (column) => {
      const last = names(column.fields).at(-1) ?? '*';
      return last === '*' || mentions.masked.has(last) || mentions.rows.has(last) ? last : null;
    })
  );
}

/** Null where no masked column can be named. */
function mentionsOf(
  world: MaskedCatalog,
  at: Resolver,
  facts: StatementFacts,
  relations: StatementFacts['relations'],
  strict: boolean,
): Mentions | null {
  const mentions: Mentions = { masked: new Set(), rows: new Set() };
  for (const fact of relations) {
    const relation = fact.role === 'Create' ? null : resolveRelation(at, fact);
    if (relation === null) continue;
    const columns = shownMasked(world, relation, strict);
    if (columns.size === 0) continue;
    const alias = fields(fact.node.alias);
    mentions.rows.add(text(alias.aliasname) || fact.name);
    // An alias may rename the columns, from the first on.
    const renamed = names(alias.colnames);
    for (const [index, column] of relation.columns.entries())
      if (columns.has(column.name)) mentions.masked.add(renamed[index] ?? column.name);
  }
  if (mentions.masked.size === 0) return null;
  spread(facts.node, mentions);
  return mentions;
}

interface Mentions {
  readonly masked: Set<string>;
  /** Names of rows that hold a masked column. */
  readonly rows: Set<string>;
}

/** The columns of a relation that show a masked one; with `strict` only those that the rules say so of. */
function shownMasked(world: MaskedCatalog, relation: Relation, strict: boolean): ReadonlySet<string> {
  const own = new Set([...world.maskedColumns(relation)].filter(([, mask]) => mask.strict || !strict).map(([name]) => name));
  if (relation.kind !== 'View') return own;
  const body = world.viewBody(relation);
  if (body === null) return new Set(relation.columns.map(({ name }) => name));
  const at: Resolver = { catalog: world.catalog, searchPath: ['pg_catalog'], database: '' };
  const mentions: Mentions = { masked: new Set(), rows: new Set() };
  for (const fact of body.facts.relations) {
    const inner = resolveRelation(at, fact);
    if (inner === null || !world.touchesMasked(inner)) continue;
    for (const name of shownMasked(world, inner, strict)) mentions.masked.add(name);
    mentions.rows.add(text(fields(fact.node.alias).aliasname) || fact.name);
  }
  if (mentions.masked.size === 0) return own;
  spread(body.facts.node, mentions);
  const targets = list(body.facts.node.targetList);
  // A set operation has its targets further down.
  const plain = targets.length === relation.columns.length;
  for (const [index, column] of relation.columns.entries()) if (!plain || mentionsAny(targets[index], mentions)) own.add(column.name);
  return own;
}

/** A column that is made of a masked one is masked too, under its new name, and so is a row that holds it. To the end. */
function spread(node: Fields, mentions: Mentions): void {
  const size = (): number => mentions.masked.size + mentions.rows.size;
  for (let before = -1; before !== size(); ) {
    before = size();
    spreadOnce(node, '', mentions);
  }
}

function spreadOnce(value: unknown, type: string, mentions: Mentions): void {
  if (Array.isArray(value)) {
    for (const item of value) spreadOnce(item, '', mentions);
    return;
  }
  if (!isFields(value)) return;
  const wrapped = type === '' ? unwrap(value) : null;
  if (wrapped !== null) return spreadOnce(wrapped.node, wrapped.type, mentions);
  if (type === 'ResTarget' && text(value.name) !== '' && mentionsAny(value.val, mentions)) mentions.masked.add(text(value.name));
  if (type === 'RangeSubselect' || type === 'CommonTableExpr') {
    const alias = type === 'RangeSubselect' ? fields(value.alias) : value;
    if (mentionsAny(value.subquery ?? value.ctequery, mentions)) {
      mentions.rows.add(text(alias.aliasname) || text(alias.ctename));
      for (const name of names(alias.colnames ?? alias.aliascolnames)) mentions.masked.add(name);
    }
  }
  for (const field in value) spreadOnce(value[field], '', mentions);
}

/** A name of a masked column, or of a row with one, or `*`. */
function mentionsAny(value: unknown, mentions: Mentions): boolean {
  if (Array.isArray(value)) return value.some((item) => mentionsAny(item, mentions));
  if (!isFields(value)) return false;
  const found = unwrap(value);
  if (found?.type === 'ColumnRef') {
    const last = names(found.node.fields).at(-1) ?? '*';
    return last === '*' || mentions.masked.has(last) || mentions.rows.has(last);
  }
  for (const field in value) if (mentionsAny(value[field], mentions)) return true;
  return false;
}

function decided(value: unknown, type: string, mentions: Mentions, decides: boolean): string | null {
  if (Array.isArray(value)) return first(value, (item) => decided(item, '', mentions, decides));
  if (!isFields(value)) return null;
  const wrapped = type === '' ? unwrap(value) : null;
  if (wrapped !== null) return decided(wrapped.node, wrapped.type, mentions, decides);
  if (type === 'ColumnRef') {
    const last = names(value.fields).at(-1) ?? '*';
    return decides && (mentions.masked.has(last) || mentions.rows.has(last)) ? `something is decided by ${last}` : null;
  }
  if (type === 'SelectStmt') {
    const found = decidedByPlace(value, mentions);
    if (found !== null) return found;
  }
  const here = decides || DECISIONS.has(type) || (type === 'A_Expr' && compares(value));
  return first(Object.keys(value), (field) => decided(value[field], '', mentions, here || DECIDING.has(`${type}.${field}`)));
}

/** DISTINCT and set operations decide by all that is shown; ORDER BY 2 and GROUP BY 2 by the second. */
function decidedByPlace(select: Fields, mentions: Mentions): string | null {
  const targets = list(select.targetList);
  const setOperation = text(select.op) !== '' && text(select.op) !== 'SETOP_NONE' && select.all !== true;
  if (setOperation && mentionsAny([fields(select.larg).targetList, fields(select.rarg).targetList], mentions))
    return 'a set operation tells rows apart by a masked column';
  if (list(select.distinctClause).length > 0 && mentionsAny(targets, mentions)) return 'DISTINCT tells rows apart by a masked column';
  for (const item of [...list(select.sortClause), ...list(select.groupClause)]) {
    const sort = unwrap(item);
    const constant = unwrap(sort?.type === 'SortBy' ? sort.node.node : item);
    if (constant?.type !== 'A_Const' || !isFields(constant.node.ival)) continue;
    const place = numeric(constant.node.ival.ival);
    if (mentionsAny(targets[place - 1] ?? targets, mentions)) return `rows are ordered or grouped by column ${place}`;
  }
  return null;
}

function compares(node: Fields): boolean {
  return text(node.kind) !== 'AEXPR_OP' || /[<>=~!@&]/.test(names(node.name).at(-1) ?? '=');
}

function first<T>(items: readonly T[], find: (item: T) => string | null): string | null {
  for (const item of items) {
    const found = find(item);
    if (found !== null) return found;
  }
  return null;
}
