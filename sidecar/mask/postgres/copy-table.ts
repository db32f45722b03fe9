/** `COPY table TO STDOUT` of a table with masked columns is `COPY (SELECT its columns FROM ONLY table) TO STDOUT`, which is then rewritten as any query is. */
import { type Fields, fields, list, names, numeric, text } from '#sidecar/wire/postgres/sql/ast.ts';
import { readFacts, type StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { COMMENT_TOKENS, parseSql, scanSql, TOKEN, type Token } from '#sidecar/wire/postgres/sql/parse.ts';
import type { Edit } from './analyse-shape.ts';
import type { Relation } from './catalog.ts';
import { type Resolver, resolveRelation } from './resolve.ts';
import { quoteIdentifier } from './rewrite-expression.ts';
import { splice } from './rewrite-text.ts';
import { sameButForReplaced } from './rewrite-verify.ts';
import type { MaskedCatalog } from './world.ts';

interface CopiedTables {
  readonly sql: string;
  readonly statements: readonly StatementFacts[];
  readonly edits: readonly Edit[];
}

/** The columns that COPY moves, in order; a string says why it can't be told. */
export function copiedColumns(facts: StatementFacts, relation: Relation): readonly string[] | string {
  const movable = relation.columns.filter((column) => !column.generated).map((column) => column.name);
  const asked = names(facts.node.attlist);
  if (asked.length === 0) return movable;
  const wrong = asked.find((name, index) => !movable.includes(name) || asked.indexOf(name) !== index);
  return wrong === undefined ? asked : `COPY of ${wrong}, which is no column of ${relation.name} that can be copied`;
}

/** A string says why it can't be done. */
export function copyTables(world: MaskedCatalog, at: Resolver, sql: string, statements: readonly StatementFacts[]): CopiedTables | string {
  const edits: Edit[] = [];
  const expected: Fields[] = [];
  let code: readonly Token[] | null = null;
  for (const facts of statements) {
    const fact = facts.relations.find(({ role }) => role === 'CopyTo');
    const relation = fact === undefined ? null : resolveRelation(at, fact);
    if (relation === null || !world.touchesMasked(relation)) {
      expected.push({ [facts.type]: facts.node });
      continue;
    }
    code ??= scanSql(sql)?.filter((token) => !COMMENT_TOKENS.has(token.type)) ?? [];
    const columns = copiedColumns(facts, relation);
    if (typeof columns === 'string') return columns;
    const span = spanOf(code, facts);
    const written = querySql(relation, columns);
    const query = parseSql(written);
    if (span === null || !query.ok) return `the reference to ${relation.name} can't be found in the text`;
    edits.push({ ...span, text: `(${written})` });
    const { relation: _relation, attlist: _attlist, ...options } = facts.node;
    expected.push({ CopyStmt: { ...options, query: query.statements[0]?.stmt } });
  }
  if (edits.length === 0) return { sql, statements, edits };
  const out = splice(sql, edits);
  const again = out === null ? null : parseSql(out);
  if (out === null || again === null || !again.ok || again.statements.length !== statements.length)
    return 'the COPY does not parse as one of a query';
  const same = again.statements.every(({ stmt }, index) => sameButForReplaced(expected[index], stmt, new Map()));
  return same
    ? { sql: out, statements: again.statements.map(({ stmt }) => readFacts(stmt)), edits }
    : 'the COPY is not the same as one of a query';
}

/** COPY leaves out the rows of children; of a partitioned table there are no others. */
function querySql(relation: Relation, columns: readonly string[]): string {
  const name = quoteIdentifier(relation.name);
  const shown = columns.map((column) => `${name}.${quoteIdentifier(column)}`).join(', ');
  return `SELECT ${shown} FROM ${relation.kind === 'Table' ? 'ONLY ' : ''}${quoteIdentifier(relation.schema)}.${name}`;
}

/** From the table's name to the end of its list of columns. */
function spanOf(code: readonly Token[], facts: StatementFacts): { readonly start: number; readonly end: number } | null {
  const { relation, attlist } = facts.node;
  const table = fields(relation);
  const first = code.findIndex((token) => token.start === numeric(table.location));
  const parts = 1 + (text(table.schemaname) === '' ? 0 : 1) + (text(table.catalogname) === '' ? 0 : 1);
  const columns = list(attlist).length;
  // With a comma between two columns, and a parenthesis at each end.
  const last = first + 2 * (parts - 1) + (columns === 0 ? 0 : 2 * columns + 1);
  const [start, end] = [code[first], code[last]];
  if (start === undefined || end === undefined || (columns > 0 && end.text !== ')')) return null;
  return code.slice(first, last + 1).some((token) => token.type === TOKEN.uident) ? null : { start: start.start, end: end.end };
}

/** The edits of a text, and those of what they made of it, as edits of the text. */
export function composeEdits(before: readonly Edit[], after: readonly Edit[]): readonly Edit[] {
  if (before.length === 0) return after;
  const out: Edit[] = [];
  let rest = [...after];
  let grown = 0;
  for (const edit of before) {
    const start = edit.start + grown;
    const end = start + Buffer.byteLength(edit.text);
    out.push(...rest.filter((item) => item.start < start).map((item) => moved(item, -grown)));
    const within = rest.filter((item) => item.start >= start && item.start < end);
    const text =
      splice(
        edit.text,
        within.map((item) => moved(item, -start)),
      ) ?? edit.text;
    out.push({ ...edit, text });
    rest = rest.filter((item) => item.start >= end);
    grown += end - start - (edit.end - edit.start);
  }
  return [...out, ...rest.map((item) => moved(item, -grown))];
}

function moved(edit: Edit, by: number): Edit {
  return { start: edit.start + by, end: edit.end + by, text: edit.text };
}
