import type { Action } from './action.ts';
import type { SessionAssurance } from './assurance.ts';
import type { MaskPolicy } from './mask.ts';
import type { Principal } from './principal.ts';
import type { SnapshotLimits, SnapshotResource } from './snapshot.ts';
import type { Author, Verdict } from './verdict.ts';

/** What an action is judged with. The clock is an argument: the contract reads none. */
export interface JudgeInput {
  readonly principals: readonly Principal[];
  readonly action: Action;
  /** Unix time in milliseconds. */
  readonly nowMs: number;
  /** How well masked columns are kept in this session; undefined where that is not known. Not asked of an opened session: it carries no command. */
  readonly assurance?: SessionAssurance | undefined;
}

/** One look at one rule, for `simulate`: which part of it did not match, or that it did. */
export interface TraceEntry {
  readonly author: Author;
  readonly action: 'Allow' | 'Deny' | 'RequireApproval';
  readonly mode: 'Enforce' | 'Audit';
  readonly matched: boolean;
  readonly why: string;
}

/** A resource's policies, compiled once per snapshot (CEL parsed, globs turned into matchers). Never throws: what goes wrong is a Deny. */
export interface ResourcePolicy {
  readonly resource: SnapshotResource;
  judge(input: JudgeInput, trace?: (entry: TraceEntry) => void): Verdict;
  limits(principals: readonly Principal[]): SnapshotLimits;
  /** What is masked for these principals. */
  masking(principals: readonly Principal[]): MaskPolicy;
  /** A policy for them has the rule set `readOnly`, at all times: the server is told that their sessions only read. */
  readOnly(principals: readonly Principal[]): boolean;
  /** True where a rule names relations or functions, or asks for read or write, so that names must be resolved before they can be judged. */
  readonly namesMatter: boolean;
  /** A rule asks for an approval, which is bound to role and search_path. */
  readonly asksApproval: boolean;
}
