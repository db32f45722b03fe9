/**
 * RETURNING of a statement that changes a relation with masked columns. No sub-select can stand for the target of a change, so each place that names
 * one of its columns there gets the mask itself. What is not understood is told in words, and refused.
 *
 * A mask is written as `(SELECT mask AS column)`: the output column then keeps the name that the server would give it, at any depth of an expression.
 */
import { asNode, type Fields, fields, isFields, list, names, text, unwrap } from '#sidecar/wire/postgres/sql/ast.ts';
import type { Relation } from './catalog.ts';
import type { ResultPlan, TokenColumn } from './result-plan.ts';
import { maskExpression, quoteIdentifier } from './rewrite-expression.ts';
import type { MaskedCatalog } from './world.ts';

export interface Writer {
  readonly type: string;
  readonly node: Fields;
}

export interface Replacement {
  readonly reference: Fields;
  /** What is replaced in the tree: the reference, or of a `*` the target that it is. */
  readonly node: Fields;
  readonly text: string;
}

/** Columns that every table has; they hold nothing of its rows. Where a row lies (ctid) tells how long the rows before it are. */
const SYSTEM_COLUMNS: ReadonlySet<string> = new Set(['xmin', 'xmax', 'cmin', 'cmax', 'tableoid']);

interface Returning {
  readonly replacements: readonly Replacement[];
  /** What the sidecar does with the result; null where it has nothing to do. */
  readonly plan: ResultPlan | null;
}

/** Columns that may be given in clear, for the sidecar to put a token in their place: only as an output column of their own. */
type Clear = ReadonlyMap<string, Omit<TokenColumn, 'index' | 'name'>>;

const NONE: Clear = new Map();

/** A string says why it can't be done. */
export function maskReturning(world: MaskedCatalog, writer: Writer, relation: Relation, clear: Clear = NONE): Returning | string {
  const clause = fields(writer.node.returningClause);
  if (list(clause.options).length > 0) return 'RETURNING WITH is not supported here';
  const targets = list(clause.exprs).map((expression) => asNode(expression, 'ResTarget') ?? {});
  const search = new Search(world, writer, relation, clear);
  for (const target of targets) search.target(target);
  if (search.problem !== null) return search.problem;
  const { replacements, tokens, columns } = search;
  // Which column of the result is whose must be known.
  if (tokens.length > 0 && columns === null) return maskReturning(world, writer, relation);
  return { replacements, plan: tokens.length === 0 || columns === null ? null : { columns, tokens, copy: null } };
}

/** By this name the target's row is reached. */
function refname(writer: Writer): string {
  const target = fields(writer.node.relation);
  return text(fields(target.alias).aliasname) || text(target.relname);
}

/** Names that stand for a whole row of the target, now or on another version of the server. */
export function rowNames(writer: Writer, relation: Relation): ReadonlySet<string> {
  return new Set(['excluded', 'old', 'new', relation.name, refname(writer)]);
}

/** `row.name` calls the function `name` with the whole row where the row has no such column. */
export function callsWithRow(parts: readonly string[], rows: ReadonlySet<string>, relation: Relation): boolean {
  const last = parts.at(-1) ?? '';
  return parts.length > 1 && rows.has(parts.at(-2) ?? '') && !isColumn(relation, last);
}

function isColumn(relation: Relation, name: string): boolean {
  return SYSTEM_COLUMNS.has(name) || relation.columns.some((column) => column.name === name);
}

class Search {
  readonly replacements: Replacement[] = [];
  readonly tokens: TokenColumn[] = [];
  /** Of the result so far; null where it can't be told. */
  columns: number | null = 0;
  problem: string | null = null;
  readonly #clear: Clear;
  readonly #world: MaskedCatalog;
  readonly #writer: Writer;
  readonly #relation: Relation;
  readonly #row: string;
  readonly #rows: ReadonlySet<string>;

  constructor(world: MaskedCatalog, writer: Writer, relation: Relation, clear: Clear) {
    this.#clear = clear;
    this.#world = world;
    this.#writer = writer;
    this.#relation = relation;
    this.#row = refname(writer);
    this.#rows = rowNames(writer, relation);
  }

  target(target: Fields): void {
    const reference = asNode(target.val, 'ColumnRef');
    if (reference !== null && names(reference.fields).at(-1) === '*') return this.#star(target, reference);
    const name = reference === null ? null : this.#ownColumn(names(reference.fields));
    if (name === null || !this.#giveClear(name, text(target.name) || name)) this.#look(target.val, false);
    if (this.columns !== null) this.columns++;
  }

  /** The target's own column, as it is: not that of `old` or `new`. */
  #ownColumn(parts: readonly string[]): string | null {
    const isOwn = parts.length === 1 || (parts.length === 2 && parts[0] === this.#row);
    return isOwn && this.#rowOf(parts.slice(0, -1)) !== null ? (parts.at(-1) ?? null) : null;
  }

  #giveClear(column: string, name: string): boolean {
    const token = this.#clear.get(column);
    if (token === undefined || this.columns === null) return false;
    this.tokens.push({ ...token, index: this.columns, name });
    return true;
  }

