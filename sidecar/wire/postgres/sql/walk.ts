import type { StatementKind } from '#crds/policy/action.ts';
import { asNode, type Fields, fields, isFields, list, names, text, unwrap } from './ast.ts';
import type { RelationFact, RelationRole, StatementFacts, WrittenName } from './facts.ts';
import { BARE_FIELDS, CLAUSE_NODES, STATEMENT_NODES, SYNTAX_FUNCTIONS } from './nodes.ts';
import { parseLimits } from './parse-limits.ts';
import { analyzes, createsRelation, kindOf, missesWhere, opaqueParts } from './statements.ts';

/** Names of CTEs that a FROM clause can see, innermost first. */
interface Scope {
  readonly names: ReadonlySet<string>;
  readonly outer: Scope | null;
}

interface Place {
  readonly scope: Scope | null;
  readonly role: RelationRole;
  readonly owner: Fields;
  readonly sampled: boolean;
  readonly planned: boolean;
  readonly depth: number;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] extends readonly (infer E)[] ? E[] : T[K] };
type Collected = Omit<Mutable<StatementFacts>, 'kinds'> & { kinds: Set<StatementKind> };

export function walkStatement(stmt: Fields): StatementFacts {
  const found = unwrap(stmt);
  const type = found?.type ?? 'nothing';
  const node = found?.node ?? {};
  const out: Collected = {
    type,
    node,
    kind: kindOf(type, node),
    kinds: new Set(),
    relations: [],
    functions: [],
    operators: [],
    types: [],
    columns: [],
    usingColumns: [],
    settings: [],
    writers: [],
    acts: [],
    cursors: [],
    locking: false,
    serverFile: false,
    missingWhere: false,
    opaque: [],
    unknown: found === null ? ['nothing'] : [],
  };
  out.kinds.add(out.kind);
  if (found !== null) visitNode(out, type, node, { scope: null, role: 'Write', owner: node, sampled: false, planned: false, depth: 0 });
  if (out.unknown.length > 0) out.kinds.add('Other');
  return { ...out, kinds: [...out.kinds] };
}

function visitValue(out: Collected, parent: string, field: string, value: unknown, place: Place): void {
  if (Array.isArray(value)) {
    for (const item of value) visitValue(out, parent, field, item, place);
    return;
  }
  if (!isFields(value)) return;
  const wrapped = unwrap(value);
  if (wrapped !== null) return visitNode(out, wrapped.type, wrapped.node, place);
  const bare = BARE_FIELDS.get(`${parent}.${field}`) ?? BARE_FIELDS.get(field);
  if (bare !== undefined) return visitNode(out, bare, value, place);
  // An empty object stands for an absent element, as in plain DISTINCT.
  if (Object.keys(value).length > 0) out.unknown.push(`${parent}.${field}`);
}

function visitFields(out: Collected, type: string, node: Fields, place: Place, except?: string): void {
  for (const field in node) {
    const value = node[field];
    if (typeof value === 'object' && field !== except) visitValue(out, type, field, value, place);
  }
}

function visitNode(out: Collected, type: string, node: Fields, outer: Place): void {
  if (outer.depth > parseLimits.maxDepth) throw new RangeError('nested too deeply');
  const place: Place = { ...outer, depth: outer.depth + 1 };
  if (STATEMENT_NODES.has(type)) return visitStatement(out, type, node, place);
  if (!CLAUSE_NODES.has(type)) {
    out.unknown.push(type);
    return;
  }
  const syntax = type === 'JsonFuncExpr' ? text(node.op).toLowerCase().replace(/_op$/, '') : SYNTAX_FUNCTIONS.get(type);
  if (syntax !== undefined) out.functions.push({ schema: '', name: syntax, node, syntax: true });
  switch (type) {
    case 'RangeVar':
      return addRelation(out, node, place);
    case 'RangeTableSample':
      return visitFields(out, type, node, { ...place, sampled: true });
    case 'JoinExpr':
      out.usingColumns.push(...names(node.usingClause));
      if (node.isNatural === true) out.usingColumns.push('*');
      return visitFields(out, type, node, place);
    case 'FuncCall':
      out.functions.push({ ...writtenName(node.funcname), node, syntax: false });
      return visitFields(out, type, node, place);
    case 'A_Expr':
      addOperators(out, node);
      return visitFields(out, type, node, place);
    case 'SubLink':
      if (node.operName !== undefined) out.operators.push(writtenName(node.operName));
      return visitFields(out, type, node, place);
    case 'SortBy':
      if (node.useOp !== undefined) out.operators.push(writtenName(node.useOp));
      return visitFields(out, type, node, place);
    case 'TypeName':
      if (list(node.names).length > 0) out.types.push(writtenName(node.names));
      return visitFields(out, type, node, place);
    case 'ColumnRef':
      out.columns.push(node);
      return;
    case 'A_Indirection':
      // (row).name: told as a column, with what it is taken from left out.
      out.columns.push({ fields: [{ String: { sval: '' } }, ...list(node.indirection)] });
      return visitFields(out, type, node, place);
    case 'CurrentOfExpr':
      out.cursors.push(text(node.cursor_name));
      return;
    case 'LockingClause':
      // lockedRels are names of FROM items, not of relations.
      out.locking = true;
      out.acts.push({ type, node, planned: place.planned });
      return;
    default:
      return visitFields(out, type, node, place);
  }
}

