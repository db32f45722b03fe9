/**
 * What a statement names, at any depth, as the text says it: nothing is resolved here.
 * A full walk of the parse tree. A node that is not known makes the statement `Other` and is named in `unknown`.
 */
import type { StatementKind } from '#crds/policy/action.ts';
import type { Fields } from './ast.ts';
import { walkStatement } from './walk.ts';

export interface WrittenName {
  /** As written; empty where it is not. */
  readonly schema: string;
  readonly name: string;
}

/**
 * From: in a FROM clause, so that a sub-select can stand in its place. Target: of INSERT, UPDATE, DELETE or MERGE.
 * Create: it does not exist yet. Write: anything else of a statement that changes something.
 */
export type RelationRole = 'From' | 'Target' | 'Create' | 'Write' | 'Read' | 'CopyTo' | 'CopyFrom';

export interface RelationFact extends WrittenName {
  /** The RangeVar. */
  readonly node: Fields;
  readonly role: RelationRole;
  /** The database that the name gives; empty where it does not. */
  readonly database: string;
  readonly sampled: boolean;
  /** The statement node that it belongs to. */
  readonly owner: Fields;
}

export interface FunctionFact extends WrittenName {
  readonly node: Fields;
  /** Syntax to the parser's version of the grammar; an older server calls a function of that name, if there is one. */
  readonly syntax: boolean;
}

/** A statement inside of a statement, or the statement itself. */
export interface Act {
  readonly type: string;
  readonly node: Fields;
  /** Inside of an EXPLAIN without ANALYZE: it is planned and not run. */
  readonly planned: boolean;
}

export interface StatementFacts {
  /** Node type of the outermost statement. */
  readonly type: string;
  readonly node: Fields;
  readonly kind: StatementKind;
  readonly kinds: readonly StatementKind[];
  /** CTE names are left out. */
  readonly relations: readonly RelationFact[];
  readonly functions: readonly FunctionFact[];
  readonly operators: readonly WrittenName[];
  readonly types: readonly WrittenName[];
  readonly columns: readonly Fields[];
  /** Column names in JOIN … USING; `*` for a NATURAL join. */
  readonly usingColumns: readonly string[];
  readonly settings: readonly Fields[];
  /** Statements that change or return rows, with their type, at any depth. */
  readonly writers: readonly { readonly type: string; readonly node: Fields }[];
  /** Every statement at any depth, the outermost first. */
  readonly acts: readonly Act[];
  /** Cursors of WHERE CURRENT OF. */
  readonly cursors: readonly string[];
  /** FOR UPDATE, FOR SHARE. */
  readonly locking: boolean;
  /** Any cast, constructor or clause of COPY that reaches a file or a program of the server. */
  readonly serverFile: boolean;
  readonly missingWhere: boolean;
  /** Things changed that no relation's name tells: functions, roles, what CASCADE takes along. */
  readonly opaque: readonly string[];
  readonly unknown: readonly string[];
}

/** Throws RangeError where the tree is deeper than the limit. */
export function readFacts(stmt: Fields): StatementFacts {
  return walkStatement(stmt);
}
