/** A statement that changes data and names a relation with masked columns: such a relation may only be a target that is given literals and parameters. */
import { asNode, constant, type Fields, fields, isFields, list, names, numeric, text } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import type { Refusal } from './analyse.ts';
import type { Relation } from './catalog.ts';
import { looksLikeMask } from './placeholder.ts';
import { type Resolver, resolveRelation } from './resolve.ts';
import { refusal } from './vet.ts';
import type { MaskedCatalog } from './world.ts';

export interface WriteFinding {
  readonly refusal: Refusal | null;
  /** `$n` that go to a masked column. */
  readonly parameters: readonly number[];
}

const NOTHING: WriteFinding = { refusal: null, parameters: [] };

export function vetWrites(world: MaskedCatalog, at: Resolver, facts: StatementFacts): WriteFinding {
  if (facts.writers.length === 0) return NOTHING;
  const targets: { readonly writer: StatementFacts['writers'][number]; readonly relation: Relation }[] = [];
  for (const fact of facts.relations) {
    const relation = resolveRelation(at, fact);
    if (relation === null || !world.touchesMasked(relation)) continue;
    const writer = facts.writers.find((item) => item.node.relation === fact.node);
    if (writer === undefined) return refuse(`${relation.name} has masked columns and is read by a statement that changes data`);
    if (relation.kind === 'View') return refuse(`view ${relation.name} reads masked columns and can't be written through`);
    if (writer.type === 'MergeStmt') return refuse(`MERGE into ${relation.name}, which has masked columns`);
    targets.push({ writer, relation });
  }
  if (targets.length === 0) return NOTHING;
  const masked = new Set(targets.flatMap(({ relation }) => [...world.maskedColumns(relation).keys()]));
  const found = vetMentions(facts, masked, rowNames(targets));
  if (found !== null) return { refusal: found, parameters: [] };
  const parameters: number[] = [];
  for (const { writer, relation } of targets) {
    const why = vetAssignments(writer, relation, new Set(world.maskedColumns(relation).keys()), parameters);
    if (why !== null) return refuse(why);
  }
  return { refusal: null, parameters };
}

/** Names that stand for a whole row of the target. */
function rowNames(targets: readonly { readonly writer: { readonly node: Fields }; readonly relation: Relation }[]): ReadonlySet<string> {
  const found = new Set(['excluded', 'old', 'new']);
  for (const { writer, relation } of targets) {
    found.add(relation.name);
    found.add(text(fields(fields(writer.node.relation).alias).aliasname));
  }
  return found;
}

/** Anywhere in the statement, so that no way of reaching the column has to be told from another. */
function vetMentions(facts: StatementFacts, masked: ReadonlySet<string>, rows: ReadonlySet<string>): Refusal | null {
  for (const column of facts.columns) {
    const last = names(column.fields).at(-1) ?? '*';
    if (last === '*' || masked.has(last) || rows.has(last)) {
      return refusal('NotRewritable', `a statement that changes a relation with masked columns mentions ${last}`);
    }
  }
  for (const column of facts.usingColumns) {
    if (column === '*' || masked.has(column))
      return refusal('NotRewritable', `a statement that changes a relation with masked columns joins by ${column}`);
  }
  return null;
}

function vetAssignments(
  writer: { readonly type: string; readonly node: Fields },
  relation: Relation,
  masked: ReadonlySet<string>,
  parameters: number[],
): string | null {
  const { node } = writer;
  if (isFields(node.returningClause) && list(node.returningClause.options).length > 0) return 'RETURNING WITH is not supported here';
  const conflict = fields(node.onConflictClause);
  const infer = fields(conflict.infer);
  if (text(infer.conname) !== '') return 'ON CONFLICT ON CONSTRAINT of a relation with masked columns';
  for (const element of list(infer.indexElems)) {
    const name = text(fields(asNode(element, 'IndexElem')).name);
    if (masked.has(name)) return `ON CONFLICT by the masked column ${name}`;
  }
  const inserted = writer.type === 'InsertStmt' ? vetInserted(node, relation, masked, parameters) : null;
  return inserted ?? vetTargets(writer.type === 'UpdateStmt' ? node.targetList : conflict.targetList, masked, parameters);
}

function vetInserted(node: Fields, relation: Relation, masked: ReadonlySet<string>, parameters: number[]): string | null {
  const given = list(node.cols).map((item) => asNode(item, 'ResTarget') ?? {});
  const columns = given.length > 0 ? given.map((item) => text(item.name)) : relation.columns.map((column) => column.name);
  if (given.some((item) => masked.has(text(item.name)) && list(item.indirection).length > 0)) return 'a part of a masked column is written';
  if (node.selectStmt === undefined || !columns.some((name) => masked.has(name))) return null;
  const rows = list(fields(asNode(node.selectStmt, 'SelectStmt')).valuesLists);
  if (rows.length === 0) return `a masked column of ${relation.name} is given the result of a query`;
  for (const row of rows) {
    for (const [index, value] of list(fields(asNode(row, 'List')).items).entries()) {
      const name = columns[index];
      if (name === undefined || !masked.has(name)) continue;
      const why = vetGiven(name, value, parameters);
      if (why !== null) return why;
    }
  }
  return null;
}

function vetTargets(targetList: unknown, masked: ReadonlySet<string>, parameters: number[]): string | null {
  for (const item of list(targetList)) {
    const target = asNode(item, 'ResTarget') ?? {};
    const name = text(target.name);
    if (!masked.has(name)) continue;
    if (list(target.indirection).length > 0) return `a part of the masked column ${name} is written`;
    const why = vetGiven(name, target.val, parameters);
    if (why !== null) return why;
  }
  return null;
}

/** A literal, a parameter, DEFAULT, or a cast of one. */
function vetGiven(name: string, value: unknown, parameters: number[]): string | null {
  const cast = asNode(value, 'TypeCast');
  if (cast !== null) return vetGiven(name, cast.arg, parameters);
  const parameter = asNode(value, 'ParamRef');
  if (parameter !== null) {
    parameters.push(numeric(parameter.number));
    return null;
  }
  if (asNode(value, 'SetToDefault') !== null) return null;
  if (asNode(value, 'A_Const') === null) return `the masked column ${name} is given an expression`;
  return looksLikeMask(constant(value) ?? '') ? `the masked column ${name} is given what the mask itself shows` : null;
}

function refuse(message: string): WriteFinding {
  return { refusal: refusal('NotRewritable', message), parameters: [] };
}
