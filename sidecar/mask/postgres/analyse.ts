/** SQL text in; facts for policy, the text that may be sent, and what it changes in the session out. */
import type { SqlStatement } from '#crds/policy/action.ts';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import type { Catalog } from './catalog.ts';

/** What the server resolves names by. Read it again after each statement whose `effects.state` is true, and after the end of a transaction that held one. */
export interface SessionState {
  /** Effective schemas in order: `current_schemas(true)`, `pg_catalog` and `pg_temp_N` included. */
  readonly searchPath: readonly string[];
  readonly user: string;
  readonly database: string;
}

export interface AnalyseInput {
  readonly sql: string;
  readonly catalog: Catalog | null;
  readonly state: SessionState;
  readonly mask: MaskPolicy;
  /** What was prepared under the name, by SQL or by the protocol. */
  prepared(name: string): Analysis | undefined;
  /** What the open cursor or named portal runs. */
  cursor(name: string): Analysis | undefined;
}

/** Stable codes. A refusal is judged after policy: a policy's own denial names its author first. */
export type RefusalCode =
  /** The text is no SQL that the parser accepts, or is past a limit of size or depth. */
  | 'Unparsable'
  /** Understood, and refused: it can't be judged, or could change how SQL is read. */
  | 'NotSupported'
  /** A relation, function, type or operator is not in the catalog, or there is no catalog. */
  | 'NotResolved'
  /** It meets masked columns in a way that can't be rewritten. */
  | 'NotRewritable';

export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
}

export interface Effects {
  /** The catalog may change. */
  readonly ddl: boolean;
  /** Role, search_path or another setting that names are resolved by may change. */
  readonly state: boolean;
  /** COMMIT, ROLLBACK, ROLLBACK TO: what `SET` did may be undone. */
  readonly endsTransaction: boolean;
  /** SQL PREPARE: keep this Analysis under the name. */
  readonly prepares: readonly string[];
  readonly deallocates: readonly string[];
  readonly deallocatesAll: boolean;
  /** DECLARE: keep this Analysis under the name. */
  readonly declares: readonly string[];
  readonly closes: readonly string[];
  readonly closesAll: boolean;
  /** DISCARD ALL: prepared statements, cursors and settings are gone. */
  readonly discardsAll: boolean;
  /** COPY FROM STDIN, COPY TO STDOUT. */
  readonly copyIn: boolean;
  readonly copyOut: boolean;
}

export interface Analysis {
  /** The client's text. */
  readonly sql: string;
  readonly statements: readonly SqlStatement[];
  /** Byte for byte the client's, or rewritten. Never sent where there is a refusal. */
  readonly sent: string;
  /** A relation with masked columns is read, written or reached: server errors and notices are then replaced, parameters tokenised. */
  readonly touchesMasked: boolean;
  /** `$n` that are written to a masked column: refuse values for which `looksLikeMask` is true. */
  readonly maskedParameters: readonly number[];
  /** Carries, or may carry, a password: its literals are tokenised in a recording. */
  readonly passwords: boolean;
  /** The client's text for a recording or an approver. `tokenise` is given each literal that may meet a masked column or be a password. */
  recorded(tokenise: (literal: string) => string): string;
  /** The same for `sent`. */
  recordedSent(tokenise: (literal: string) => string): string;
  readonly refusal: Refusal | null;
  readonly effects: Effects;
  /** No statement at all. */
  readonly isEmpty: boolean;
  /** Of catalog, search path and masks. Where it differs at Bind or Execute, analyse again: the server resolves names again too. */
  readonly basis: string;
}

/** Loads the parser's WASM. Await it once before the first `analyse`. */
export function ready(): Promise<void> {
  throw new Error('in the making');
}

/** Sync, never throws; cached by text, catalog, search path and masks. */
export function analyse(_input: AnalyseInput): Analysis {
  throw new Error('in the making');
}
