import type { JudgeInput, ResourcePolicy } from '#crds/policy/engine.ts';
import type { ReasonCode, Verdict } from '#crds/policy/verdict.ts';
import { type Denial, makePermit, type Permit } from '../permit.ts';
import type { Outcome } from '../pipeline.ts';

/**
 * Judges one action. `policy` is null where there is none to judge by; `why` then says what the client is told.
 * `bytes` are what goes upstream if it is allowed. Never throws: what goes wrong is a denial.
 */
export function decide(policy: ResourcePolicy | null, why: () => Verdict, input: JudgeInput, bytes: Uint8Array): Outcome {
  const verdict = judge(policy, why, input);
  switch (verdict.decision) {
    case 'Allow':
      return { type: 'permit', permit: makePermit(input.action, verdict, bytes) };
    case 'Hold':
      return { type: 'hold', verdict };
    case 'Deny':
      return { type: 'denial', denial: { type: 'denial', verdict } };
    default:
      throw verdict.decision satisfies never;
  }
}

/**
 * Judges an action again after its approval. The approval counts only for the policies and gates that asked for it, at the
 * generations that asked: where those were edited meanwhile, the answer is a new hold (or a denial, or no need for an approval at all).
 */
export function decideAfterApproval(
  policy: ResourcePolicy | null,
  why: () => Verdict,
  input: JudgeInput,
  bytes: Uint8Array,
  approval: { readonly name: string; readonly asked: Verdict },
): Outcome {
  const outcome = decide(policy, why, input, bytes);
  if (outcome.type !== 'hold' || askedBy(outcome.verdict) !== askedBy(approval.asked)) return outcome;
  const verdict: Verdict = { ...outcome.verdict, decision: 'Allow', message: `${outcome.verdict.message}; approved as ${approval.name}` };
  return { type: 'permit', permit: makePermit(input.action, verdict, bytes, approval.name) };
}

/** The policies and gates behind a hold, with their generations: what an approval is bound to. */
export function askedBy(verdict: Verdict): string {
  const authors = verdict.authors.map((a) => `${a.kind}/${a.namespace}/${a.name}@${a.generation}#${a.rule}`);
  const gates = verdict.gates.map((g) => `${g.namespace}/${g.name}@${g.generation}`);
  return [...authors.sort(), ...gates.sort()].join('\n');
}

/** A denial that a check of Chaperone's own makes (unparsable, not rewritable, limit, approval denied …). */
export function denialOf(check: string, code: ReasonCode, message: string, from?: Verdict): Denial {
  const own = { kind: 'Chaperone', namespace: '', name: 'chaperone', generation: 0, rule: check } as const;
  return {
    type: 'denial',
    verdict: { decision: 'Deny', code, message, authors: from ? from.authors : [own], gates: from?.gates ?? [], audit: from?.audit ?? [] },
  };
}

function judge(policy: ResourcePolicy | null, why: () => Verdict, input: JudgeInput): Verdict {
  try {
    const verdict = policy === null ? why() : policy.judge(input);
    if (policy === null && verdict.decision !== 'Deny') return denialOf('no-policy', 'NoSnapshot', 'no policy is loaded').verdict;
    return verdict;
  } catch {
    // The error's text may hold parts of the statement: it is not passed on.
    return denialOf('judge', 'InternalError', 'the policy could not be evaluated').verdict;
  }
}

/**
 * For a statement that names what is not known here: its Parse alone, which runs nothing, so that the server says in its own words what is wrong.
 * What policy does not allow is not asked about.
 */
export function decideToAsk(policy: ResourcePolicy | null, why: () => Verdict, input: JudgeInput, bytes: Uint8Array): Permit | null {
  const outcome = decide(policy, why, input, bytes);
  if (outcome.type !== 'permit') return null;
  const { verdict } = outcome.permit;
  return makePermit(input.action, { ...verdict, message: `${verdict.message}; the server is asked to parse it, and runs nothing` }, bytes);
}

/**
 * For the extended protocol's Parse: a statement whose execution will be held may be parsed by the server, since it runs nothing.
 * The hold comes with Execute, when its parameters are known.
 */
export function decideToParse(policy: ResourcePolicy | null, why: () => Verdict, input: JudgeInput, bytes: Uint8Array): Outcome {
  const outcome = decide(policy, why, input, bytes);
  if (outcome.type !== 'hold') return outcome;
  const verdict: Verdict = { ...outcome.verdict, decision: 'Allow', message: `${outcome.verdict.message}; it may be parsed, not executed` };
  return { type: 'permit', permit: makePermit(input.action, verdict, bytes) };
}

/** For who runs `chaperone doctor`: they hold the target's credential themselves, and only the catalog is asked. */
export function permitDoctor(database: string, user: string): Permit {
  const { verdict } = denialOf('doctor', 'AllowedSession', 'the catalog is read for who holds the credential');
  return makePermit({ type: 'connect', database, user }, { ...verdict, decision: 'Allow' }, Buffer.alloc(0));
}
