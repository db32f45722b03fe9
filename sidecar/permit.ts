import type { Action } from '#crds/policy/action.ts';
import type { Verdict } from '#crds/policy/verdict.ts';

const MAKER: unique symbol = Symbol('decide');
export type Maker = typeof MAKER;

/** Proof that an action was allowed. Carries the very bytes that go upstream: what was judged is what is sent. */
export class Permit {
  readonly action: Action;
  readonly verdict: Verdict;
  readonly bytes: Uint8Array;
  /** Name of the approval that it used, if any. */
  readonly approval: string | undefined;
  #sealed = true;

  constructor(maker: Maker, action: Action, verdict: Verdict, bytes: Uint8Array, approval?: string) {
    if (maker !== MAKER) throw new TypeError('only decide/ makes a Permit');
    this.action = action;
    this.verdict = verdict;
    this.bytes = bytes;
    this.approval = approval;
  }

  static is(value: unknown): value is Permit {
    return value instanceof Permit && #sealed in value;
  }
}

export interface Denial {
  readonly type: 'denial';
  readonly verdict: Verdict;
}

const KEEPER: unique symbol = Symbol('record');

/** Proof that the verdict is on disk. Only record/ makes one, with `recorded()`. */
export class Recorded {
  readonly permit: Permit;
  /** seq of the action event; results name it as their parent. */
  readonly seq: number;
  readonly #sealed = true;

  constructor(keeper: typeof KEEPER, permit: Permit, seq: number) {
    if (keeper !== KEEPER) throw new TypeError('only record/ makes a Recorded');
    this.permit = permit;
    this.seq = seq;
  }

  static is(value: unknown): value is Recorded {
    return value instanceof Recorded && #sealed in value;
  }
}

/** For record/ alone (the import table's test holds it). */
export function recorded(permit: Permit, seq: number): Recorded {
  if (!Permit.is(permit)) throw new TypeError('not a Permit');
  return new Recorded(KEEPER, permit, seq);
}

/** For decide/ alone (the import table's test holds it). */
export function makePermit(action: Action, verdict: Verdict, bytes: Uint8Array, approval?: string): Permit {
  return new Permit(MAKER, action, verdict, bytes, approval);
}
