/**
 * SELECT … FOR UPDATE of a table with masked columns. A sub-select in the table's place would lock other rows than the statement does: those that its
 * joins, its order and its LIMIT look at. So the table stays, and its columns are masked where they are shown, as in RETURNING; they may be read nowhere else.
 */
import { type Fields, fields, isFields, list, unwrap } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { type Resolver, resolveRelation } from './resolve.ts';
import type { WriteTarget } from './vet-writes.ts';
import type { MaskedCatalog } from './world.ts';

/** The table and its query, in the form of a statement with RETURNING. A string says why it can't be done; null where nothing masked is locked. */
export function lockedTarget(world: MaskedCatalog, at: Resolver, facts: StatementFacts): WriteTarget | string | null {
  if (!facts.locking) return null;
  const touched = facts.relations.filter((fact) => {
    const relation = fact.role === 'Create' ? null : resolveRelation(at, fact);
    return relation !== null && world.touchesMasked(relation);
  });
  const [fact, ...others] = touched;
  if (fact === undefined) return null;
  const label = `FOR UPDATE or FOR SHARE with ${fact.name}, which has masked columns`;
  const relation = resolveRelation(at, fact);
  const select = unwrap(facts.node.query)?.node ?? facts.node;
  const isTable = relation?.kind === 'Table' || relation?.kind === 'Partitioned';
  if (!isTable || others.length > 0 || facts.writers.length > 0 || facts.kinds.includes('Create')) return label;
  if (!['SelectStmt', 'PrepareStmt', 'DeclareCursorStmt', 'ExplainStmt'].includes(facts.type) || fact.owner !== select) return label;
  // Of its own FROM clause, and not of a sub-select there; the other clauses that lock are none of its own.
  if (list(select.lockingClause).length !== facts.acts.filter(({ type }) => type === 'LockingClause').length) return label;
  if (!list(select.fromClause).some((item) => isFromItem(item, fact.node))) return label;
  if (list(fields(fact.node.alias).colnames).length > 0) return `${label}, by other names of its columns`;
  const { targetList, ...rest } = select;
  return { writer: { type: 'SelectStmt', node: { ...rest, relation: fact.node, returningClause: { exprs: targetList } } }, relation };
}

function isFromItem(item: unknown, table: Fields): boolean {
  const found = unwrap(item);
  if (found?.type !== 'JoinExpr') return found?.node === table;
  if (isFields(found.node.alias) || isFields(found.node.join_using_alias)) return false;
  return isFromItem(found.node.larg, table) || isFromItem(found.node.rarg, table);
}