function visitStatement(out: Collected, type: string, node: Fields, outer: Place): void {
  if (type !== 'SelectStmt' || !isPlainValues(node)) out.kinds.add(kindOf(type, node));
  out.missingWhere ||= missesWhere(type, node);
  out.opaque.push(...opaqueParts(type, node));
  out.acts.push({ type, node, planned: outer.planned });
  const planned = outer.planned || (type === 'ExplainStmt' && !analyzes(node));
  const place: Place = { ...outer, role: 'Write', owner: node, sampled: false, planned };
  switch (type) {
    case 'SelectStmt':
      return visitQuery(out, type, node, place, 'fromClause');
    case 'InsertStmt':
      out.writers.push({ type, node });
      return visitQuery(out, type, node, place, null);
    case 'UpdateStmt':
      out.writers.push({ type, node });
      return visitQuery(out, type, node, place, 'fromClause');
    case 'DeleteStmt':
      out.writers.push({ type, node });
      return visitQuery(out, type, node, place, 'usingClause');
    case 'MergeStmt':
      out.writers.push({ type, node });
      return visitQuery(out, type, node, place, 'sourceRelation');
    case 'CopyStmt':
      if (text(node.filename) !== '' || node.is_program === true) {
        out.serverFile = true;
        out.kinds.add('Other');
        out.opaque.push('a file or program of the server');
      }
      return visitFields(out, type, node, { ...place, role: node.is_from === true ? 'CopyFrom' : 'CopyTo' });
    case 'LockStmt':
      return visitFields(out, type, node, { ...place, role: 'Read' });
    case 'VariableSetStmt':
      out.settings.push(node);
      return visitFields(out, type, node, place);
    default:
      return visitFields(out, type, node, createsRelation(type) ? { ...place, role: 'Create' } : place);
  }
}

/** The VALUES of an INSERT are no query. */
function isPlainValues(node: Fields): boolean {
  return list(node.valuesLists).length > 0 && node.withClause === undefined;
}

/** A statement with a WITH clause of its own: its CTEs are seen by everything in it but the target. */
function visitQuery(out: Collected, type: string, node: Fields, place: Place, from: string | null): void {
  const scope = isFields(node.withClause) ? visitWith(out, node.withClause, place) : place.scope;
  const inner = { ...place, scope };
  for (const field in node) {
    const value = node[field];
    if (typeof value !== 'object' || field === 'withClause') continue;
    if (field === 'relation' && isFields(value)) addRelation(out, value, { ...place, scope: null, role: 'Target' });
    else if (field === 'intoClause') {
      out.kinds.add('Create');
      visitValue(out, type, field, value, { ...inner, scope: null, role: 'Create' });
    } else visitValue(out, type, field, value, field === from ? { ...inner, role: 'From' } : inner);
  }
}

/** WITH: each CTE sees those before it; WITH RECURSIVE: each sees all. */
function visitWith(out: Collected, clause: Fields, place: Place): Scope | null {
  const ctes = list(clause.ctes);
  let scope = place.scope;
  if (clause.recursive === true) {
    scope = { names: new Set(ctes.map((cte) => text(fields(asNode(cte, 'CommonTableExpr')).ctename))), outer: scope };
  }
  for (const cte of ctes) {
    visitValue(out, 'WithClause', 'ctes', cte, { ...place, scope });
    if (clause.recursive !== true) scope = { names: new Set([text(fields(asNode(cte, 'CommonTableExpr')).ctename)]), outer: scope };
  }
  return scope;
}

function addRelation(out: Collected, node: Fields, place: Place): void {
  const fact: RelationFact = {
    node,
    role: place.role === 'Create' && !isCreated(place.owner, node) ? 'Write' : place.role,
    database: text(node.catalogname),
    schema: text(node.schemaname),
    name: text(node.relname),
    sampled: place.sampled,
    owner: place.owner,
  };
  if (place.role === 'From' && fact.schema === '' && fact.database === '' && sees(place.scope, fact.name)) return;
  out.relations.push(fact);
}

/** The new relation itself; a referenced or inherited one is not. */
function isCreated(owner: Fields, node: Fields): boolean {
  const into = isFields(owner.into) ? owner.into : owner.intoClause;
  return [owner.relation, owner.view, owner.sequence, owner.typevar, fields(into).rel].includes(node);
}

function sees(scope: Scope | null, name: string): boolean {
  for (let at = scope; at !== null; at = at.outer) if (at.names.has(name)) return true;
  return false;
}

function addOperators(out: Collected, node: Fields): void {
  const kind = text(node.kind);
  if (kind.includes('BETWEEN')) {
    for (const name of ['<', '<=', '>=', '>']) out.operators.push({ schema: '', name });
    return;
  }
  out.operators.push(writtenName(node.name));
}

/** `name`, `schema.name` or `database.schema.name`. */
function writtenName(value: unknown): WrittenName {
  const parts = names(value);
  return { schema: parts.length > 1 ? (parts.at(-2) ?? '') : '', name: parts.at(-1) ?? '' };
}
