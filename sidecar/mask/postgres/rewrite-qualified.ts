/** `schema.table.column` can't mean the sub-select that stands in the table's place, whose name is `table`: the schema is taken away. */
import { type Fields, fields, isFields, list, names, numeric, text } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { TOKEN, type Token } from '#sidecar/wire/postgres/sql/parse.ts';
import type { Edit } from './analyse-shape.ts';
import { lockedTarget } from './locked.ts';
import { type Resolver, resolveRelation } from './resolve.ts';
import { quoteIdentifier } from './rewrite-expression.ts';
import type { MaskedCatalog } from './world.ts';

/** `replaced` gets what the tree must hold in the place of each node. A string says why it can't be done. */
export function dropSchemas(
  world: MaskedCatalog,
  at: Resolver,
  facts: StatementFacts,
  code: () => readonly Token[] | null,
  replaced: Map<Fields, readonly unknown[]>,
): readonly Edit[] | string {
  const edits: Edit[] = [];
  // The table itself stays.
  if (lockedTarget(world, at, facts) !== null) return edits;
  for (const column of facts.columns) {
    const parts = names(column.fields);
    const table = parts.at(-2) ?? '';
    if (parts.length < 3 || !facts.relations.some((fact) => fact.role === 'From' && fact.name === table && touches(world, at, fact)))
      continue;
    const plain = parts.length === 3 && plainlyMeans(at, facts, parts[0] ?? '', table);
    const edit = plain ? editOf(code(), column, table) : null;
    if (edit === null) return `write ${table}'s columns as ${table}.column or by an alias, without the schema`;
    edits.push(edit);
    replaced.set(column, [{ ColumnRef: { ...column, fields: list(column.fields).slice(1) } }]);
  }
  return edits;
}

function touches(world: MaskedCatalog, at: Resolver, fact: StatementFacts['relations'][number]): boolean {
  const relation = resolveRelation(at, fact);
  return relation === null || world.touchesMasked(relation);
}

/** Nothing else in the statement has the name, so that it can't come to mean that. */
function plainlyMeans(at: Resolver, facts: StatementFacts, schema: string, table: string): boolean {
  const [only, ...others] = facts.relations.filter((fact) => fact.name === table);
  if (only === undefined || others.length > 0 || fields(only.node).alias !== undefined) return false;
  return resolveRelation(at, only)?.schema === schema && !namesElse(facts.node, table);
}

/** An alias, a CTE. */
function namesElse(value: unknown, name: string): boolean {
  if (Array.isArray(value)) return value.some((item) => namesElse(item, name));
  if (!isFields(value)) return false;
  if (text(value.aliasname) === name || text(value.ctename) === name) return true;
  return Object.values(value).some((item) => namesElse(item, name));
}

/** From the schema to the table. */
function editOf(code: readonly Token[] | null, column: Fields, table: string): Edit | null {
  if (code === null || code.some((token) => token.type === TOKEN.uident)) return null;
  const index = code.findIndex((token) => token.start === numeric(column.location));
  const [schema, dot, name] = [code[index], code[index + 1], code[index + 2]];
  if (schema === undefined || name === undefined || dot?.text !== '.') return null;
  return { start: schema.start, end: name.end, text: quoteIdentifier(table) };
}
