import type { Action } from './action.ts';
import type { Principal } from './principal.ts';

/** What a condition may look at. */
export interface ConditionInput {
  readonly action: Action;
  readonly principals: readonly Principal[];
  readonly resource: { readonly namespace: string; readonly name: string; readonly protocol: string };
  /** Unix time in milliseconds. */
  readonly nowMs: number;
}

export type ConditionResult = { readonly ok: true; readonly value: boolean } | { readonly ok: false; readonly message: string };

/** A CEL condition, parsed and bounded. `evaluate` never throws. */
export interface Condition {
  readonly text: string;
  /** True where it looks at relations or functions, so that names must be resolved first. */
  readonly namesMatter: boolean;
  evaluate(input: ConditionInput): ConditionResult;
}

export type CompiledCondition = { readonly ok: true; readonly condition: Condition } | { readonly ok: false; readonly message: string };

/** Parses a condition and estimates its cost. Never throws; what is wrong with the text is in `message`, for the author of the rule. */
export function compileCondition(_text: string): CompiledCondition {
  return { ok: false, message: 'conditions are not supported yet' };
}
