import { EFFECT_KINDS, type SqlStatement } from '#crds/policy/action.ts';
import { readFacts, type StatementFacts } from '#sidecar/wire/postgres/sql/facts.ts';
import { type Piece, piecesOf, renderPieces } from '#sidecar/wire/postgres/sql/literals.ts';
import { type Parsed, parseSql } from '#sidecar/wire/postgres/sql/parse.ts';
import { classifySetting } from '#sidecar/wire/postgres/sql/settings.ts';
import type { AnalyseInput, Analysis, Effects, Refusal } from './analyse.ts';
import { changesParser, effectsOf, effectsOfRun, mergeEffects, NO_EFFECTS } from './analyse-effects.ts';
import { type Names, runsNamed, toStatement } from './analyse-facts.ts';
import type { Edit } from './analyse-shape.ts';
import type { CopyIn } from './copy-in.ts';
import { composeEdits, copyTables } from './copy-table.ts';
import { receivedPosition } from './position.ts';
import type { Resolver } from './resolve.ts';
import { resolveRelation } from './resolve.ts';
import type { IsMasked, ResultPlan } from './result-plan.ts';
import { type Rewritten, rewriteMasked } from './rewrite.ts';
import { refusal } from './vet.ts';
import { hasHiddenColumns } from './vet-catalogs.ts';
import { mayShowMaskedInErrors, NAMELESS, vetMasked } from './vet-statement.ts';
import type { MaskedCatalog } from './world.ts';

export interface Built {
  readonly analysis: Analysis;
  /** How the text was rewritten, in order. */
  readonly edits: readonly Edit[];
  /** It runs a prepared statement or a cursor, so the answer holds for this moment only. */
  readonly dependsOnNames: boolean;
  /** Another integer in the text may mean another column of the result. */
  readonly dependsOnIntegers: boolean;
}

const MAX_RUN_DEPTH = 4;

/** Never throws: what goes wrong is a refusal. */
export function buildAnalysis(input: AnalyseInput, world: MaskedCatalog | null, basis: string, depth = 0): Built {
  try {
    return build(input, world, basis, depth);
  } catch (error) {
    const deep = error instanceof RangeError;
    const why = deep
      ? refusal('Unparsable', 'the statement is nested too deeply')
      : refusal('NotSupported', 'the statement could not be analysed');
    return { analysis: notRead(input, basis, why), edits: [], dependsOnNames: false, dependsOnIntegers: false };
  }
}

function build(input: AnalyseInput, world: MaskedCatalog | null, basis: string, depth: number): Built {
  const parsed = parseSql(input.sql);
  if (!parsed.ok)
    return {
      analysis: notRead(input, basis, unparsable(parsed)),
      edits: [],
      dependsOnNames: false,
      dependsOnIntegers: false,
    };
  const all = parsed.statements.map((statement) => readFacts(statement.stmt));
  const { searchPath, database } = input.state;
  const at: Resolver | null = world === null ? null : { catalog: world.catalog, searchPath, database };
  const names: Names = { world, at, searchPath };
  const runs = all.map((facts, index) => madeBefore(all, index, names) ?? runOf(input, world, basis, facts, depth));
  const statements = all.map((facts, index) => toStatement(facts, names, runs[index]?.inner ?? [], isSeen(runs[index])));
  const effects = all.flatMap((facts, index): Effects[] => {
    const run = runs[index]?.analysis;
    return run === undefined || run === null || facts.type === 'FetchStmt'
      ? [effectsOf(facts, at)]
      : [effectsOf(facts, at), effectsOfRun(run)];
  });

  const parameters: number[] = [];
  let copyIn: CopyIn | null = null;
  let refused = firstRefusal(all, (facts) => refuseAlways(facts)) ?? refuseStateBeforeOthers(all);
  for (const run of runs) refused ??= run.refusal ?? run.analysis?.refusal ?? null;
  refused ??= refuseMixedResults(all, runs) ?? refuseExplained(all, runs);
  if (input.mask.active) {
    for (const facts of all) {
      const vetted = vetMasked(world, at, facts);
      refused ??= vetted.refusal;
      parameters.push(...vetted.parameters);
      copyIn ??= vetted.copyIn;
    }
    if (copyIn !== null && all.length > 1) refused ??= refusal('NotRewritable', 'COPY FROM STDIN into masked columns must be sent alone');
  }
  const touches =
    input.mask.active && (refused !== null || runs.some((run) => run.analysis?.touchesMasked === true) || touchesAny(world, at, all));
  let sent = input.sql;
  let edits: readonly Edit[] = [];
  // EXECUTE and FETCH give the result of what they run.
  let plan = runs.length === 1 ? (runs[0]?.analysis?.plan ?? null) : null;
  let unfit: readonly string[] = [];
  let dependsOnIntegers = all.some(readsIntegers);
  if (refused === null && touches && world !== null && at !== null) {
    const copied = copyTables(world, at, input.sql, all);
    const rewritten = typeof copied === 'string' ? notRewritable(copied) : rewriteMasked(world, at, copied.sql, copied.statements);
    if (rewritten.ok) {
      sent = rewritten.sql;
      edits = typeof copied === 'string' ? [] : composeEdits(copied.edits, rewritten.edits);
      plan ??= rewritten.plan;
      unfit = rewritten.unfit;
      dependsOnIntegers ||= rewritten.dependsOnIntegers;
    } else refused = rewritten.refusal;
  }
  const analysis = finish(input, basis, edits, {
    statements,
    sent,
    touchesMasked: touches,
    replaceErrors:
      touches ||
      runs.some((run) => run.analysis?.replaceErrors === true) ||
      (input.mask.active && all.some((facts) => mayShowMaskedInErrors(world, at, facts))),
    maskedParameters: parameters,
    copyIn,
    passwords: carriesPassword(input.sql) || runs.some((run) => run.analysis?.passwords === true),
    refusal: refused,
    effects: { ...mergeEffects(effects), namesAfterState: namesAfterState(all, at) },
    plan,
    mustDescribe: plan !== null || (input.mask.active && all.some((facts) => runsNamed(facts) !== null || showsCatalog(facts, at))),
    isMasked: input.mask.active && world !== null ? world.isMasked : null,
    unfit,
    isEmpty: all.length === 0,
  });
  return { analysis, edits, dependsOnNames: all.some((facts) => runsNamed(facts) !== null), dependsOnIntegers };
}

