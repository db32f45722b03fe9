/** SQL text in; facts for policy, the text that may be sent, and what it changes in the session out. */
import type { SqlStatement } from '#crds/policy/action.ts';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import { loadParser } from '#sidecar/wire/postgres/sql/parse.ts';
import type { SyntaxError } from '#sidecar/wire/postgres/sql/syntax-error.ts';
import { cpuMs, slow } from '../slow.ts';
import { buildAnalysis, forText } from './analyse-build.ts';
import { literalsLike, rewriteLike, type ShapedAnalysis, shaped, shapeOf } from './analyse-shape.ts';
import type { Catalog } from './catalog.ts';
import type { CopyIn } from './copy-in.ts';
import type { IsMasked, ResultPlan } from './result-plan.ts';
import { MaskedCatalog } from './world.ts';

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
  /** What the open cursor or named portal runs; `'any'` where whatever a function opened may be fetched from. */
  cursor(name: string): Analysis | 'any' | undefined;
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
  /** Nothing of that name is known: the server, asked to parse the statement, says so in its own words. */
  readonly unknownName?: true;
  /** The grammar's own error: the server would say the same. */
  readonly syntaxError?: SyntaxError;
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
  /** NOTIFY: what the client itself says. */
  readonly notifies: readonly { readonly channel: string; readonly payload: string }[];
  /** LISTEN and UNLISTEN: channels. */
  readonly listens: readonly string[];
  readonly unlistens: readonly string[];
  readonly unlistensAll: boolean;
  /** Something is named after a statement that changes role, search_path or the like. */
  readonly namesAfterState: boolean;
}

export interface Analysis {
  /** The client's text. */
  readonly sql: string;
  readonly statements: readonly SqlStatement[];
  /** Byte for byte the client's, or rewritten. Never sent where there is a refusal. */
  readonly sent: string;
  /** A relation with masked columns is read, written or reached, or it can't be excluded: literals and parameters are tokenised. */
  readonly touchesMasked: boolean;
  /** The server's errors and notices may quote masked values: touchesMasked, or writes that fire triggers and foreign keys, or the end of a transaction. */
  readonly replaceErrors: boolean;
  /** `$n` that are written to a masked column: refuse values for which `looksLikeMask` is true. */
  readonly maskedParameters: readonly number[];
  /** COPY FROM STDIN into masked columns: refuse data for which `CopyInCheck` says so. */
  readonly copyIn: CopyIn | null;
  /** Carries, or may carry, a password: its literals are tokenised in a recording. */
  readonly passwords: boolean;
  /** The client's text for a recording or an approver. `tokenise` is given each literal that may meet a masked column or be a password. */
  recorded(tokenise: (literal: string) => string): string;
  /** The same for `sent`. */
  recordedSent(tokenise: (literal: string) => string): string;
  /** Where in the client's text an error is that the server found in `sent`. Characters, from 1. */
  receivedPosition(position: number): number;
  readonly refusal: Refusal | null;
  readonly effects: Effects;
  /** What the sidecar does with the columns of its result; null where it has nothing to do. */
  readonly plan: ResultPlan | null;
  /**
   * Its rows may go on only after the server's description of them was held against the plan: there is one, or what EXECUTE and FETCH run may by then
   * be another statement of that name, which has one.
   */
  readonly mustDescribe: boolean;
  /** Which columns no result may show as they are; null where there is no catalog. */
  readonly isMasked: IsMasked | null;
  /** Masked columns whose strategy has no form in their type, in words. */
  readonly unfit: readonly string[];
  /** No statement at all. */
  readonly isEmpty: boolean;
  /** Of catalog, search path and masks. Where it differs at Bind or Execute, analyse again: the server resolves names again too. */
  readonly basis: string;
}

/** Loads the parser's WASM. Await it once before the first `analyse`. */
export function ready(): Promise<void> {
  return loadParser();
}

const MAX_CONTEXTS = 32;
const MAX_ENTRIES = 2048;
const MAX_CHARACTERS = 4 * 1024 * 1024;

