/** What is judged, in protocol-neutral form. Drivers make actions; policy matches them. Closed: every consumer ends with `satisfies never`. */
export type Action = ConnectAction | SqlAction | HttpAction;

/** A session is opened. Covered by any Allow or RequireApproval rule whose subject and time window match: it carries no command. */
export interface ConnectAction {
  readonly type: 'connect';
  readonly database?: string;
  /** The requested database user: what the client claims, never a subject. */
  readonly user?: string;
}

/** One simple Query (all of its statements) or one extended-protocol statement; judged as a whole. */
export interface SqlAction {
  readonly type: 'sql';
  readonly database: string;
  readonly user: string;
  readonly statements: readonly SqlStatement[];
}

export const STATEMENT_KINDS = [
  'Select',
  'Insert',
  'Update',
  'Delete',
  'Merge',
  'Truncate',
  'CopyFrom',
  'CopyTo',
  'Create',
  'Alter',
  'Drop',
  'Grant',
  'Revoke',
  'Comment',
  'Set',
  'Show',
  'Transaction',
  'Explain',
  'Prepare',
  'Execute',
  'Deallocate',
  'Cursor',
  'Lock',
  'Listen',
  'Call',
  'Do',
  'Maintenance',
  'Other',
] as const;
export type StatementKind = (typeof STATEMENT_KINDS)[number];

/** A name as the server resolves it. `schema` is null where it could not be resolved: such a name matches no Allow rule and every Deny or RequireApproval rule that names relations or functions. */
export interface SqlName {
  readonly schema: string | null;
  readonly name: string;
}

/**
 * What a statement does beyond reading. What can't be seen is an effect of its own, `OpaqueCode`: DO, CALL, functions of the database, triggers,
 * rules, SQL in a string.
 */
export const EFFECT_KINDS = [
  'Write',
  'Drop',
  'SchemaChange',
  'PrivilegeChange',
  'ServerAccess',
  'DeleteWithoutWhere',
  'OpaqueCode',
] as const;
export type EffectKind = (typeof EFFECT_KINDS)[number];

export interface SqlEffect {
  readonly kind: EffectKind;
  /** What in the statement has the effect, in a few words, never a value. */
  readonly what: string;
  /** The function that may have it: a rule that trusts the function does not see the effect. */
  readonly function: SqlName | null;
}

/** Facts of one SQL statement, at any depth of it (CTE, sub-select, EXPLAIN, PREPARE, COPY, cursor). */
export interface SqlStatement {
  /** Of the outermost statement. */
  readonly kind: StatementKind;
  /** Of every statement inside, the outermost included; no duplicates. */
  readonly kinds: readonly StatementKind[];
  /** Relations that the text names (CTE names excluded). */
  readonly reads: readonly SqlName[];
  readonly writes: readonly SqlName[];
  /** Relations behind the named ones: what a view reads, a partition's parent and children. Deny and RequireApproval match on these too. */
  readonly reached: readonly SqlName[];
  /** Functions called by name. */
  readonly functions: readonly SqlName[];
  /** `Read` only where it is known that nothing changes: no writing kind, no locking clause, no function that may write. */
  readonly access: 'Read' | 'Write';
  /** An UPDATE or DELETE at any depth with no WHERE clause. TRUNCATE counts. */
  readonly missingWhere: boolean;
  /** Of all that it would run; `EXPLAIN` without ANALYZE runs nothing of what it explains. */
  readonly effects: readonly SqlEffect[];
  /** The server's own count in its answer tells all rows that the statement changes: one INSERT, UPDATE, DELETE, MERGE or COPY FROM, and it is the outermost. */
  readonly countsRows: boolean;
  /** Session housekeeping (BEGIN, COMMIT, DEALLOCATE, harmless SET and SHOW, FETCH of a judged cursor): covered as a connection is. */
  readonly housekeeping: boolean;
}

export interface HttpAction {
  readonly type: 'http';
  /** Upper case. */
  readonly method: string;
  /** Lower case, without port. */
  readonly host: string;
  /** Normalised: begins with `/`, no dot segments, no empty segments, percent-decoded only for unreserved characters, without the query. */
  readonly path: string;
  /** Raw query without `?`, empty where there is none. */
  readonly query: string;
}
