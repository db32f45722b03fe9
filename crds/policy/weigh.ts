import type { Action, SqlStatement } from './action.ts';
import type { ConditionInput } from './cel.ts';
import type { TraceEntry } from './engine.ts';
import { kindBits } from './match-sql.ts';
import type { CompiledPolicy, CompiledRule } from './rule.ts';

/** One thing that must be covered: a statement, or the whole action where it is no SQL. */
interface Unit {
  readonly statement: SqlStatement | null;
  readonly kinds: number;
  /** Covered by any rule that allows or asks, as an opened session is. */
  readonly session: boolean;
}

export interface Weighed {
  readonly units: readonly Unit[];
  /** A policy was inside its time windows. */
  open: boolean;
  readonly denied: CompiledRule[];
  /** Rules whose condition failed. */
  readonly failed: CompiledRule[];
  /** Rules that ask for approval of something that they meet. */
  readonly held: CompiledRule[];
  /** By unit: the first rule that allows it, and all that cover it by asking. */
  readonly allowedBy: (CompiledRule | undefined)[];
  readonly askedBy: (CompiledRule[] | undefined)[];
  /** Rules that deny what empties a relation, where a statement deletes. */
  readonly guarding: CompiledRule[];
  /** First rule that lets a session be opened. */
  sessionBy: CompiledRule | undefined;
}

const SESSION: Unit = { statement: null, kinds: 0, session: true };
const REQUEST: Unit = { statement: null, kinds: 0, session: false };

export function unitsOf(action: Action): readonly Unit[] {
  switch (action.type) {
    case 'connect':
      return [SESSION];
    case 'http':
      return [REQUEST];
    case 'sql':
      // Nothing but semicolons and comments.
      if (action.statements.length === 0) return [SESSION];
      return action.statements.map((statement) => ({ statement, kinds: kindBits(statement), session: statement.housekeeping }));
    default:
      action satisfies never;
      throw new TypeError('unknown action');
  }
}

/** Tries every rule: which deny, ask and allow, in the order in which they are written. No rule changes what another one does. */
export function weigh(
  policies: readonly CompiledPolicy[],
  units: readonly Unit[],
  input: ConditionInput,
  trace?: (entry: TraceEntry) => void,
): Weighed {
  const result: Weighed = {
    units,
    open: false,
    denied: [],
    failed: [],
    held: [],
    allowedBy: [],
    askedBy: [],
    guarding: [],
    sessionBy: undefined,
  };
  for (const policy of policies) {
    const open = policy.open(input.nowMs);
    if (open) result.open = true;
    for (const rule of policy.rules) {
      const why = open ? tryRule(rule, result, input, trace !== undefined) : 'outside of the time windows of the policy';
      if (trace !== undefined)
        trace({ author: rule.author, action: rule.action, mode: policy.mode, matched: why.startsWith('matched'), why });
    }
  }
  return result;
}

/** What came of a rule, in words where somebody listens. */
function tryRule(rule: CompiledRule, result: Weighed, input: ConditionInput, listens: boolean): string {
  switch (rule.action) {
    case 'Deny':
      return tryDeny(rule, result, input);
    case 'Allow':
      return tryAllow(rule, result, input, listens);
    case 'RequireApproval':
      return tryApproval(rule, result, input);
    default:
      return rule.action satisfies never;
  }
}

function tryDeny(rule: CompiledRule, result: Weighed, input: ConditionInput): string {
  const missed = firstMiss(rule, result.units, input.action, false);
  if (missed !== null) {
    if (rule.guardsEveryRow && result.units.some(({ statement }) => statement !== null && mayDelete(statement))) result.guarding.push(rule);
    return missed;
  }
  return asked(rule, result, input, () => {
    result.denied.push(rule);
    return 'matched';
  });
}