function unparsable({ message, syntaxError }: Extract<Parsed, { ok: false }>): Refusal {
  return { code: 'Unparsable', message, ...(syntaxError !== null && { syntaxError }) };
}

interface Run {
  readonly analysis: Analysis | null;
  readonly inner: readonly SqlStatement[];
  readonly refusal: Refusal | null;
}

function isSeen(run: Run | undefined): boolean {
  return run?.refusal === null && !run.inner.includes(NOT_SEEN);
}

/** EXECUTE or FETCH of what the same text prepared or declared further up. */
function madeBefore(all: readonly StatementFacts[], index: number, names: Names): Run | null {
  const facts = all[index];
  const named = facts === undefined ? null : runsNamed(facts);
  if (named === null) return null;
  const [type, field] = named.type === 'prepared' ? ['PrepareStmt', 'name'] : ['DeclareCursorStmt', 'portalname'];
  const made = all.slice(0, index).findLast((item) => item.type === type && item.node[field] === named.name);
  // What is prepared may not be run by what is prepared: the grammar has no PREPARE of EXECUTE.
  return made === undefined ? null : { analysis: null, inner: [toStatement(made, names, [], true)], refusal: null };
}

const RUNNABLE: ReadonlySet<string> = new Set(['Select', 'Insert', 'Update', 'Delete', 'Merge']);

/** What EXECUTE or FETCH runs: judged again where the masks, the catalog or the search path are no longer those it was prepared under. */
function runOf(input: AnalyseInput, world: MaskedCatalog | null, basis: string, facts: StatementFacts, depth: number): Run {
  const named = runsNamed(facts);
  if (named === null) return { analysis: null, inner: [], refusal: null };
  const known = named.type === 'prepared' ? input.prepared(named.name) : input.cursor(named.name);
  const label = named.type === 'prepared' ? 'prepared statement' : 'cursor';
  if (known === 'any') return { analysis: null, inner: [NOT_SEEN], refusal: null };
  if (known === undefined) return { analysis: null, inner: [], refusal: refusal('NotResolved', `${label} "${named.name}" does not exist`) };
  if (depth >= MAX_RUN_DEPTH)
    return { analysis: known, inner: known.statements, refusal: refusal('NotSupported', 'EXECUTE is nested too deeply') };
  const current = known.basis === basis ? known : buildAnalysis({ ...input, sql: known.sql }, world, basis, depth + 1).analysis;
  if (current.refusal !== null || current.sent !== known.sent) {
    const why = refusal('NotResolved', `${label} "${named.name}" was made under other masks or another search_path: make it again`);
    return { analysis: current, inner: current.statements, refusal: why };
  }
  const bySql = known.effects.prepares.includes(named.name);
  if (named.type === 'prepared' && !bySql && !known.statements.every((statement) => RUNNABLE.has(statement.kind))) {
    return { analysis: current, inner: current.statements, refusal: refusal('NotSupported', 'EXECUTE of what is no query') };
  }
  return { analysis: current, inner: current.statements, refusal: null };
}

