/**
 * A statement that changes data and names a relation with masked columns: such a relation may only be a target that is given literals and parameters,
 * and be shown, masked, by RETURNING.
 */
import { asNode, constant, type Fields, fields, isFields, list, names, numeric, text, unwrap } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import type { Refusal } from './analyse.ts';
import type { Relation } from './catalog.ts';
import { copyForm } from './copy-form.ts';
import type { CopyIn } from './copy-in.ts';
import { copiedColumns } from './copy-table.ts';
import { looksLikeMask } from './placeholder.ts';
import { type Resolver, resolveRelation } from './resolve.ts';
import { callsWithRow, maskReturning, rowNames, type Writer } from './returning.ts';
import { refusal } from './vet.ts';
import { namesMasked } from './vet-predicates.ts';
import type { MaskedCatalog } from './world.ts';

export interface WriteFinding {
  readonly refusal: Refusal | null;
  /** `$n` that go to a masked column. */
  readonly parameters: readonly number[];
  /** What COPY FROM STDIN gives to masked columns. */
  readonly copyIn: CopyIn | null;
}

const NOTHING: WriteFinding = { refusal: null, parameters: [], copyIn: null };

export interface WriteTarget {
  readonly writer: Writer;
  readonly relation: Relation;
}

/** The relations with masked columns that the statement changes. */
export function maskedTargets(world: MaskedCatalog, at: Resolver, facts: StatementFacts): readonly WriteTarget[] {
  return facts.writers.flatMap((writer): WriteTarget[] => {
    const fact = facts.relations.find((item) => item.node === writer.node.relation);
    const relation = fact === undefined ? null : resolveRelation(at, fact);
    return relation !== null && world.touchesMasked(relation) ? [{ writer, relation }] : [];
  });
}

export function vetWrites(world: MaskedCatalog, at: Resolver, facts: StatementFacts): WriteFinding {
  if (facts.type === 'CopyStmt' && facts.node.is_from === true) return vetCopyFrom(world, at, facts);
  if (facts.writers.length === 0) return NOTHING;
  for (const fact of facts.relations) {
    const relation = resolveRelation(at, fact);
    if (relation === null || !world.touchesMasked(relation)) continue;
    if (!facts.writers.some((item) => item.node.relation === fact.node)) {
      // The sub-select stands there as in any query. What is masked is not written elsewhere, not even its mask.
      const mentioned = namesMasked(world, at, facts);
      if (mentioned === null) continue;
      return refuse(`${relation.name} has masked columns and is read by a statement that changes data and mentions ${mentioned}`);
    }
    if (relation.kind === 'View') return refuse(`view ${relation.name} reads masked columns and can't be written through`);
  }
  const parameters: number[] = [];
  for (const target of maskedTargets(world, at, facts)) {
    const why = vetTarget(world, facts, target, parameters);
    if (why !== null) return refuse(why);
  }
  return { refusal: null, parameters, copyIn: null };
}

/** In a form that can be read, so that no mask is written back. */
function vetCopyFrom(world: MaskedCatalog, at: Resolver, facts: StatementFacts): WriteFinding {
  const fact = facts.relations.find(({ role }) => role === 'CopyFrom');
  const relation = fact === undefined ? null : resolveRelation(at, fact);
  if (relation === null || !world.touchesMasked(relation)) return NOTHING;
  if (facts.node.whereClause !== undefined) return refuse(`COPY FROM … WHERE into ${relation.name}, which has masked columns`);
  const columns = copiedColumns(facts, relation);
  if (typeof columns === 'string') return refuse(columns);
  const form = copyForm(facts);
  if (typeof form === 'string') return refuse(`COPY FROM into ${relation.name}, which has masked columns, with the option ${form}`);
  if (form.format === 'binary') return refuse(`COPY FROM into ${relation.name}, which has masked columns, in the binary format`);
  const names = world.maskedColumns(relation);
  const masked = [...columns.entries()].flatMap(([index, name]) => (names.has(name) ? [index] : []));
  const { format, delimiter, header } = form;
  return { refusal: null, parameters: [], copyIn: masked.length === 0 ? null : { csv: format === 'csv', delimiter, header, masked } };
}

