import type { Action, SqlEffect, SqlStatement } from './action.ts';
import { type Condition, type ConditionInput, type ConditionResult, compileCondition } from './cel.ts';
import { compileHttp } from './match-http.ts';
import { compileSql, type Gap } from './match-sql.ts';
import { isRuleSet } from './rule-sets.ts';
import type { SnapshotGate, SnapshotPolicy, SnapshotRule, SnapshotSubject } from './snapshot.ts';
import type { Author, GateRef, Verdict } from './verdict.ts';
import { compileWindows } from './window.ts';

/** A rule with its matchers made. Rules are compiled once for each snapshot and tried for each action. */
export interface CompiledRule {
  readonly author: Author;
  readonly action: SnapshotRule['action'];
  readonly gates: readonly GateRef[];
  /** Names of gates that the snapshot doesn't have. */
  readonly missingGates: readonly string[];
  readonly namesMatter: boolean;
  /** A RequireApproval holds housekeeping only where it names its kind. */
  readonly holdsHousekeeping: boolean;
  /** Why the rule does not cover the statement (of an SQL action) or the action. */
  gap(action: Action, statement: SqlStatement | null, kinds: number): Gap | null;
  /** Why the rule does not meet it. */
  miss(action: Action, statement: SqlStatement | null, kinds: number): Gap['at'] | null;
  readonly maxAffectedRows: number | undefined;
  readonly guardsEveryRow: boolean;
  /** The effect by which a rule that lists effects meets the statement. */
  because(statement: SqlStatement): SqlEffect | null;
  /** Null where the rule has no condition, so that nothing is to be asked. */
  readonly ask: ((input: ConditionInput) => ConditionResult) | null;
  /** The verdict where this rule alone allows and no policy is in Audit mode. */
  readonly allows: Verdict;
}

export interface CompiledPolicy {
  readonly name: string;
  readonly mode: SnapshotPolicy['mode'];
  readonly subjects: readonly SnapshotSubject[];
  readonly source: SnapshotPolicy;
  readonly rules: readonly CompiledRule[];
  readonly open: (nowMs: number) => boolean;
}

const NO_CONDITION_ON_CONNECT: ConditionResult = { ok: true, value: false };
const NOT_COUNTED: Gap = { at: 'rows' };
const OTHER_PROTOCOL: Gap = { at: 'protocol' };

export function compilePolicy(policy: SnapshotPolicy, gates: readonly SnapshotGate[], problem: (message: string) => void): CompiledPolicy {
  return {
    name: `${policy.namespace}/${policy.name}`,
    mode: policy.mode,
    subjects: policy.subjects,
    source: policy,
    rules: policy.rules.map((rule) => compileRule(policy, rule, gates, problem)),
    open: compileWindows(policy.windows),
  };
}

function compileRule(
  policy: SnapshotPolicy,
  rule: SnapshotRule,
  gates: readonly SnapshotGate[],
  problem: (message: string) => void,
): CompiledRule {
  const { namespace, name, generation } = policy;
  const author: Author = { kind: 'AccessPolicy', namespace, name, generation, rule: rule.name };
  const sql = rule.sql && compileSql(rule.sql);
  const http = rule.http && compileHttp(rule.http);
  const found = rule.gates.map((gate) => gates.find((each) => each.namespace === namespace && each.name === gate));
  const condition = compileWhen(rule, (message) => problem(`the condition of ${theRule(author)} can not be compiled: ${message}`));
  return {
    author,
    action: rule.action,
    gates: found.flatMap((gate) =>
      gate === undefined ? [] : [{ namespace: gate.namespace, name: gate.name, generation: gate.generation }],
    ),
    missingGates: rule.gates.filter((_, index) => found[index] === undefined),
    // `access` too: that a function or a view changes nothing is only known from the catalog.
    namesMatter:
      rule.sql?.relations !== undefined ||
      rule.sql?.functions !== undefined ||
      rule.sql?.access !== undefined ||
      rule.sql?.effects !== undefined ||
      rule.maxAffectedRows !== undefined ||
      condition?.namesMatter === true,
    holdsHousekeeping: sql?.namesKinds === true,
    maxAffectedRows: rule.maxAffectedRows,
    guardsEveryRow: rule.guardsEveryRow === true,
    gap(action, statement, kinds) {
      if (rule.maxAffectedRows !== undefined && statement !== null && !countable(statement)) return NOT_COUNTED;
      if (sql !== undefined) return statement === null ? OTHER_PROTOCOL : sql.gap(statement, kinds);
      if (http === undefined) return null;
      const at = action.type === 'http' ? http(action) : 'protocol';
      return at === null ? null : { at };
    },
    miss(action, statement, kinds) {
      if (sql !== undefined) return statement === null ? 'protocol' : sql.miss(statement, kinds);
      if (http === undefined) return null;
      return action.type === 'http' ? http(action) : 'protocol';
    },
    because: (statement) => sql?.because(statement) ?? null,
    ask: condition === null ? null : condition.ask,
    allows: Object.freeze({
      decision: 'Allow',
      code: 'AllowedByRule',
      message: `allowed by ${theRule(author)}`,
      authors: Object.freeze([author]),
      gates: Object.freeze([]),
      audit: Object.freeze([]),
    }),
  };
}

/** What changes no row, and what the server counts itself. Code that can't be seen may change rows that nobody counts. */
function countable({ effects, countsRows }: SqlStatement): boolean {
  if (effects.some(({ kind }) => kind === 'OpaqueCode')) return false;
  return countsRows || effects.every(({ kind }) => kind !== 'Write');
}

/** A condition that can't be compiled fails whenever it is asked, and a condition that fails denies. */
function compileWhen(
  rule: SnapshotRule,
  problem: (message: string) => void,
): { readonly ask: (input: ConditionInput) => ConditionResult; readonly namesMatter: boolean } | null {
  if (rule.when === undefined) return null;
  const compiled = compileCondition(rule.when);
  if (!compiled.ok) {
    problem(compiled.message);
    return { ask: () => ({ ok: false, message: compiled.message }), namesMatter: true };
  }
  const { condition } = compiled;
  return { ask: (input) => askCondition(condition, input), namesMatter: condition.namesMatter };
}

/** An opened session carries no command, so a condition about commands is not asked of it: each command is judged later. */
function askCondition(condition: Condition, input: ConditionInput): ConditionResult {
  return input.action.type === 'connect' && condition.aboutCommands ? NO_CONDITION_ON_CONNECT : condition.evaluate(input);
}

export function theRule(author: Author): string {
  const what = isRuleSet(author.rule) ? 'rule set' : 'rule';
  return `${author.kind} ${author.namespace}/${author.name} ${what} ${author.rule}`;
}
