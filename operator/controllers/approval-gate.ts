import type { Finding } from './conditions.ts';
import { compiledFindings, type Judged, programmedOf } from './judge.ts';
import type { Programmed } from './programming.ts';

/** An ApprovalGate names people, not objects: there is nothing of it that could be missing. */
export function approvalGateFindings(judged: Judged, programmed: Programmed): readonly Finding[] {
  const compiled = compiledFindings(judged);
  const findings: readonly Finding[] = judged.valid
    ? [...compiled, { type: 'ResolvedRefs', status: 'True', reason: 'ResolvedRefs', message: 'It names no other object.' }]
    : compiled;
  return [...findings, programmedOf(findings, programmed)];
}
