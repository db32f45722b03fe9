/**
 * Columns of the catalog that hold values, among all those that describe: constants inside of expressions, as bytes that no detector reads, and the
 * value that an added column has in older rows. They may be named only where they become text that can be read, or are asked for NULL.
 */
import { type Fields, fields, isFields, list, names, text, unwrap } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import type { Relation } from './catalog.ts';

/** Those of the relations in CATALOG_RELATIONS that are of type pg_node_tree, anyarray or bytea. */
const HIDDEN: ReadonlyMap<string, readonly string[]> = new Map([
  ['pg_attrdef', ['adbin']],
  ['pg_attribute', ['attmissingval']],
  ['pg_class', ['relpartbound']],
  ['pg_constraint', ['conbin']],
  ['pg_index', ['indpred', 'indexprs']],
  ['pg_partitioned_table', ['partexprs']],
  ['pg_policy', ['polqual', 'polwithcheck']],
  ['pg_proc', ['prosqlbody', 'proargdefaults']],
  ['pg_publication_rel', ['prqual']],
  ['pg_rewrite', ['ev_action', 'ev_qual']],
  ['pg_statistic_ext', ['stxexprs']],
  ['pg_trigger', ['tgqual', 'tgargs']],
  ['pg_type', ['typdefaultbin']],
]);

export function hasHiddenColumns(relation: Relation): boolean {
  return relation.schema === 'pg_catalog' && HIDDEN.has(relation.name);
}

/** `read` are the relations of the statement. Says what is wrong. */
export function vetCatalogColumns(
  facts: StatementFacts,
  read: readonly { readonly relation: Relation; readonly node: Fields }[],
): string | null {
  const touched = read.filter(({ relation }) => hasHiddenColumns(relation));
  if (touched.length === 0) return null;
  const hidden = new Set(touched.flatMap(({ relation }) => HIDDEN.get(relation.name) ?? []));
  const rows = new Set<string>();
  for (const { node } of touched) {
    const alias = fields(node.alias);
    if (list(alias.colnames).length > 0) return refuse(`${text(node.relname)} with other names for its columns`);
    rows.add(text(alias.aliasname) || text(node.relname));
  }
  const using = facts.usingColumns.find((name) => name === '*' || hidden.has(name));
  if (using !== undefined) return refuse(`a join by ${using === '*' ? 'all columns of the same name' : using}`);
  const search: Search = { hidden, rows, outer: null, found: null };
  // Only what the client itself is shown, with its types, can be looked at on its way back.
  if (facts.type === 'SelectStmt' && text(facts.node.op) === 'SETOP_NONE' && facts.node.intoClause === undefined) search.outer = facts.node;
  look(search, facts.node, facts.type, 'statement');
  return search.found === null ? null : refuse(search.found);
}

interface Search {
  readonly hidden: ReadonlySet<string>;
  readonly rows: Set<string>;
  /** The query whose own `*` is harmless. */
  outer: Fields | null;
  found: string | null;
}

/** `use` says what the value is to the node around it. */
function look(search: Search, value: unknown, type: string, use: 'statement' | 'target' | 'shown' | 'other'): void {
  if (search.found !== null) return;
  if (Array.isArray(value)) {
    for (const item of value) look(search, item, '', use);
    return;
  }
  if (!isFields(value)) return;
  const wrapped = type === '' ? unwrap(value) : null;
  if (wrapped !== null) return look(search, wrapped.node, wrapped.type, use);
  if (type === 'ColumnRef') {
    search.found = whyNot(search, names(value.fields), use);
    return;
  }
  if (type === 'JoinExpr' && isFields(value.alias)) {
    search.found = 'an alias of a whole join';
    return;
  }
  for (const field of Object.keys(value)) look(search, value[field], '', useOf(search, type, value, field, use));
}

function useOf(search: Search, type: string, node: Fields, field: string, use: string): 'target' | 'shown' | 'other' {
  if (node === search.outer && field === 'targetList') return 'target';
  if (type === 'ResTarget' && field === 'val' && use === 'target') return 'target';
  if (type === 'NullTest' && field === 'arg') return 'shown';
  if (type === 'FuncCall' && field === 'args' && names(node.funcname).at(-1) === 'pg_get_expr') return 'shown';
  // A list of targets holds ResTargets; anything else around a name is a use of it.
  return 'other';
}

function whyNot({ hidden, rows }: Search, parts: readonly string[], use: string): string | null {
  const last = parts.at(-1) ?? '*';
  if (last === '*') return use === 'target' ? null : '* where it is not the result itself';
  if (rows.has(last)) return `the whole row ${last}`;
  return hidden.has(last) && use !== 'shown' ? `${last}, which holds values` : null;
}

function refuse(what: string): string {
  return `the catalog is read by ${what}: name the columns that you want, and read expressions with pg_get_expr`;
}
