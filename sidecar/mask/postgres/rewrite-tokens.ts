/**
 * Which output columns of a statement are proved to be a masked column as it is, so that the server may give them in clear and the sidecar puts a
 * token in their place. Everything else in the statement goes on meeting the placeholder.
 *
 * The sub-select that stands for the relation gets one more column, of a name that the statement can't say, and only the output column reads it. So
 * nothing in the statement may see all columns of the relation without naming them: whole-row references, stars that are not written out, natural
 * joins, column aliases. Where one of these is there, or anything that is not understood, the column stays the placeholder.
 */
import { asNode, type Fields, fields, isFields, list, names, numeric, text, unwrap } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { TOKEN, type Token } from '#sidecar/wire/postgres/sql/parse.ts';
import type { Column, Relation } from './catalog.ts';
import { FIRST_USER_OID } from './catalog-queries.ts';
import { candidateFunctions, type Resolver, resolveRelation } from './resolve.ts';
import { baseType } from './rewrite-expression.ts';
import { HIDDEN, type Item, type Output, rewriteOf, type TokenRewrite } from './rewrite-tokens-text.ts';
import { cellOf } from './token-types.ts';
import type { MaskedCatalog } from './world.ts';

export interface TokenFindings {
  readonly rewrite: TokenRewrite | null;
  /** Columns whose strategy has no form in their type. */
  readonly unfit: readonly string[];
  /** It depends on an integer of the text which output column is meant. */
  readonly dependsOnIntegers: boolean;
}

export const NO_TOKENS: TokenFindings = { rewrite: null, unfit: [], dependsOnIntegers: false };

/** `code` is the text's tokens without comments. */
export function findTokens(world: MaskedCatalog, at: Resolver, sql: string, code: readonly Token[], facts: StatementFacts): TokenFindings {
  const select = selectOf(facts);
  if (select === null || !isPlain(select) || sql.toLowerCase().includes(HIDDEN)) return NO_TOKENS;
  if (code.some((token) => token.type === TOKEN.uident)) return NO_TOKENS;
  // A function of the database could fetch from the cursor by its name.
  if (facts.type === 'DeclareCursorStmt' && world.mask.functions.size > 0) return NO_TOKENS;
  const items = itemsOf(at, facts, select);
  const unfit: string[] = [];
  for (const item of items) if (item.relation !== null) findFit(world, item, item.relation, unfit);
  if (!items.some((item) => item.fit.size > 0)) return { ...NO_TOKENS, unfit };
  const targets = list(select.targetList).map((target) => asNode(target, 'ResTarget'));
  spoil(items, facts, targets);
  const sorts = list(select.sortClause);
  const found = hasAggregate(at, sorts) ? null : outputsOf(at, items, targets);
  if (found === null) return { ...NO_TOKENS, unfit };
  const sorted = removeSorted(found, sorts);
  const rewrite = found.some((output) => output.token !== null) ? rewriteOf(found, facts, select, code) : null;
  return { rewrite, unfit, dependsOnIntegers: sorted };
}

/** The query whose rows go to the client; null where there is none. */
function selectOf(facts: StatementFacts): Fields | null {
  switch (facts.type) {
    case 'SelectStmt':
      return facts.node;
    case 'CopyStmt':
    case 'PrepareStmt':
    case 'DeclareCursorStmt':
      return asNode(facts.node.query, 'SelectStmt');
    default:
      return null;
  }
}

const NOT_PLAIN = [
  'distinctClause',
  'groupClause',
  'groupByAll',
  'groupDistinct',
  'havingClause',
  'windowClause',
  'valuesLists',
  'intoClause',
  'lockingClause',
  'larg',
  'rarg',
];

function isPlain(select: Fields): boolean {
  return text(select.op) === 'SETOP_NONE' && NOT_PLAIN.every((name) => select[name] === undefined);
}

function itemsOf(at: Resolver, facts: StatementFacts, select: Fields): readonly Item[] {
  const items: Item[] = [];
  for (const entry of list(select.fromClause)) addItems(at, facts, entry, false, items);
  return items;
}

function addItems(at: Resolver, facts: StatementFacts, entry: unknown, merged: boolean, out: Item[]): void {
  const join = asNode(entry, 'JoinExpr');
  if (join !== null && join.isNatural !== true && join.alias === undefined && join.join_using_alias === undefined) {
    const inner = merged || list(join.usingClause).length > 0;
    addItems(at, facts, join.larg, inner, out);
    addItems(at, facts, join.rarg, inner, out);
    return;
  }
  const node = asNode(entry, 'RangeVar');
  const fact = node === null ? undefined : facts.relations.find((one) => one.node === node && one.role === 'From');
  const relation = fact === undefined ? null : resolveRelation(at, fact);
  const alias = fields(node?.alias);
  const plainAlias = list(alias.colnames).length === 0;
  if (node === null || relation === null || !plainAlias || relation.oid < FIRST_USER_OID) {
    out.push({ node: null, alias: '', relation: null, known: false, fit: new Map(), merged });
    return;
  }
  const name = text(alias.aliasname) === '' ? text(node.relname) : text(alias.aliasname);
  out.push({ node, alias: name, relation, known: relation.columns.length > 0, fit: new Map(), merged });
}

function findFit(world: MaskedCatalog, item: Item, relation: Relation, unfit: string[]): void {
  if (relation.columns.some((column) => column.name.includes(HIDDEN))) return;
  for (const [name, token] of fitColumns(world, relation, unfit)) item.fit.set(name, token);
}