/** What was prepared or declared gives columns in clear that the sidecar must find: only where its result is the only one, and its rows are the result. */
function refuseMixedResults(all: readonly StatementFacts[], runs: readonly Run[]): Refusal | null {
  const index = runs.findIndex((run) => (run.analysis?.plan ?? null) !== null);
  const type = all[index]?.type;
  if (index < 0 || (all.length === 1 && (type === 'ExecuteStmt' || type === 'FetchStmt'))) return null;
  return refusal('NotRewritable', 'what was prepared or declared has a column of tokens: run it in a message of its own');
}

/** A plan tells sizes and numbers of rows of what it reads: as for EXPLAIN of a query itself. */
function refuseExplained(all: readonly StatementFacts[], runs: readonly Run[]): Refusal | null {
  const explained = all.some((facts, index) => facts.kinds.includes('Explain') && runs[index]?.analysis?.touchesMasked === true);
  return explained ? refusal('NotRewritable', 'EXPLAIN of a prepared statement that reads masked columns') : null;
}

function notRewritable(message: string): Rewritten {
  return { ok: false, refusal: refusal('NotRewritable', message) };
}

function refuseAlways(facts: StatementFacts): Refusal | null {
  const [unknown] = facts.unknown;
  if (unknown !== undefined) return refusal('NotSupported', `${unknown} is not understood`);
  if (changesParser(facts))
    return refusal('NotSupported', 'client_encoding, standard_conforming_strings and backslash_quote can not be changed');
  return null;
}

/** After the first statement that may change how names are read there is one that names something. */
function namesAfterState(all: readonly StatementFacts[], at: Resolver | null): boolean {
  const first = all.findIndex((facts) => effectsOf(facts, at).state);
  return first >= 0 && all.slice(first + 1).some((facts) => !NAMELESS.has(facts.type));
}

/** Names after a change of search_path would be resolved by the old one. */
function refuseStateBeforeOthers(all: readonly StatementFacts[]): Refusal | null {
  const changes = all.findIndex(
    (facts) =>
      facts.type === 'DiscardStmt' ||
      facts.settings.some((setting) => classifySetting(setting) === 'state') ||
      facts.functions.some((item) => item.name === 'set_config'),
  );
  if (changes < 0 || all.slice(changes + 1).every((facts) => NAMELESS.has(facts.type))) return null;
  return refusal(
    'NotSupported',
    'a change of role, search_path or other session state must come after all that names something in its message',
  );
}

/** A `*` may show columns of the catalog that become NULL on their way. */
function showsCatalog(facts: StatementFacts, at: Resolver | null): boolean {
  return facts.relations.some((fact) => {
    const relation = at === null ? null : resolveRelation(at, fact);
    return relation !== null && hasHiddenColumns(relation);
  });
}

function touchesAny(world: MaskedCatalog | null, at: Resolver | null, all: readonly StatementFacts[]): boolean {
  if (world === null || at === null) return all.some((facts) => facts.relations.length > 0);
  return all.some((facts) =>
    facts.relations.some((fact) => {
      const relation = resolveRelation(at, fact);
      return relation === null || world.touchesMasked(relation);
    }),
  );
}

function firstRefusal(all: readonly StatementFacts[], check: (facts: StatementFacts) => Refusal | null): Refusal | null {
  for (const facts of all) {
    const found = check(facts);
    if (found !== null) return found;
  }
  return null;
}

