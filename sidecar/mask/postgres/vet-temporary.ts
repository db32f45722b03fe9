/** The one kind of DDL on a target with masks: plain temporary tables, which end with the session and are seen by no other. */
import { asNode, fields, isFields, list, text, unwrap } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { droppedRelations } from '#sidecar/wire/postgres/sql/statements.ts';
import { isTemporary, type Resolver, resolveRelation } from './resolve.ts';
import { namesMasked } from './vet-predicates.ts';
import type { MaskedCatalog } from './world.ts';

/** By its form alone. What its query may name is looked at as with any other. */
export function isTemporaryTable(facts: StatementFacts): boolean {
  const { type, node } = facts;
  if (type === 'CreateTableAsStmt') {
    const into = fields(node.into);
    return text(node.objtype) === 'OBJECT_TABLE' && isTemporaryName(into.rel) && asNode(node.query, 'SelectStmt') !== null;
  }
  if (type !== 'CreateStmt' || !isTemporaryName(node.relation)) return false;
  const plain = ['inhRelations', 'partbound', 'partspec', 'ofTypename', 'constraints', 'accessMethod', 'options'];
  return plain.every((field) => isAbsent(node[field])) && list(node.tableElts).every(isPlainElement);
}

/** DROP TABLE of temporary tables, which the catalog knows as such. */
export function dropsTemporaryTables({ type, node }: StatementFacts, at: Resolver | null): boolean {
  if (type !== 'DropStmt' || at === null || text(node.removeType) !== 'OBJECT_TABLE' || text(node.behavior) === 'DROP_CASCADE')
    return false;
  return droppedRelations(type, node).every((name) => {
    const relation = resolveRelation(at, name);
    return relation !== null && isTemporary(relation.schema) && relation.kind === 'Table';
  });
}

/** What is masked is not written elsewhere, not even its mask. */
export function keepsMasked(world: MaskedCatalog, at: Resolver, facts: StatementFacts): string | null {
  if (facts.type !== 'CreateTableAsStmt') return null;
  const found = namesMasked(world, at, facts);
  return found === null ? null : `a table would keep ${found}, which is masked: name the columns that you need`;
}

function isTemporaryName(relation: unknown): boolean {
  return isFields(relation) && text(relation.relpersistence) === 't';
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === '' || (Array.isArray(value) && value.length === 0);
}

const PLAIN_CONSTRAINTS: ReadonlySet<string> = new Set(['NULL', 'NOTNULL', 'DEFAULT', 'PRIMARY', 'UNIQUE'].map((type) => `CONSTR_${type}`));

function isPlainElement(element: unknown): boolean {
  const constraint = asNode(element, 'Constraint');
  if (constraint !== null) return isPlainConstraint(element);
  const column = asNode(element, 'ColumnDef');
  return column !== null && isAbsent(column.fdwoptions) && list(column.constraints).every(isPlainConstraint);
}

function isPlainConstraint(value: unknown): boolean {
  const constraint = asNode(value, 'Constraint');
  return constraint !== null && PLAIN_CONSTRAINTS.has(text(constraint.contype)) && isConstant(constraint.raw_expr);
}

function isConstant(value: unknown): boolean {
  const found = unwrap(value);
  return found === null || found.type === 'A_Const' || (found.type === 'TypeCast' && isConstant(found.node.arg));
}