function vetTarget(world: MaskedCatalog, facts: StatementFacts, { writer, relation }: WriteTarget, parameters: number[]): string | null {
  const masked = new Set(world.maskedColumns(relation).keys());
  const returning = maskReturning(world, writer, relation);
  if (typeof returning === 'string') return `${returning}: it can't be masked there`;
  if (returning.replacements.length > 0 && !isOutermost(facts, writer.node) && (facts.writers.length > 1 || facts.kinds.includes('Create')))
    return 'what RETURNING shows of masked columns is written elsewhere';
  const given: Given = { masked, parameters, excluded: new Set() };
  return vetAssignments(writer, relation, given) ?? vetMentions(facts, { writer, relation }, masked, given.excluded);
}

/** What a query shows of a table that stays in its place. */
export function vetShown(world: MaskedCatalog, facts: StatementFacts, target: WriteTarget): string | null {
  const shown = maskReturning(world, target.writer, target.relation);
  if (typeof shown === 'string') return `${shown}: it can't be masked there`;
  return vetMentions(facts, target, new Set(world.maskedColumns(target.relation).keys()), new Set());
}

/** Its rows go to the client, and nowhere else. */
function isOutermost(facts: StatementFacts, node: Fields): boolean {
  return facts.node === node || unwrap(facts.node.query)?.node === node;
}

/** Anywhere in the statement but in RETURNING, so that no way of reaching the column has to be told from another. */
function vetMentions(
  facts: StatementFacts,
  { writer, relation }: WriteTarget,
  masked: ReadonlySet<string>,
  excluded: ReadonlySet<Fields>,
): string | null {
  const rows = rowNames(writer, relation);
  const { returningClause: _, ...others } = writer.node;
  const parts = first(namesWithin(others, excluded), (found) => {
    const last = found.at(-1) ?? '*';
    return last === '*' || masked.has(last) || rows.has(last) || callsWithRow(found, rows, relation) ? last : null;
  });
  const what = writer.type === 'SelectStmt' ? 'locks rows of' : 'changes';
  if (parts !== null) return `a statement that ${what} a relation with masked columns mentions ${parts}`;
  const using = facts.usingColumns.find((column) => column === '*' || masked.has(column));
  return using === undefined ? null : `a statement that ${what} a relation with masked columns joins by ${using}`;
}

/** The names of all column references, and of the fields that are taken from something else, with nothing before these. */
function namesWithin(value: unknown, except: ReadonlySet<Fields>): readonly (readonly string[])[] {
  if (Array.isArray(value)) return value.flatMap((item) => namesWithin(item, except));
  if (!isFields(value)) return [];
  const found = unwrap(value);
  if (found?.type === 'ColumnRef') return except.has(found.node) ? [] : [names(found.node.fields)];
  const inside = Object.values(found?.node ?? value).flatMap((item) => namesWithin(item, except));
  if (found?.type !== 'A_Indirection') return inside;
  const taken = list(found.node.indirection).filter((part) => asNode(part, 'A_Indices') === null);
  return [...inside, ...taken.map((part) => names([part]))];
}

/** What may be written into which columns, and what of it was found. */
interface Given {
  readonly masked: ReadonlySet<string>;
  readonly parameters: number[];
  /** References to what an INSERT itself proposed for the column that they are given to. */
  readonly excluded: Set<Fields>;
}

function vetAssignments(writer: Writer, relation: Relation, given: Given): string | null {
  const { node } = writer;
  if (writer.type === 'MergeStmt') return first(list(node.mergeWhenClauses), (clause) => vetMergeClause(clause, relation, given));
  const conflict = fields(node.onConflictClause);
  const infer = fields(conflict.infer);
  // Whatever value is there already would be told from one that is not, and no error would be seen.
  if (isFields(node.onConflictClause) && !isFields(conflict.infer))
    return 'ON CONFLICT of a relation with masked columns: name the columns that decide';
  if (text(infer.conname) !== '') return 'ON CONFLICT ON CONSTRAINT of a relation with masked columns';
  for (const element of list(infer.indexElems)) {
    const name = text(fields(asNode(element, 'IndexElem')).name);
    if (given.masked.has(name)) return `ON CONFLICT by the masked column ${name}`;
  }
  const inserted = writer.type === 'InsertStmt' ? vetInserted(node, relation, given) : null;
  return inserted ?? vetTargets(writer.type === 'UpdateStmt' ? node.targetList : conflict.targetList, given);
}

