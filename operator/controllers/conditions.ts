/** Status by Kubernetes' conventions: conditions in, conditions out. Pure; the clock is an argument. */
import type { Status } from '#crds/v1alpha1/kinds.ts';

export type Condition = NonNullable<Status['conditions']>[number];

/** A condition before it is known since when it holds, and for which generation. */
export interface Finding {
  readonly type: 'Accepted' | 'ResolvedRefs' | 'Programmed';
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

type Written = Omit<Finding, 'type'> & { readonly type: Finding['type'] | 'Ready' | 'Stalled' | 'Reconciling' };

/** Of the schema's 32768. A person reads it in a terminal. */
const MAX_MESSAGE = 2_000;

/**
 * The findings, `Ready`, and by kstatus' conventions `Stalled` (its author must mend it) or `Reconciling` (it will come by itself), which are absent
 * where they don't hold. What others wrote stays. `lastTransitionTime` is kept while the status is the same.
 */
export function conditionsFrom(
  findings: readonly Finding[],
  { previous, generation, now }: { readonly previous: readonly Condition[]; readonly generation: number; readonly now: Date },
): readonly Condition[] {
  const written: readonly Written[] = [...findings, readiness(findings), ...progress(findings)];
  const own = new Set<string>([...TYPES]);
  return [
    ...written.map(({ type, status, reason, message }): Condition => {
      const before = previous.find((condition) => condition.type === type);
      const lastTransitionTime = before?.status === status ? before.lastTransitionTime : now.toISOString().replace(/\.\d+Z$/, 'Z');
      return { type, status, reason, message: cut(message), observedGeneration: generation, lastTransitionTime };
    }),
    ...previous.filter(({ type }) => !own.has(type)),
  ];
}

const TYPES: readonly Written['type'][] = ['Accepted', 'ResolvedRefs', 'Programmed', 'Ready', 'Stalled', 'Reconciling'];

/** Ready is what all of them say; the first that says otherwise gives the reason. */
function readiness(findings: readonly Finding[]): Written {
  const wrong = findings.find(({ status }) => status === 'False') ?? findings.find(({ status }) => status === 'Unknown');
  if (wrong === undefined) return { type: 'Ready', status: 'True', reason: 'Ready', message: 'It is valid, complete and enforced.' };
  return { type: 'Ready', status: wrong.status, reason: wrong.reason, message: wrong.message };
}

function progress(findings: readonly Finding[]): readonly Written[] {
  const stalled = findings.find(({ type, status }) => type === 'Accepted' && status === 'False');
  if (stalled !== undefined) return [{ type: 'Stalled', status: 'True', reason: stalled.reason, message: stalled.message }];
  const waits = findings.find(({ status }) => status !== 'True');
  return waits === undefined ? [] : [{ type: 'Reconciling', status: 'True', reason: waits.reason, message: waits.message }];
}

function cut(message: string): string {
  return message.length <= MAX_MESSAGE ? message : `${message.slice(0, MAX_MESSAGE - 1)}…`;
}