  #refuse(what: string): void {
    this.problem ??= what;
  }

  /** `inner`: within a sub-select, where a name may be another relation's. */
  #look(value: unknown, inner: boolean): void {
    if (Array.isArray(value)) {
      for (const item of value) this.#look(item, inner);
      return;
    }
    if (!isFields(value)) return;
    const found = unwrap(value);
    if (found?.type === 'ColumnRef') return this.#reference(found.node, inner);
    if (found?.type === 'A_Indirection') this.#fields(found.node);
    if (found?.type === 'SubLink') {
      this.#look(found.node.testexpr, inner);
      return this.#look(found.node.subselect, true);
    }
    for (const item of Object.values(found?.node ?? value)) this.#look(item, inner);
  }

  /** `(row).column`. */
  #fields(indirection: Fields): void {
    for (const part of list(indirection.indirection)) {
      const name = text(asNode(part, 'String')?.sval);
      const star = asNode(part, 'A_Star') !== null;
      if (star || this.#mask(name) !== null) this.#refuse(`RETURNING (…).${star ? '*' : name}`);
    }
  }

  #reference(reference: Fields, inner: boolean): void {
    const parts = names(reference.fields);
    const last = parts.at(-1) ?? '*';
    const row = inner ? null : this.#rowOf(parts.slice(0, -1));
    if (callsWithRow(parts, this.#rows, this.#relation)) return this.#refuse(`RETURNING ${parts.join('.')}`);
    if (row !== null && isColumn(this.#relation, last)) {
      const mask = this.#masked(last, row);
      if (mask !== null) this.replacements.push({ reference, node: reference, text: mask });
      return;
    }
    if (!inner && parts.length === 1 && last === this.#row) {
      this.replacements.push({ reference, node: reference, text: this.#wholeRow() });
      return;
    }
    if (parts.length === 1 && last === 'ctid') return this.#refuse('RETURNING ctid');
    const isOther = parts.length === 2 && !this.#rows.has(parts[0] ?? '');
    if (last === '*' || this.#rows.has(last) || (this.#mask(last) !== null && (inner || !isOther)))
      this.#refuse(`RETURNING ${parts.join('.')}${inner ? ' within a sub-select' : ''}`);
  }

  /** The target's row, as it is written before a column; null where the qualifier does not mean it. */
  #rowOf(qualifier: readonly string[]): string | null {
    const [first = '', second] = qualifier;
    const own = quoteIdentifier(this.#row);
    switch (qualifier.length) {
      case 0:
        return own;
      case 1:
        return first === this.#row || first === 'old' || first === 'new' ? quoteIdentifier(first) : null;
      case 2: {
        const { schema, name } = this.#relation;
        const isTarget =
          first === schema && second === name && this.#row === name && fields(this.#writer.node.relation).alias === undefined;
        return isTarget ? own : null;
      }
      default:
        return null;
    }
  }

  #mask(name: string) {
    return this.#world.maskedColumns(this.#relation).get(name) ?? null;
  }

  #masked(name: string, row: string): string | null {
    const mask = this.#mask(name);
    const column = this.#relation.columns.find((one) => one.name === name);
    if (mask === null || column === undefined) return null;
    return `(SELECT ${maskExpression(this.#world.catalog, column, mask, row)} AS ${quoteIdentifier(name)})`;
  }

  #columns(row: string, mayClear: boolean): string {
    const written = this.#relation.columns.map(({ name }) => {
      const clear = mayClear && this.#giveClear(name, name);
      if (this.columns !== null) this.columns++;
      return (clear ? null : this.#masked(name, row)) ?? `${row}.${quoteIdentifier(name)}`;
    });
    return written.join(', ');
  }

  #wholeRow(): string {
    const row = quoteIdentifier(this.#row);
    const columns = this.#relation.columns.map(
      ({ name }) => `${this.#masked(name, row) ?? `${row}.${quoteIdentifier(name)}`} AS ${quoteIdentifier(name)}`,
    );
    return `(SELECT ${row} FROM (SELECT ${columns.join(', ')}) AS ${row})`;
  }

  #star(target: Fields, reference: Fields): void {
    const qualifier = names(reference.fields).slice(0, -1);
    const row = this.#rowOf(qualifier);
    if (row === null) {
      this.columns = null;
      if (qualifier.length !== 1 || this.#rows.has(qualifier[0] ?? '')) this.#refuse(`RETURNING ${qualifier.join('.')}.*`);
      return;
    }
    const isOwn = qualifier.length === 0 || (qualifier.length === 1 && qualifier[0] === this.#row);
    const own = this.#columns(row, isOwn);
    const all = qualifier.length > 0 ? [own] : this.#all(own);
    if (all === null) return this.#refuse('* beside a FROM clause that is not plain');
    if (all.length > 1) this.columns = null;
    this.replacements.push({ reference, node: target, text: all.join(', ') });
  }

  /** What `*` shows, in order; null where it can't be told. */
  #all(own: string): readonly string[] | null {
    const { node, type } = this.#writer;
    switch (type) {
      case 'InsertStmt':
        return [own];
      case 'UpdateStmt':
      case 'DeleteStmt': {
        const others = starsOf(list(type === 'UpdateStmt' ? node.fromClause : node.usingClause));
        return others === null ? null : [own, ...others];
      }
      case 'MergeStmt': {
        // The columns of the source come first.
        const source = starsOf([node.sourceRelation]);
        return source === null ? null : [...source, own];
      }
      case 'SelectStmt':
        return starsOf(list(node.fromClause))?.map((star) => (star === `${quoteIdentifier(this.#row)}.*` ? own : star)) ?? null;
      default:
        return null;
    }
  }
}

function starsOf(items: readonly unknown[]): readonly string[] | null {
  const stars: string[] = [];
  for (const item of items) {
    const found = unwrap(item);
    if (found?.type === 'JoinExpr') {
      const { alias, isNatural, usingClause, larg, rarg } = found.node;
      const inner = alias === undefined && isNatural !== true && list(usingClause).length === 0 ? starsOf([larg, rarg]) : null;
      if (inner === null) return null;
      stars.push(...inner);
      continue;
    }
    const name = text(fields(found?.node.alias).aliasname) || (found?.type === 'RangeVar' ? text(found.node.relname) : '');
    if (name === '') return null;
    stars.push(`${quoteIdentifier(name)}.*`);
  }
  return stars;
}