/** Words near a password. Too often is better than once too few: it only costs readable literals in the recording. */
function carriesPassword(sql: string): boolean {
  return /passw|pwd|secret|conninfo|connection|dblink|user\s+mapping|passphrase|crypt|scram|options\s*\(/i.test(sql);
}

type Judged = Omit<Analysis, 'sql' | 'basis' | 'recorded' | 'recordedSent' | 'receivedPosition'>;

function finish(input: AnalyseInput, basis: string, edits: readonly Edit[], judged: Judged): Analysis {
  return forText(judged, basis, input.sql, judged.sent, scanned(input.sql, judged.sent, edits));
}

/** Where the literals of a text are, as received and as sent. */
export interface Literals {
  received(): readonly Piece[];
  sent(): readonly Piece[];
  /** How the one became the other, in order. */
  edits(): readonly Edit[];
}

function scanned(sql: string, sent: string, edits: readonly Edit[] = []): Literals {
  let received: readonly Piece[] | null = null;
  let rewritten: readonly Piece[] | null = null;
  return {
    received: () => (received ??= piecesOf(sql)),
    sent: () => (rewritten ??= piecesOf(sent)),
    edits: () => edits,
  };
}

/** The same judgement of a text that only differs in integers; `sent` is that text, rewritten as the judged one was. */
export function forText(judged: Judged, basis: string, sql: string, sent: string, literals: Literals = scanned(sql, sent)): Analysis {
  return new JudgedText(judged, basis, sql, sent, literals);
}

/** A class, because one is made for each statement. */
class JudgedText implements Analysis {
  readonly sql: string;
  readonly sent: string;
  readonly basis: string;
  readonly statements: readonly SqlStatement[];
  readonly touchesMasked: boolean;
  readonly replaceErrors: boolean;
  readonly maskedParameters: readonly number[];
  readonly copyIn: CopyIn | null;
  readonly passwords: boolean;
  readonly refusal: Refusal | null;
  readonly effects: Effects;
  readonly plan: ResultPlan | null;
  readonly mustDescribe: boolean;
  readonly isMasked: IsMasked | null;
  readonly unfit: readonly string[];
  readonly isEmpty: boolean;
  readonly #literals: Literals;

  constructor(judged: Judged, basis: string, sql: string, sent: string, literals: Literals) {
    this.sql = sql;
    this.sent = sent;
    this.basis = basis;
    this.statements = judged.statements;
    this.touchesMasked = judged.touchesMasked;
    this.replaceErrors = judged.replaceErrors;
    this.maskedParameters = judged.maskedParameters;
    this.copyIn = judged.copyIn;
    this.passwords = judged.passwords;
    this.refusal = judged.refusal;
    this.effects = judged.effects;
    this.plan = judged.plan;
    this.mustDescribe = judged.mustDescribe;
    this.isMasked = judged.isMasked;
    this.unfit = judged.unfit;
    this.isEmpty = judged.isEmpty;
    this.#literals = literals;
  }

  get #hidden(): boolean {
    return this.touchesMasked || this.passwords;
  }

  recorded(tokenise: (literal: string) => string): string {
    return this.#hidden ? renderPieces(this.#literals.received(), tokenise) : this.sql;
  }

  receivedPosition(position: number): number {
    return this.sent === this.sql ? position : receivedPosition(this.sql, this.sent, this.#literals.edits(), position);
  }

  recordedSent(tokenise: (literal: string) => string): string {
    return this.#hidden ? renderPieces(this.#literals.sent(), tokenise) : this.sent;
  }
}

/** Policy sees it as something that no Allow rule with a limit of its own matches. */
const NOT_SEEN: SqlStatement = {
  kind: 'Other',
  kinds: ['Other'],
  reads: [],
  writes: [{ schema: null, name: 'what was not understood' }],
  reached: [],
  functions: [{ schema: null, name: 'what was not understood' }],
  access: 'Write',
  missingWhere: false,
  effects: EFFECT_KINDS.map((kind) => ({ kind, what: 'what was not understood', function: null })),
  countsRows: false,
  housekeeping: false,
};

/** A text that no statement could be read from. */
function notRead(input: AnalyseInput, basis: string, why: Refusal): Analysis {
  const judged: Judged = {
    statements: [NOT_SEEN],
    sent: input.sql,
    touchesMasked: input.mask.active,
    replaceErrors: input.mask.active,
    maskedParameters: [],
    copyIn: null,
    passwords: carriesPassword(input.sql),
    refusal: why,
    effects: NO_EFFECTS,
    plan: null,
    mustDescribe: false,
    isMasked: null,
    unfit: [],
    isEmpty: false,
  };
  // An unterminated literal hides from the scanner: the text goes as one token.
  const hidden = judged.touchesMasked || judged.passwords;
  const recorded = (tokenise: (literal: string) => string): string => (hidden ? tokenise(input.sql) : input.sql);
  return { ...judged, sql: input.sql, basis, recorded, recordedSent: recorded, receivedPosition: (position) => position };
}

/** 0 and 1 say what an option or a setting is. */
function readsIntegers(facts: StatementFacts): boolean {
  return facts.settings.length > 0 || facts.acts.some(({ type }) => type === 'ExplainStmt' || type === 'TransactionStmt');
}