function tryAllow(rule: CompiledRule, result: Weighed, input: ConditionInput, listens: boolean): string {
  result.sessionBy ??= rule;
  const { units, allowedBy } = result;
  let why = 'matched';
  let covers = 0;
  for (const [index, unit] of units.entries()) {
    const before = allowedBy[index];
    if (unit.session || (before !== undefined && before.maxAffectedRows === undefined && rule.ask === null && !listens)) continue;
    const gap = rule.gap(input.action, unit.statement, unit.kinds);
    if (gap !== null) {
      if (listens) why = units.length === 1 ? `${OUTSIDE[gap.at]}` : `statement ${index + 1}: ${OUTSIDE[gap.at]}`;
      continue;
    }
    if (covers === 0 && rule.ask !== null) {
      const answer = asked(rule, result, input, () => 'matched');
      if (answer !== 'matched') return answer;
    }
    covers += 1;
    if (before === undefined || allowsMore(rule, before)) allowedBy[index] = rule;
  }
  return why === 'matched' || covers === 0 ? why : `matched in part: ${why}`;
}

/** A statement may do what the rule with the highest limit lets it do. */
function allowsMore(rule: CompiledRule, other: CompiledRule): boolean {
  return (rule.maxAffectedRows ?? Number.POSITIVE_INFINITY) > (other.maxAffectedRows ?? Number.POSITIVE_INFINITY);
}

function mayDelete({ kinds }: SqlStatement): boolean {
  return kinds.includes('Delete') || kinds.includes('Merge');
}

function tryApproval(rule: CompiledRule, result: Weighed, input: ConditionInput): string {
  result.sessionBy ??= rule;
  const { units, askedBy } = result;
  const missed = firstMiss(rule, units, input.action, true);
  const covered = units.flatMap((unit, index) =>
    !unit.session && rule.gap(input.action, unit.statement, unit.kinds) === null ? [index] : [],
  );
  if (missed !== null && covered.length === 0) return missed;
  return asked(rule, result, input, () => {
    if (missed === null) result.held.push(rule);
    for (const index of covered) {
      const list = askedBy[index];
      if (list === undefined) askedBy[index] = [rule];
      else list.push(rule);
    }
    return 'matched';
  });
}

function asked(rule: CompiledRule, result: Weighed, input: ConditionInput, yes: () => string): string {
  if (rule.ask === null) return yes();
  const answer = rule.ask(input);
  if (!answer.ok) {
    result.failed.push(rule);
    return `matched, but its condition failed: ${answer.message}`;
  }
  return answer.value ? yes() : 'the condition is false';
}

/** Null where the rule meets any of the units. An opened session is met only by a rule that is about every action, and only to deny it. */
function firstMiss(rule: CompiledRule, units: readonly Unit[], action: Action, holds: boolean): string | null {
  let first: string | null = null;
  for (const unit of units) {
    const spared = holds && unit.session && (unit.statement === null || !rule.holdsHousekeeping);
    const at = spared ? 'session' : rule.miss(action, unit.statement, unit.kinds);
    if (at === null) return null;
    first ??= NOT_MET[at];
  }
  return first;
}

const NOT_MET = {
  session: 'opening a session and housekeeping are not held',
  protocol: 'it is about another protocol',
  kind: 'no statement kind in it is listed',
  method: 'the method is not listed',
  access: 'its access is not the one that the rule asks for',
  where: 'no WHERE is missing',
  host: 'the host is not listed',
  path: 'the path is not listed',
  relation: 'no relation that it reaches is listed',
  function: 'no function in it is listed',
  effect: 'it has no effect that is listed',
  rows: 'it may write, and how many rows it changes can not be counted',
  unnamed: 'nothing in it is listed',
  condition: 'the condition is false',
} as const;

const OUTSIDE = {
  ...NOT_MET,
  kind: 'a statement kind in it is not listed',
  where: 'no WHERE is missing',
  relation: 'a relation in it is not listed',
  function: 'a function in it is not listed',
  effect: 'it has an effect that is not listed',
  unnamed: 'it writes and names nothing that could be listed',
} as const;
