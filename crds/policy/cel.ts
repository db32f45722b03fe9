/** Conditions in CEL (https://cel.dev), behind an interface of our own: bounded when they are compiled, bounded when they run, and never thrown. */
import { celEnv, isCelError, parse, plan } from '@bufbuild/cel';
import { RE2JS } from 're2js';
import { bindCondition, type ConditionInput } from './cel-bind.ts';
import { ConditionProblem, inspect } from './cel-inspect.ts';
import { CONNECT_MEMBERS } from './cel-shape.ts';

export type { ConditionInput };

export type ConditionResult = { readonly ok: true; readonly value: boolean } | { readonly ok: false; readonly message: string };

/** A CEL condition, parsed and bounded. */
export interface Condition {
  readonly text: string;
  /** True where it looks at relations or functions, so that names must be resolved first. */
  readonly namesMatter: boolean;
  /** True where it names members of `action` that only commands have: it can't be asked of an opened session. */
  readonly aboutCommands: boolean;
  /** Estimated steps for the largest input. */
  readonly cost: number;
  /** Never throws. The message of a failure may quote values: for traces, not for verdicts. */
  evaluate(input: ConditionInput): ConditionResult;
}

export type CompiledCondition = { readonly ok: true; readonly condition: Condition } | { readonly ok: false; readonly message: string };

export const MAX_CONDITION_LENGTH = 1024;
/** Steps; so many take up to 0.2 seconds with the largest input. */
export const MAX_CONDITION_COST = 250_000;
/** The parser recurses, and is slow on deep nesting. */
const MAX_BRACKETS = 64;
const NAMES = /\b(reads|writes|reached|functions|access)\b/;

/** Parses a condition and estimates its cost. Never throws; what is wrong with the text is in `message`, for the author of the rule. */
export function compileCondition(text: string): CompiledCondition {
  try {
    if (text.length > MAX_CONDITION_LENGTH) throw new ConditionProblem(`a condition has at most ${MAX_CONDITION_LENGTH} characters`);
    if ((text.match(/[([{]/g)?.length ?? 0) > MAX_BRACKETS) throw new ConditionProblem(`a condition has at most ${MAX_BRACKETS} brackets`);
    return { ok: true, condition: build(text) };
  } catch (error) {
    return { ok: false, message: error instanceof ConditionProblem ? error.message : `not a CEL expression: ${firstLine(error)}` };
  }
}

function build(text: string): Condition {
  const parsed = parse(text);
  const { cost, actionMembers } = inspect(parsed.expr);
  if (cost > MAX_CONDITION_COST)
    throw new ConditionProblem(`too expensive: it may take ${cost} steps, and ${MAX_CONDITION_COST} are allowed; nest fewer loops`);
  const patterns = new Map<string, RE2JS>();
  const compilePattern = (pattern: string): RE2JS => {
    const known = patterns.get(pattern) ?? RE2JS.compile(pattern);
    if (patterns.size < MAX_BRACKETS) patterns.set(pattern, known);
    return known;
  };
  const env = celEnv({ re2: { compile: compilePattern } });
  const program = plan(env, parsed);
  const timestamp = plan(env, parse('timestamp(text)'));

  return {
    text,
    cost,
    namesMatter: NAMES.test(text),
    aboutCommands: [...actionMembers].some((member) => !CONNECT_MEMBERS.has(member)),
    evaluate(input) {
      try {
        const { nowText, action, principals, resource } = bindCondition(input);
        const now = timestamp({ text: nowText });
        if (isCelError(now)) return { ok: false, message: now.message };
        const value = program({ action, principals, resource, now });
        if (isCelError(value)) return { ok: false, message: firstLine(value) };
        return typeof value === 'boolean' ? { ok: true, value } : { ok: false, message: 'the condition is not boolean' };
      } catch (error) {
        return { ok: false, message: firstLine(error) };
      }
    },
  };
}

function firstLine(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return (message.split('\n')[0] ?? '').slice(0, 300);
}
