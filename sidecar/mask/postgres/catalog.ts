import type { CatalogAccess } from './access.ts';

/** A snapshot of what names mean in one database. Immutable; `version` is a hash of its content. */
export interface Catalog {
  readonly version: string;
  /** Of the database, as `UTF8`. */
  readonly encoding: string;
  /** By `schema`, then by name. */
  readonly relations: ReadonlyMap<string, ReadonlyMap<string, Relation>>;
  readonly relationsByOid: ReadonlyMap<number, Relation>;
  /** By name: every function of that name in any schema. */
  readonly functions: ReadonlyMap<string, readonly CatalogFunction[]>;
  /** Operators outside pg_catalog, by name. */
  readonly operators: ReadonlyMap<string, readonly CatalogOperator[]>;
  /** By `schema`, then by name. */
  readonly types: ReadonlyMap<string, ReadonlyMap<string, CatalogType>>;
  readonly typesByOid: ReadonlyMap<number, CatalogType>;
  /** User-defined casts through a function in SQL or a procedural language, by the types' OIDs. */
  readonly castTypes: readonly { readonly source: number; readonly target: number }[];
  /** What the role that reads the catalog, which is the one that sessions log in with, could get at. */
  readonly access: CatalogAccess;
}

export type RelationKind = 'Table' | 'Partitioned' | 'View' | 'MaterializedView' | 'Foreign' | 'Sequence' | 'Index' | 'Composite';

export interface Relation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly kind: RelationKind;
  readonly temporary: boolean;
  /** In attnum order, dropped ones left out. */
  readonly columns: readonly Column[];
  /** Of a view or materialised view: `pg_get_viewdef` under search_path = pg_catalog, no trailing semicolon. */
  readonly definition: string | null;
  /** What the rules of the relation refer to (views: what they read). */
  readonly dependsOn: readonly number[];
  readonly parents: readonly number[];
  readonly children: readonly number[];
  /** A rule other than a view's own SELECT rule. */
  readonly hasRules: boolean;
  /** A trigger that is not a foreign key's. */
  readonly hasTriggers: boolean;
  /** The default of a column calls a function that is not built in, or set_config. */
  readonly hasCodeDefaults: boolean;
  /** Relations with a foreign key to it: what is changed here may be carried on to them. */
  readonly referencedBy: readonly number[];
  /** Functions that run without being called by name, built-in ones left out. */
  readonly code: readonly { readonly function: CatalogFunction; readonly why: RelationCode }[];
  /** Of a sequence: the column that owns it. */
  readonly ownedBy: { readonly relation: number; readonly column: string } | null;
}

/** `policy` runs with every use of the relation, the others when it is written. */
export type RelationCode = 'trigger' | 'default' | 'check' | 'policy' | 'index';

export interface Column {
  readonly name: string;
  readonly attnum: number;
  readonly type: number;
  /** Type modifier in parentheses, as `(10,2)`; empty where there is none. */
  readonly typmod: string;
  /** The role that reads the catalog, which is the one that sessions log in with, may SELECT it. */
  readonly readable: boolean;
  /** Computed from others: COPY leaves it out. */
  readonly generated: boolean;
}

export interface CatalogFunction {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly kind: 'Function' | 'Aggregate' | 'Window' | 'Procedure';
  readonly volatility: 'Immutable' | 'Stable' | 'Volatile';
  readonly language: string;
  readonly securityDefiner: boolean;
  /** It came with an extension. */
  readonly ofExtension: boolean;
  /** SHA-256 of what pg_get_functiondef gives; null for what came with the server, and for aggregates. */
  readonly definitionSha256: string | null;
  /** Its text, where it is in SQL, runs with the caller's rights and settings, and is of the database. */
  readonly body: string | null;
}

export interface CatalogOperator {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly function: CatalogFunction | null;
}

export interface CatalogType {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** pg_type.typtype. */
  readonly kind: 'b' | 'c' | 'd' | 'e' | 'm' | 'p' | 'r';
  /** A domain's base type; 0 otherwise. */
  readonly base: number;
  /** An array's element type; 0 otherwise. */
  readonly element: number;
  /** A composite's relation; 0 otherwise. */
  readonly relation: number;
  /** A domain's check calls a function outside pg_catalog. */
  readonly checksByFunction: boolean;
}

/** One row per array, one text (or null) per column: what a simple Query gives in text format. */
export type Query = (sql: string) => Promise<readonly (readonly (string | null)[])[]>;

/** A session of its own, for the catalog only. */
export interface CatalogConnection {
  readonly query: Query;
  close(): Promise<void>;
}

export interface CatalogKey {
  readonly resource: string;
  readonly database: string;
  readonly user: string;
}