function vetMergeClause(clause: unknown, relation: Relation, given: Given): string | null {
  const { commandType, targetList, values } = fields(asNode(clause, 'MergeWhenClause'));
  if (text(commandType) === 'CMD_UPDATE') return vetTargets(targetList, given);
  if (text(commandType) !== 'CMD_INSERT') return null;
  const columns = columnsOf(targetList, relation, given);
  return typeof columns === 'string' ? columns : vetRow(columns, list(values), given);
}

function vetInserted(node: Fields, relation: Relation, given: Given): string | null {
  const columns = columnsOf(node.cols, relation, given);
  if (typeof columns === 'string') return columns;
  if (node.selectStmt === undefined || !columns.some((name) => given.masked.has(name))) return null;
  const select = fields(asNode(node.selectStmt, 'SelectStmt'));
  const rows = list(select.valuesLists);
  if (rows.length > 0) return first(rows, (row) => vetRow(columns, list(fields(asNode(row, 'List')).items), given));
  // A query that gives a constant to the column.
  const targets = list(select.targetList).map((target) => fields(asNode(target, 'ResTarget')).val);
  const isStar = (value: unknown): boolean =>
    names(asNode(value, 'ColumnRef')?.fields).at(-1) === '*' || asNode(value, 'A_Indirection') !== null;
  if (targets.length === 0 || text(select.op) !== 'SETOP_NONE' || targets.some(isStar))
    return `a masked column of ${relation.name} is given the result of a query`;
  return vetRow(columns, targets, given);
}

/** The columns that are given a value, in order. */
function columnsOf(written: unknown, relation: Relation, { masked }: Given): readonly string[] | string {
  const targets = list(written).map((item) => asNode(item, 'ResTarget') ?? {});
  if (targets.some((item) => masked.has(text(item.name)) && list(item.indirection).length > 0))
    return 'a part of a masked column is written';
  return targets.length > 0 ? targets.map((item) => text(item.name)) : relation.columns.map((column) => column.name);
}

function vetRow(columns: readonly string[], values: readonly unknown[], given: Given): string | null {
  return first(columns, (name, index) => (given.masked.has(name) && index < values.length ? vetGiven(name, values[index], given) : null));
}

function vetTargets(targetList: unknown, given: Given): string | null {
  return first(list(targetList), (item) => {
    const target = asNode(item, 'ResTarget') ?? {};
    const name = text(target.name);
    if (!given.masked.has(name)) return null;
    return list(target.indirection).length > 0 ? `a part of the masked column ${name} is written` : vetGiven(name, target.val, given);
  });
}

/** A literal, a parameter, DEFAULT, or a cast of one; of ON CONFLICT what the INSERT proposed for the same column. */
function vetGiven(name: string, value: unknown, given: Given): string | null {
  const found = unwrap(value);
  switch (found?.type) {
    case 'TypeCast':
      return vetGiven(name, found.node.arg, given);
    case 'ParamRef':
      given.parameters.push(numeric(found.node.number));
      return null;
    case 'SetToDefault':
      return null;
    case 'A_Const':
      return looksLikeMask(constant(value) ?? '') ? `the masked column ${name} is given what the mask itself shows` : null;
    case 'ColumnRef':
      if (names(found.node.fields).join('\0') !== `excluded\0${name}`) break;
      given.excluded.add(found.node);
      return null;
    case 'MultiAssignRef': {
      // (a, b) = (1, 2)
      const row = asNode(found.node.source, 'RowExpr');
      if (row === null) break;
      return vetGiven(name, list(row.args)[numeric(found.node.colno) - 1], given);
    }
    case undefined:
      break;
  }
  return `the masked column ${name} is given an expression`;
}

function first<T>(items: readonly T[], find: (item: T, index: number) => string | null): string | null {
  for (const [index, item] of items.entries()) {
    const found = find(item, index);
    if (found !== null) return found;
  }
  return null;
}

function refuse(message: string): WriteFinding {
  return { refusal: refusal('NotRewritable', message), parameters: [], copyIn: null };
}