/** Columns that may leave as tokens, by name. Of a table, not of a view: what a view shows may be anything. */
export function fitColumns(world: MaskedCatalog, relation: Relation, unfit: string[]): Item['fit'] {
  const fit: Item['fit'] = new Map();
  if (relation.kind !== 'Table' && relation.kind !== 'Partitioned') return fit;
  for (const column of relation.columns) {
    const strategy = world.maskedColumns(relation).get(column.name)?.strategy;
    if (strategy?.type !== 'Token' && strategy?.type !== 'FormatPreserving') continue;
    // The server would refuse the whole statement.
    if (!column.readable) continue;
    const { type, typmod } = baseType(world.catalog, column);
    const cell = type === null ? null : cellOf(world.catalog, type, typmod, strategy.type);
    if (type === null || cell === null) {
      unfit.push(`${strategy.type} has no form in the type ${type?.name ?? '?'} of ${relation.schema}.${relation.name}.${column.name}`);
      continue;
    }
    fit.set(column.name, { table: relation.oid, attribute: column.attnum, dataType: type.oid, cell, strategy });
  }
  return fit;
}

/** Items that something in the statement, at any depth, sees as a whole. What stands in the target list itself is written out instead. */
function spoil(items: readonly Item[], facts: StatementFacts, targets: readonly (Fields | null)[]): void {
  const own = new Set(targets.map((target) => asNode(target?.val, 'ColumnRef')));
  const aliases = items.flatMap((item) => (item.alias === '' ? [] : [item.alias]));
  if (new Set(aliases).size < aliases.length) for (const item of items) item.fit.clear();
  // A name may be an item's in another depth of the statement: then it is spoilt for nothing.
  const named = new Map(items.map((item) => [item.alias, item]));
  for (const column of facts.columns) {
    const parts = names(column.fields);
    const last = parts.at(-1) ?? '';
    if (last === '*') {
      if (!own.has(column)) for (const part of parts) named.get(part)?.fit.clear();
      continue;
    }
    named.get(last)?.fit.clear();
    // `row.name` is a call of the function `name` with the whole row where the row has no such column.
    const of = named.get(parts.at(-2) ?? '');
    if (of?.relation?.columns.every((one) => one.name !== last) === true) of.fit.clear();
  }
}

/** The output columns in order; null where they can't be told. */
function outputsOf(at: Resolver, items: readonly Item[], targets: readonly (Fields | null)[]): Output[] | null {
  const outputs: Output[] = [];
  for (const target of targets) {
    if (target === null || hasAggregate(at, target.val)) return null;
    const reference = asNode(target.val, 'ColumnRef');
    const parts = reference === null ? [] : names(reference.fields);
    if (parts.at(-1) === '*') {
      const starred = parts.length === 1 ? items : parts.length === 2 ? items.filter((item) => item.alias === parts[0]) : [];
      if (starred.length === 0 || starred.some((item) => !item.known || (parts.length === 1 && item.merged))) return null;
      for (const item of starred) {
        for (const column of item.relation?.columns ?? []) outputs.push(outputOf(target, column.name, { item, column }));
      }
      continue;
    }
    outputs.push(outputOf(target, text(target.name) || (parts.at(-1) ?? ''), columnOf(items, parts)));
  }
  return outputs;
}

function outputOf(target: Fields, name: string, from: Output['from']): Output {
  return { target, name, from, token: from?.item.fit.get(from.column.name) ?? null };
}

function columnOf(items: readonly Item[], parts: readonly string[]): { readonly item: Item; readonly column: Column } | null {
  const [first = '', second] = parts;
  if (parts.length === 0 || parts.length > 2) return null;
  // An unqualified name is one of all items, of which each must be known, and no join may have merged two columns into one.
  if (second === undefined && items.some((item) => !item.known || item.merged)) return null;
  const among = second === undefined ? items : items.filter((item) => item.alias === first);
  const found = among.flatMap((item) => {
    const column = item.relation?.columns.find((one) => one.name === (second ?? first));
    return column === undefined ? [] : [{ item, column }];
  });
  return found.length === 1 ? (found[0] ?? null) : null;
}

/** Beside an aggregate a plain column is an error, and the server would name it as we do. */
function hasAggregate(at: Resolver, value: unknown): boolean {
  if (Array.isArray(value)) return value.some((item) => hasAggregate(at, item));
  if (!isFields(value)) return false;
  const found = unwrap(value);
  if (found?.type === 'SubLink') return false;
  if (found?.type === 'FuncCall' && found.node.over === undefined) {
    const parts = names(found.node.funcname);
    const name = { schema: parts.length > 1 ? (parts.at(-2) ?? '') : '', name: parts.at(-1) ?? '' };
    if (candidateFunctions(at, name).some((item) => item.kind === 'Aggregate')) return true;
  }
  return Object.values(value).some((item) => hasAggregate(at, item));
}

/** Sorting by an output column sorts by what is in it: then it is the placeholder. True where an integer says which column is meant. */
function removeSorted(outputs: Output[], sorts: readonly unknown[]): boolean {
  let byPosition = false;
  for (const sort of sorts) {
    const by = asNode(sort, 'SortBy')?.node;
    const position = fields(asNode(by, 'A_Const')?.ival).ival;
    const parts = names(asNode(by, 'ColumnRef')?.fields);
    if (position !== undefined) byPosition = true;
    for (const [index, output] of outputs.entries()) {
      if (numeric(position) === index + 1 || (parts.length === 1 && parts[0] === output.name)) output.token = null;
    }
  }
  return byPosition;
}
