import type { ReasonCode, Verdict } from '#crds/policy/verdict.ts';

/** A default deny: no policy stands behind it, Chaperone itself does. */
export function denied(check: string, code: ReasonCode, message: string): Verdict {
  return {
    decision: 'Deny',
    code,
    message,
    authors: [{ kind: 'Chaperone', namespace: '', name: 'chaperone', generation: 0, rule: check }],
    gates: [],
    audit: [],
  };
}
