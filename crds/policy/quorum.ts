import { distinctPeople } from './people.ts';
import type { Principal } from './principal.ts';
import type { SnapshotGate, SnapshotSubject } from './snapshot.ts';

export type MatchesSubject = (subject: SnapshotSubject, principal: Principal) => boolean;

/** Gates that this person may decide. */
export function gatesOf(gates: readonly SnapshotGate[], approver: Principal, matches: MatchesSubject): SnapshotGate[] {
  return gates.filter((gate) => gate.approvers.some((subject) => matches(subject, approver)));
}

export interface GateProgress {
  readonly namespace: string;
  readonly name: string;
  readonly quorum: number;
  /** Distinct people who approved and may decide this gate. */
  readonly approved: number;
}

/** Each gate counts its own approvers; one person may count for several gates, and once for each. */
export function progressOf(gates: readonly SnapshotGate[], approvers: readonly Principal[], matches: MatchesSubject): GateProgress[] {
  return gates.map((gate) => {
    const people = approvers.filter((approver) => gate.approvers.some((subject) => matches(subject, approver)));
    return { namespace: gate.namespace, name: gate.name, quorum: gate.quorum, approved: distinctPeople(people) };
  });
}

export const isComplete = (progress: readonly GateProgress[]): boolean =>
  progress.length > 0 && progress.every((gate) => gate.approved >= gate.quorum);
