/** How a statement is written whose output columns are tokens: `rewrite-tokens.ts` says which. */
import { asNode, type Fields, list, names, numeric, text } from '#sidecar/wire/postgres/sql/ast.ts';
import type { StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import type { Token } from '#sidecar/wire/postgres/sql/parse.ts';
import type { Edit } from './analyse-shape.ts';
import type { Column, Relation } from './catalog.ts';
import { copyForm } from './copy-form.ts';
import type { ResultPlan, TokenColumn } from './result-plan.ts';
import { quoteIdentifier } from './rewrite-expression.ts';

/** No text that holds it is rewritten so: nothing of the client's may name a hidden column. */
export const HIDDEN = '_chaperone_';

export function hiddenName(column: Column): string {
  return `${HIDDEN}k${column.attnum}`;
}

export interface TokenRewrite {
  readonly plan: ResultPlan;
  /** By RangeVar: columns that its sub-select shows in clear, under their hidden names. */
  readonly hidden: ReadonlyMap<Fields, readonly Column[]>;
  readonly edits: readonly Edit[];
  /** The statement as it must parse once it is rewritten, but for its relations. */
  readonly expected: Fields;
}

/** One entry of the FROM clause. */
export interface Item {
  readonly node: Fields | null;
  readonly alias: string;
  /** Null where its columns are not known. */
  readonly relation: Relation | null;
  /** Its columns can be written out, in order. */
  readonly known: boolean;
  /** Columns that may be given in clear, by name. */
  readonly fit: Map<string, Omit<TokenColumn, 'index' | 'name'>>;
  /** Of an unqualified name it can't be told whose it is. */
  readonly merged: boolean;
}

/** One output column, and the target of the text that it comes from. */
export interface Output {
  readonly target: Fields;
  readonly name: string;
  /** The column that it is, where it is one as it is. */
  readonly from: { readonly item: Item; readonly column: Column } | null;
  /** Set where it may leave as a token. */
  token: Omit<TokenColumn, 'index' | 'name'> | null;
}

/** Null where it can't be written so. */
export function rewriteOf(outputs: readonly Output[], facts: StatementFacts, select: Fields, code: readonly Token[]): TokenRewrite | null {
  const copy = formOf(facts);
  if (copy === 'unknown') return null;
  const hidden = new Map<Item, Set<Column>>();
  for (const { from, token } of outputs) {
    if (token !== null && from !== null) hidden.set(from.item, (hidden.get(from.item) ?? new Set()).add(from.column));
  }
  const edits: Edit[] = [];
  const targetList: Fields[] = [];
  for (const target of new Set(outputs.map((output) => output.target))) {
    const reference = asNode(target.val, 'ColumnRef');
    const own = outputs.filter((output) => output.target === target);
    const isStar = names(reference?.fields).at(-1) === '*';
    // A star would show what is hidden.
    const isWritten = isStar ? own.some(({ from }) => from !== null && hidden.has(from.item)) : own.some(({ token }) => token !== null);
    if (!isWritten) {
      targetList.push({ ResTarget: target });
      continue;
    }
    const span = reference === null ? null : spanOf(code, reference);
    if (span === null) return null;
    edits.push({ ...span, text: own.map((output) => writtenOf(output, isStar || text(target.name) === '')).join(', ') });
    targetList.push(...own.map((output) => ({ ResTarget: { ...(isStar ? {} : target), ...expectedOf(output) } })));
  }
  const tokens = outputs.flatMap(({ token, name }, index): TokenColumn[] => (token === null ? [] : [{ ...token, index, name }]));
  return {
    plan: { columns: outputs.length, tokens, copy },
    hidden: new Map([...hidden].flatMap(([{ node }, columns]) => (node === null ? [] : [[node, [...columns]] as const]))),
    edits,
    expected: withTargets(facts, { ...select, targetList }),
  };
}

function shownName({ from, token }: Output): string {
  if (from === null) throw new TypeError('only a column is written out');
  return token === null ? from.column.name : hiddenName(from.column);
}

function writtenOf(output: Output, needsName: boolean): string {
  const reference = `${quoteIdentifier(output.from?.item.alias ?? '')}.${quoteIdentifier(shownName(output))}`;
  return output.token !== null && needsName ? `${reference} AS ${quoteIdentifier(output.name)}` : reference;
}

function expectedOf(output: Output): Fields {
  const parts = [output.from?.item.alias ?? '', shownName(output)];
  const val = { ColumnRef: { fields: parts.map((sval) => ({ String: { sval } })) } };
  return output.token === null ? { val } : { name: output.name, val };
}

/** From the first to the last part of the reference. */
export function spanOf(code: readonly Token[], reference: Fields): { readonly start: number; readonly end: number } | null {
  const first = code.findIndex((token) => token.start === numeric(reference.location));
  const last = first + 2 * (list(reference.fields).length - 1);
  for (let index = first + 1; index <= last; index++) {
    if (((index - first) % 2 === 1) !== (code[index]?.text === '.')) return null;
  }
  const [start, end] = [code[first]?.start, code[last]?.end];
  return start === undefined || end === undefined ? null : { start, end };
}

function withTargets(facts: StatementFacts, select: Fields): Fields {
  const { type, node } = facts;
  return { [type]: type === 'SelectStmt' ? select : { ...node, query: { SelectStmt: select } } };
}

/** The form of COPY TO; null for what is no COPY. */
function formOf(facts: StatementFacts): ResultPlan['copy'] | 'unknown' {
  if (facts.type !== 'CopyStmt') return null;
  const form = copyForm(facts);
  if (typeof form === 'string' || !form.plain || form.format === 'binary') return 'unknown';
  return { csv: form.format === 'csv', header: form.header };
}
