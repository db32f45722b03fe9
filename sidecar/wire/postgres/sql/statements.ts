/** What kind a statement is, and what it changes beyond the relations that it names. */
import type { StatementKind } from '#crds/policy/action.ts';
import { asNode, constant, type Fields, fields, isFields, list, names, numeric, text, unwrap } from './ast.ts';
import { NAMES_ITS_RELATIONS, STATEMENT_NODES } from './nodes.ts';

export function kindOf(type: string, node: Fields): StatementKind {
  if (type === 'CopyStmt') return node.is_from === true ? 'CopyFrom' : 'CopyTo';
  if (type === 'GrantStmt' || type === 'GrantRoleStmt') return node.is_grant === true ? 'Grant' : 'Revoke';
  if (type === 'AlterDefaultPrivilegesStmt') return fields(node.action).is_grant === true ? 'Grant' : 'Revoke';
  if (type === 'SelectStmt' && isFields(node.intoClause)) return 'Create';
  return STATEMENT_NODES.get(type) ?? 'Other';
}

/** EXPLAIN ANALYZE runs what it explains. Where the option is given more than once, one that says so is enough. */
export function analyzes(node: Fields): boolean {
  return list(node.options).some((option) => {
    const { defname, arg } = fields(asNode(option, 'DefElem'));
    if (text(defname).toLowerCase() !== 'analyze') return false;
    const integer = asNode(arg, 'Integer');
    if (integer !== null) return numeric(integer.ival) !== 0;
    return !/^(false|off)$/i.test(text(asNode(arg, 'String')?.sval));
  });
}

const CREATES: ReadonlySet<string> = new Set([
  'CreateStmt',
  'CreateTableAsStmt',
  'ViewStmt',
  'CreateSeqStmt',
  'CompositeTypeStmt',
  'CreateForeignTableStmt',
]);

export function createsRelation(type: string): boolean {
  return CREATES.has(type);
}

/** True where an UPDATE or DELETE takes every row: no WHERE, or one that names no column. */
export function missesWhere(type: string, node: Fields): boolean {
  switch (type) {
    case 'TruncateStmt':
      return true;
    case 'UpdateStmt':
    case 'DeleteStmt':
      return isAlwaysTrue(node.whereClause);
    case 'MergeStmt':
      return list(node.mergeWhenClauses).some((clause) => mergesEveryRow(fields(asNode(clause, 'MergeWhenClause')), node.joinCondition));
    default:
      return false;
  }
}

/** The same of what deletes rows: DELETE, TRUNCATE, MERGE … DELETE. */
export function deletesAll(type: string, node: Fields): boolean {
  switch (type) {
    case 'TruncateStmt':
      return true;
    case 'DeleteStmt':
      return isAlwaysTrue(node.whereClause);
    case 'MergeStmt':
      return list(node.mergeWhenClauses).some((item) => {
        const clause = fields(asNode(item, 'MergeWhenClause'));
        return text(clause.commandType) === 'CMD_DELETE' && mergesEveryRow(clause, node.joinCondition);
      });
    default:
      return false;
  }
}

function mergesEveryRow(clause: Fields, join: unknown): boolean {
  const command = text(clause.commandType);
  if (command !== 'CMD_UPDATE' && command !== 'CMD_DELETE') return false;
  if (clause.condition !== undefined && !isAlwaysTrue(clause.condition)) return false;
  return text(clause.matchKind) === 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE' || isAlwaysTrue(join);
}

/** Absent, or without a column, a sub-select or a cursor in it, or a comparison of a thing with itself. Not a proof: a guard against slips. */
function isAlwaysTrue(where: unknown): boolean {
  if (where === undefined) return true;
  if (isPlainlyFalse(where)) return false;
  const bool = asNode(where, 'BoolExpr');
  if (bool !== null && text(bool.boolop) === 'OR_EXPR') return list(bool.args).some(isAlwaysTrue);
  if (bool !== null && text(bool.boolop) === 'AND_EXPR') return list(bool.args).every(isAlwaysTrue);
  const compared = asNode(where, 'A_Expr');
  if (compared !== null && sameTree(compared.lexpr, compared.rexpr)) return true;
  return !mentionsRows(where);
}

