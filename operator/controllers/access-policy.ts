import type { Finding } from './conditions.ts';
import { compiledFindings, type Judged, programmedOf } from './judge.ts';
import type { Programmed } from './programming.ts';

/** An AccessPolicy: valid, its targets and gates are there, and the sidecars of its subjects have it. */
export function accessPolicyFindings(judged: Judged, programmed: Programmed): readonly Finding[] {
  const findings = compiledFindings(judged);
  return [...findings, programmedOf(findings, programmed)];
}
