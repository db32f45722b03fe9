import { ApprovalError } from '#crds/policy/approval-error.ts';
import type { JudgeInput } from '#crds/policy/engine.ts';
import type { ReasonCode, Verdict } from '#crds/policy/verdict.ts';
import { askedBy, decide, decideAfterApproval, denialOf } from '../decide/decide.ts';
import type { Denial, Permit } from '../permit.ts';
import type { ApprovalAsk, ApprovalOutcome, DriverContext, ResourceKey, SessionRecorder } from '../pipeline.ts';

export interface Held {
  readonly context: Pick<DriverContext, 'approvals' | 'policy' | 'now' | 'onLimit'>;
  readonly recorder: SessionRecorder;
  readonly resource: ResourceKey;
  readonly input: Omit<JudgeInput, 'nowMs'>;
  readonly bytes: Uint8Array;
  /** For the approver's eyes: tokenised, at most 16 KiB. */
  readonly summary: string;
  /** What the approval is bound to beside policies and gates: SHA-256 hex. */
  readonly binding: (asked: string) => string;
  /** Aborted when the client cancels or goes away. */
  readonly signal: AbortSignal;
  /** Tells the client that it waits. */
  readonly onRaised: (name: string, expiresAtMs: number, verdict: Verdict) => void;
}

export type Released = { readonly type: 'permit'; readonly permit: Permit } | { readonly type: 'denial'; readonly denial: Denial };

/**
 * Holds an action until it is approved, denied, timed out, cancelled, or until the policies that asked for it changed: then it is judged
 * again, which may end in a new request. Never rejects: what goes wrong is a denial.
 */
export async function holdUntilDecided(held: Held, first: Verdict): Promise<Released> {
  let asked = first;
  for (;;) {
    const ask = askFor(held, asked);
    try {
      const granted = held.context.approvals.granted(ask);
      if (granted !== null) {
        const outcome = again(held, granted.name, asked);
        if (outcome.type !== 'hold') return used(held, outcome);
        asked = outcome.verdict;
        continue;
      }
      const waited = await raiseAndWait(held, ask, asked);
      if (waited.type === 'changed') {
        const outcome = decideNow(held);
        if (outcome.type !== 'hold') return outcome;
        asked = outcome.verdict;
        continue;
      }
      if (waited.outcome.type !== 'approved') return { type: 'denial', denial: refusalOf(waited.outcome, asked) };
      const outcome = again(held, waited.outcome.name, asked);
      if (outcome.type !== 'hold') return used(held, outcome);
      asked = outcome.verdict;
    } catch (error: unknown) {
      countLimit(held, error);
      return { type: 'denial', denial: denialOfError(error, asked) };
    }
  }
}

function askFor(held: Held, asked: Verdict): ApprovalAsk {
  return {
    session: held.recorder.session,
    resource: held.resource,
    principals: held.input.principals,
    gates: asked.gates,
    authors: asked.authors,
    summary: held.summary,
    binding: held.binding(askedBy(asked)),
  };
}

type Waited = { readonly type: 'changed' } | { readonly type: 'outcome'; readonly outcome: ApprovalOutcome };

async function raiseAndWait(held: Held, ask: ApprovalAsk, asked: Verdict): Promise<Waited> {
  const pending = held.context.approvals.raise(ask);
  let settle: (waited: Waited) => void = () => {};
  const changed = new Promise<Waited>((resolve) => {
    settle = resolve;
  });
  const stopWatching = held.context.policy.onChange(() => {
    const outcome = decideNow(held);
    if (outcome.type !== 'hold' || askedBy(outcome.verdict) !== askedBy(asked)) settle({ type: 'changed' });
  });
  const onAbort = () => pending.withdraw(String(held.signal.reason ?? 'withdrawn by the client'));
  held.signal.addEventListener('abort', onAbort, { once: true });
  try {
    held.recorder.event({ type: 'approval', name: pending.name, event: 'raised' });
    held.onRaised(pending.name, pending.expiresAtMs, asked);
    if (held.signal.aborted) onAbort();
    const waited = await Promise.race([pending.outcome.then((outcome): Waited => ({ type: 'outcome', outcome })), changed]);
    if (waited.type === 'changed') {
      pending.withdraw('the policy that asked for it changed');
      held.recorder.event({ type: 'approval', name: pending.name, event: 'withdrawn', reason: 'policy changed' });
    } else recordOutcome(held.recorder, waited.outcome);
    return waited;
  } finally {
    stopWatching();
    held.signal.removeEventListener('abort', onAbort);
  }
}

function recordOutcome(recorder: SessionRecorder, outcome: ApprovalOutcome): void {
  switch (outcome.type) {
    case 'approved':
      for (const by of outcome.by) recorder.event({ type: 'approval', name: outcome.name, event: 'approved', by });
      return;
    case 'denied':
    case 'timedOut':
    case 'withdrawn':
      recorder.event({ type: 'approval', name: outcome.name, event: outcome.type, reason: outcome.message });
      return;
    case 'unavailable':
      recorder.event({ type: 'approval', name: outcome.name, event: 'withdrawn', reason: outcome.message });
      return;
    default:
      throw outcome satisfies never;
  }
}

function decideNow(held: Held) {
  const { policy } = held.context;
  return decide(policy.resource(held.resource), () => policy.why(held.resource), judgeInput(held), held.bytes);
}

function again(held: Held, name: string, asked: Verdict) {
  const { policy } = held.context;
  const why = () => policy.why(held.resource);
  return decideAfterApproval(policy.resource(held.resource), why, judgeInput(held), held.bytes, { name, asked });
}

function judgeInput(held: Held): JudgeInput {
  return { ...held.input, nowMs: held.context.now() };
}

function used(held: Held, outcome: Released): Released {
  if (outcome.type === 'permit' && outcome.permit.approval !== undefined)
    held.recorder.event({ type: 'approval', name: outcome.permit.approval, event: 'used' });
  return outcome;
}

const OUTCOME_CODES: { readonly [type in Exclude<ApprovalOutcome['type'], 'approved'>]: ReasonCode } = {
  denied: 'ApprovalDenied',
  timedOut: 'ApprovalTimedOut',
  withdrawn: 'ApprovalWithdrawn',
  unavailable: 'ApprovalUnavailable',
};

function refusalOf(outcome: Exclude<ApprovalOutcome, { type: 'approved' }>, asked: Verdict): Denial {
  return denialOf('approval', OUTCOME_CODES[outcome.type], `${asked.message}: ${outcome.message} (${outcome.name})`, asked);
}

function countLimit({ context, resource }: Held, error: unknown): void {
  if (!(error instanceof ApprovalError) || error.code !== 'LimitExceeded') return;
  context.onLimit?.(error.ofAll ? 'maxPendingApprovalsTotal' : 'maxPendingApprovals', resource);
}

/** ApprovalError of approvals/ carries a reason code; anything else is unavailable. */
function denialOfError(error: unknown, asked: Verdict): Denial {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'AskerNotIdentified' || code === 'LimitExceeded') {
    return denialOf('approval', code, `${asked.message}: ${(error as Error).message}`, asked);
  }
  return denialOf('approval', 'ApprovalUnavailable', `${asked.message}: an approval can't be had now`, asked);
}