/** `false`, NULL, and numbers that differ: what takes no row is not what takes every row. */
function isPlainlyFalse(where: unknown): boolean {
  const value = asNode(where, 'A_Const');
  if (value !== null) return value.isnull === true || constant(where) === 'false';
  const compared = asNode(where, 'A_Expr');
  if (compared === null || text(compared.kind) !== 'AEXPR_OP' || names(compared.name).join() !== '=') return false;
  const [left, right] = [wholeNumber(compared.lexpr), wholeNumber(compared.rexpr)];
  return left !== null && right !== null && left !== right;
}

function wholeNumber(value: unknown): number | null {
  const node = asNode(value, 'A_Const');
  return node !== null && isFields(node.ival) ? numeric(node.ival.ival) : null;
}

function mentionsRows(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(mentionsRows);
  if (!isFields(value)) return false;
  const found = unwrap(value);
  if (found !== null && (found.type === 'ColumnRef' || found.type === 'SubLink' || found.type === 'CurrentOfExpr')) return true;
  return Object.values(value).some(mentionsRows);
}

function sameTree(left: unknown, right: unknown): boolean {
  const plain = (value: unknown): string => JSON.stringify(value, (key, inner: unknown) => (key === 'location' ? undefined : inner)) ?? '';
  return left !== undefined && plain(left) === plain(right);
}

const RELATION_OBJECTS: ReadonlySet<string> = new Set(
  ['TABLE', 'VIEW', 'MATVIEW', 'FOREIGN_TABLE', 'SEQUENCE', 'INDEX'].map((type) => `OBJECT_${type}`),
);
const HARMLESS: ReadonlySet<StatementKind> = new Set<StatementKind>([
  'Set',
  'Show',
  'Transaction',
  'Explain',
  'Prepare',
  'Execute',
  'Deallocate',
  'Cursor',
]);

/** Labels of what is changed and has no relation's name. One at least for every statement whose RangeVars don't tell all. */
export function opaqueParts(type: string, node: Fields): readonly string[] {
  const cascade = text(node.behavior) === 'DROP_CASCADE' ? ['what CASCADE takes along'] : [];
  if (NAMES_ITS_RELATIONS.has(type) || HARMLESS.has(STATEMENT_NODES.get(type) ?? 'Other')) return cascade;
  if (type === 'DropStmt' && RELATION_OBJECTS.has(text(node.removeType))) return cascade;
  if (type === 'VacuumStmt' && list(node.rels).length > 0) return cascade;
  if (type === 'GrantStmt' && text(node.targtype) === 'ACL_TARGET_OBJECT' && RELATION_OBJECTS.has(text(node.objtype))) return cascade;
  const renames = type === 'RenameStmt' || type === 'AlterObjectSchemaStmt' || type === 'AlterOwnerStmt';
  if (renames && isFields(node.relation)) return cascade;
  return [...cascade, `objects of ${type}`];
}

/** DROP gives its relations as lists of names, not as RangeVars. */
export function droppedRelations(type: string, node: Fields): readonly { readonly schema: string; readonly name: string }[] {
  if (type !== 'DropStmt') return [];
  const isRelation = RELATION_OBJECTS.has(text(node.removeType));
  const onRelation = ['OBJECT_TRIGGER', 'OBJECT_RULE', 'OBJECT_POLICY'].includes(text(node.removeType));
  if (!isRelation && !onRelation) return [];
  return list(node.objects).map((object) => {
    const parts = names(fields(asNode(object, 'List')).items);
    const own = isRelation ? parts : parts.slice(0, -1);
    return { schema: own.at(-2) ?? '', name: own.at(-1) ?? '' };
  });
}
