import type { Verdict } from '#crds/policy/verdict.ts';
import type { RecordedAction } from '#crds/record/event.ts';
import { limitAction } from './limit.ts';
import { actionJson, isPlainSql, plainSqlHead, plainSqlTail } from './members.ts';

export type ActionPhase = 'first' | 'again';

/**
 * The members of action events, as JSON.stringify would write them. The verdict's part is made once for each verdict (policy has one for each
 * rule), and all that follows a statement's text and digest once for as long as they are the same.
 */
export class ActionMembers {
  readonly #maxTextBytes: number;
  readonly #verdicts = new WeakMap<Verdict, string>();
  #last: { readonly verdict: Verdict; readonly kinds: readonly string[]; readonly tokenised: boolean; readonly version: string } | null =
    null;
  #lastTail = '';

  constructor(maxTextBytes: number) {
    this.#maxTextBytes = maxTextBytes;
  }

  /** From the channel on. `version` is the snapshot's. */
  of(verdict: Verdict, action: RecordedAction, phase: ActionPhase, version: string, approval?: string): string {
    const open = `0,"type":"action","phase":"${phase}","action":`;
    // A UTF-16 unit takes at most three bytes: what is as short as this is not cut.
    if (isPlainSql(action) && action.received.length * 3 <= this.#maxTextBytes && approval === undefined)
      return `${open}${plainSqlHead(action)}${this.#tail(verdict, action, version)}`;
    const limited = actionJson(limitAction(action, this.#maxTextBytes));
    const used = approval === undefined ? '' : `,"approval":${JSON.stringify(approval)}`;
    return `${open}${limited},${this.#judged(verdict)},"snapshot":${JSON.stringify(version)}${used}`;
  }

  #tail(verdict: Verdict, action: RecordedAction & { type: 'sql' }, version: string): string {
    const { kinds, tokenised } = action;
    const last = this.#last;
    if (last === null || last.verdict !== verdict || last.kinds !== kinds || last.tokenised !== tokenised || last.version !== version) {
      this.#last = { verdict, kinds, tokenised, version };
      this.#lastTail = `${plainSqlTail(action)},${this.#judged(verdict)},"snapshot":${JSON.stringify(version)}`;
    }
    return this.#lastTail;
  }

  #judged(verdict: Verdict): string {
    let json = this.#verdicts.get(verdict);
    if (json === undefined) {
      const { decision, code, message, authors, audit } = verdict;
      json = JSON.stringify({ decision, code, message, authors, ...(audit.length > 0 ? { audit } : {}) }).slice(1, -1);
      this.#verdicts.set(verdict, json);
    }
    return json;
  }
}