/** What the answers of one cache have in common. */
interface Context {
  readonly catalog: Catalog | null;
  /** The last that was found to be this context's: a session keeps its own until it changes. */
  state: SessionState;
  readonly searchPath: readonly string[];
  readonly database: string;
  readonly maskKey: string;
  readonly maskActive: boolean;
  readonly world: MaskedCatalog | null;
  readonly basis: string;
  readonly answers: Map<string, Analysis>;
  readonly shapes: Map<string, ShapedAnalysis>;
  characters: number;
}

export type Analyser = (input: AnalyseInput) => Analysis;

/** Sync, never throws. Remembers its answers by text, catalog, search path and masks; bounded. */
export function newAnalyser(): Analyser {
  const contexts: Context[] = [];
  return (input) => {
    const context = contextOf(contexts, input);
    // The shape first: most texts that have one are new, and a look-up of a new text costs more than finding its integers.
    const shape = shapeOf(input.sql);
    const alike = shape === null ? undefined : context.shapes.get(shape.key);
    if (shape !== null && alike !== undefined) {
      const sent = alike.edits.length === 0 ? input.sql : rewriteLike(alike, shape, input.sql);
      return forText(alike.analysis, context.basis, input.sql, sent, literalsLike(alike, shape, input.sql));
    }
    const known = context.answers.get(input.sql);
    if (known !== undefined) return known;
    const begun = cpuMs();
    const { analysis, dependsOnNames, dependsOnIntegers, edits } = buildAnalysis(input, context.world, context.basis);
    const took = cpuMs() - begun;
    if (took > slow.parseMs) slow.onParse(took);
    if (dependsOnNames) return analysis;
    remember(context, analysis);
    if (shape !== null && analysis.refusal === null && !dependsOnIntegers) rememberShape(context, shaped(analysis, shape, edits));
    return analysis;
  };
}

let shared: Analyser | null = null;

/** The analyser that the sessions of a process share. */
export function analyse(input: AnalyseInput): Analysis {
  shared ??= newAnalyser();
  return shared(input);
}

function contextOf(contexts: Context[], input: AnalyseInput): Context {
  const [newest] = contexts;
  if (newest !== undefined && isFor(newest, input)) return newest;
  const index = contexts.findIndex((context) => isFor(context, input));
  const found = contexts[index];
  if (found !== undefined) {
    if (index > 0) {
      contexts.splice(index, 1);
      contexts.unshift(found);
    }
    return found;
  }
  const { catalog, state, mask } = input;
  const context: Context = {
    catalog,
    state,
    searchPath: [...state.searchPath],
    database: state.database,
    maskKey: mask.key,
    maskActive: mask.active,
    world: catalog === null ? null : new MaskedCatalog(catalog, mask),
    basis: JSON.stringify([catalog?.version ?? null, state.searchPath, state.database, mask.active, mask.key]),
    answers: new Map(),
    shapes: new Map(),
    characters: 0,
  };
  contexts.unshift(context);
  contexts.length = Math.min(contexts.length, MAX_CONTEXTS);
  return context;
}

function isFor(context: Context, { catalog, state, mask }: AnalyseInput): boolean {
  if (context.catalog !== catalog || context.maskKey !== mask.key || context.maskActive !== mask.active) return false;
  if (context.state === state) return true;
  if (context.database !== state.database || context.searchPath.length !== state.searchPath.length) return false;
  if (!context.searchPath.every((schema, index) => schema === state.searchPath[index])) return false;
  context.state = state;
  return true;
}

const MAX_SHAPES = 1024;

function rememberShape(context: Context, shaped: ShapedAnalysis): void {
  context.shapes.set(shaped.shape.key, shaped);
  for (const key of context.shapes.keys()) {
    if (context.shapes.size <= MAX_SHAPES) return;
    context.shapes.delete(key);
  }
}

/** The oldest go first. */
function remember(context: Context, analysis: Analysis): void {
  const size = analysis.sql.length + analysis.sent.length;
  if (size > MAX_CHARACTERS / 16) return;
  context.answers.set(analysis.sql, analysis);
  context.characters += size;
  for (const [sql, oldest] of context.answers) {
    if (context.answers.size <= MAX_ENTRIES && context.characters <= MAX_CHARACTERS) return;
    context.answers.delete(sql);
    context.characters -= oldest.sql.length + oldest.sent.length;
  }
}
