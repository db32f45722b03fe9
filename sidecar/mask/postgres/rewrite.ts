/**
 * Replaces each reference to a relation that has masked columns by a sub-select that computes the masks, at the parser's own
 * byte offsets, and proves by a second parse that nothing else has changed.
 */
import type { ColumnMask } from '#crds/policy/mask.ts';
import { type Fields, fields, isFields, list, numeric, text } from '#sidecar/wire/postgres/sql/ast.ts';
import type { RelationFact, StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { COMMENT_TOKENS, parseSql, scanSql, TOKEN, type Token } from '#sidecar/wire/postgres/sql/parse.ts';
import type { Refusal } from './analyse.ts';
import type { Edit } from './analyse-shape.ts';
import type { Column, Relation } from './catalog.ts';
import { lockedTarget } from './locked.ts';
import { type Resolver, resolveRelation } from './resolve.ts';
import type { ResultPlan } from './result-plan.ts';
import { maskExpression, quoteIdentifier } from './rewrite-expression.ts';
import { dropSchemas } from './rewrite-qualified.ts';
import { rewriteReturning } from './rewrite-returning.ts';
import { splice } from './rewrite-text.ts';
import { findTokens, NO_TOKENS, type TokenFindings } from './rewrite-tokens.ts';
import { hiddenName } from './rewrite-tokens-text.ts';
import { QUALIFIED, sameButForReplaced, substitute } from './rewrite-verify.ts';
import type { MaskedCatalog } from './world.ts';

export type Rewritten =
  | {
      readonly ok: true;
      readonly sql: string;
      readonly edits: readonly Edit[];
      /** What the sidecar does with the result; null where it has nothing to do. */
      readonly plan: ResultPlan | null;
      readonly unfit: readonly string[];
      /** Another integer in the text could make it another rewrite. */
      readonly dependsOnIntegers: boolean;
    }
  | { readonly ok: false; readonly refusal: Refusal };

const MAX_VIEW_DEPTH = 16;
/** References to masked relations in one text; each is looked for in its tokens. */
const MAX_REFERENCES = 64;

/** `statements` are the facts of all statements of `sql`, in order. */
export function rewriteMasked(
  world: MaskedCatalog,
  at: Resolver,
  sql: string,
  statements: readonly StatementFacts[],
  depth = 0,
): Rewritten {
  if (depth > MAX_VIEW_DEPTH) return refuse('views are nested too deeply');
  const replaced = new Map<Fields, Fields>();
  const edits: Edit[] = [];
  let tokens: readonly Token[] | null = null;
  const codeOf = (): readonly Token[] | null => (tokens ??= scanSql(sql)?.filter((token) => !COMMENT_TOKENS.has(token.type)) ?? null);
  const { rewrite, unfit, dependsOnIntegers } = depth > 0 ? NO_TOKENS : tokensOf(world, at, sql, statements, codeOf);
  let plan = rewrite?.plan ?? null;
  const columns = new Map<Fields, readonly unknown[]>();
  for (const statement of statements) {
    const found = depth === 0 ? lockedTarget(world, at, statement) : null;
    const locked = found === null || typeof found === 'string' ? null : found.writer.node.relation;
    if (depth === 0) {
      const dropped = dropSchemas(world, at, statement, codeOf, columns);
      if (typeof dropped === 'string') return refuse(dropped);
      const shown = rewriteReturning(world, at, statement, codeOf, columns, statements.length === 1);
      if (typeof shown === 'string') return refuse(shown);
      edits.push(...dropped, ...shown.edits);
      plan ??= shown.plan;
    }
    for (const fact of statement.relations) {
      if (fact.role !== 'From') continue;
      const relation = resolveRelation(at, fact);
      if (relation === null) return refuse(`relation ${fact.name} is not resolved`);
      // A view's own text is read under search_path = pg_catalog, and must mean the same inside the client's statement.
      if (!world.touchesMasked(relation)) {
        if (depth === 0 || fact.schema !== '') continue;
        const place = numeric(fact.node.location);
        edits.push({ start: place, end: place, text: 'pg_catalog.' });
        replaced.set(fact.node, QUALIFIED);
        continue;
      }
      if (fact.node === locked) continue;
      if (fact.sampled) return refuse(`TABLESAMPLE of ${relation.name}, which has masked columns`);
      const only = fact.node.inh !== true;
      const hidden = rewrite?.hidden.get(fact.node) ?? [];
      const source = world.source(relation, only, hidden, () => makeSource(world, relation, only, hidden, depth));
      if (!source.ok) return source;
      const code = codeOf();
      const edit = code === null ? null : editFor(code, fact, source.sql);
      if (edit === null) return refuse(`the reference to ${relation.name} can't be found in the text`);
      replaced.set(fact.node, source.tree);
      edits.push(edit);
      if (edits.length > MAX_REFERENCES) return refuse(`more than ${MAX_REFERENCES} references to relations with masked columns`);
    }
  }
  if (edits.length === 0) return { ok: true, sql, edits, plan, unfit, dependsOnIntegers };
  edits.push(...(rewrite?.edits ?? []));
  edits.sort((left, right) => left.start - right.start);
  const out = splice(sql, edits);
  const again = out === null ? null : parseSql(out);
  if (out === null || again === null || !again.ok || again.statements.length !== statements.length) {
    return refuse('the rewritten statement does not parse');
  }
  const isSame = (statement: StatementFacts, index: number): boolean => {
    const expected = rewrite?.expected ?? { [statement.type]: statement.node };
    return sameButForReplaced(substitute(expected, columns), again.statements[index]?.stmt, replaced);
  };
  if (!statements.every(isSame)) {
    return refuse('the rewritten statement is not the same but for the masks');
  }
  return { ok: true, sql: out, edits, plan, unfit, dependsOnIntegers };
}

/** Only of a statement that is alone: which result is whose must not be a question. */
function tokensOf(
  world: MaskedCatalog,
  at: Resolver,
  sql: string,
  statements: readonly StatementFacts[],
  code: () => readonly Token[] | null,
): TokenFindings {
  const [only, ...others] = statements;
  if (only === undefined || others.length > 0 || !world.hasPseudonyms(only, at)) return NO_TOKENS;
  const tokens = code();
  return tokens === null ? NO_TOKENS : findTokens(world, at, sql, tokens, only);
}

/** The sub-select that stands for a relation, and its tree, to be found again in the rewritten text. */
export type Source = { readonly ok: true; readonly sql: string; readonly tree: Fields } | { readonly ok: false; readonly refusal: Refusal };

function makeSource(world: MaskedCatalog, relation: Relation, only: boolean, hidden: readonly Column[], depth: number): Source {
  const made = sourceOf(world, relation, only, hidden, depth);
  if (typeof made !== 'string') return made;
  const tree = subqueryOf(made);
  return tree === null ? refuse(`the masks of ${relation.name} give no sub-select`) : { ok: true, sql: made, tree };
}

/** `(SELECT … FROM …)`. */
function sourceOf(world: MaskedCatalog, relation: Relation, only: boolean, hidden: readonly Column[], depth: number): string | Refused {
  const masks = world.maskedColumns(relation);
  if (relation.kind !== 'View') {
    const name = `${quoteIdentifier(relation.schema)}.${quoteIdentifier(relation.name)}`;
    return selectMasked(world, relation, masks, `${only ? 'ONLY ' : ''}${name}`, hidden);
  }
  const body = world.viewBody(relation);
  if (body === null) return refuse(`the definition of view ${relation.name} can't be read`);
  const inside: Resolver = { catalog: world.catalog, searchPath: ['pg_catalog'], database: '' };
  const inner = rewriteMasked(world, inside, body.definition, [body.facts], depth + 1);
  if (!inner.ok) return inner;
  return masks.size === 0 ? `(${inner.sql})` : selectMasked(world, relation, masks, `(${inner.sql})`);
}

function selectMasked(
  world: MaskedCatalog,
  relation: Relation,
  masks: ReadonlyMap<string, ColumnMask>,
  from: string,
  hidden: readonly Column[] = [],
): string {
  const columns = relation.columns.map((column) => {
    const mask = masks.get(column.name);
    const name = quoteIdentifier(column.name);
    return mask === undefined ? `m.${name}` : `${maskExpression(world.catalog, column, mask, 'm')} AS ${name}`;
  });
  const clear = hidden.map((column) => `m.${quoteIdentifier(column.name)} AS ${quoteIdentifier(hiddenName(column))}`);
  return `(SELECT ${[...columns, ...clear].join(', ')} FROM ${from} AS m)`;
}

function subqueryOf(source: string): Fields | null {
  const parsed = parseSql(`SELECT FROM ${source} AS x`);
  if (!parsed.ok || parsed.statements.length !== 1) return null;
  const from = list(fields(parsed.statements[0]?.stmt.SelectStmt).fromClause)[0];
  const subquery = fields(fields(from).RangeSubselect).subquery;
  return isFields(subquery) ? subquery : null;
}

/** From ONLY, or the first part of the name, to its last part or the `*` of inheritance; an alias that is there stays. */
/** `code` is the text's tokens without its comments. */
function editFor(code: readonly Token[], fact: RelationFact, source: string): Edit | null {
  const first = code.findIndex((token) => token.start === numeric(fact.node.location));
  if (first < 0) return null;
  const parts = 1 + (fact.schema === '' ? 0 : 1) + (fact.database === '' ? 0 : 1);
  let last = first + 2 * (parts - 1);
  for (let index = first; index <= last; index++) {
    const token = code[index];
    // U& identifiers may be followed by UESCAPE: too rare to be worth the doubt.
    if (token === undefined || token.type === TOKEN.uident || ((index - first) % 2 === 1) !== (token.text === '.')) return null;
  }
  let begin = first;
  const before = (steps: number): string => code[begin - steps]?.text.toLowerCase() ?? '';
  if (fact.node.inh !== true) {
    if (before(1) === 'only') begin -= 1;
    else if (before(1) === '(' && before(2) === 'only' && code[last + 1]?.text === ')') {
      begin -= 2;
      last += 1;
    } else return null;
  } else if (code[last + 1]?.text === '*') last += 1;
  const table = before(1) === 'table';
  if (table) begin -= 1;
  const alias = isFields(fact.node.alias) ? '' : ` AS ${quoteIdentifier(text(fact.node.relname))}`;
  const [start, end] = [code[begin]?.start, code[last]?.end];
  if (start === undefined || end === undefined) return null;
  return { start, end, text: `${table ? 'SELECT * FROM ' : ''}${source}${alias}` };
}

interface Refused {
  readonly ok: false;
  readonly refusal: Refusal;
}

function refuse(message: string): Refused {
  return { ok: false, refusal: { code: 'NotRewritable', message } };
}
