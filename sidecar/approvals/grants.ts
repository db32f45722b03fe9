import { principalsKey } from '#crds/policy/people.ts';
import type { SnapshotGate } from '#crds/policy/snapshot.ts';
import type { ApprovalAsk } from '../pipeline.ts';
import { askedFor } from './asked.ts';

/**
 * What an approval covers beyond the one action that it was given for.
 *
 * - Statement: nothing. The approval answers the waiting action itself, so it is used once and by exactly its binding.
 * - Session: further actions of the same session.
 * - Window: further actions of the same principals on the same resource, until `windowSeconds` after the approval.
 *
 * In both, only actions that **exactly the same rules and gates, at the same generations,** hold. The approver agreed to what those rules describe
 * (`UPDATE on orders`, say), not to one text: the text may differ. An action that another rule holds as well, or that fewer hold,
 * was not what they agreed to: it asks again. An edit of any of those policies or gates gives them a new generation, so it ends the grant.
 * Where several gates must pass, the grant is only as wide as the narrowest: each gate's own scope has to cover the ask.
 */
export interface Grant {
  readonly name: string;
  readonly session: string;
  readonly principals: string;
  readonly asked: string;
  /** False where a gate's scope is Session: then only the same session is covered. */
  readonly anySession: boolean;
  /** Unix milliseconds; Infinity where no gate sets a window. */
  readonly untilMs: number;
}

/** Null where an approval covers nothing further. */
export function grantOf(name: string, ask: ApprovalAsk, gates: readonly SnapshotGate[], nowMs: number): Grant | null {
  let anySession = true;
  let untilMs = Number.POSITIVE_INFINITY;
  for (const { grant } of gates) {
    switch (grant.scope) {
      case 'Statement':
        return null;
      case 'Session':
        anySession = false;
        break;
      case 'Window':
        untilMs = Math.min(untilMs, nowMs + grant.windowSeconds * 1000);
        break;
      default:
        throw grant satisfies never;
    }
  }
  return { name, session: ask.session, principals: principalsKey(ask.principals), asked: askedFor(ask), anySession, untilMs };
}

export function covers(grant: Grant, ask: ApprovalAsk, nowMs: number): boolean {
  if (nowMs >= grant.untilMs || grant.asked !== askedFor(ask) || grant.principals !== principalsKey(ask.principals)) return false;
  return grant.anySession || grant.session === ask.session;
}

/** Grants in force. Bounded: the oldest gives way, which only makes somebody ask again. */
export class Grants {
  #grants: Grant[] = [];
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  add(grant: Grant, nowMs: number): void {
    this.#grants = [...this.#grants.filter((kept) => nowMs < kept.untilMs), grant].slice(-this.#max);
  }

  find(ask: ApprovalAsk, nowMs: number): Grant | undefined {
    return this.#grants.find((grant) => covers(grant, ask, nowMs));
  }

  clear(): void {
    this.#grants = [];
  }
}
