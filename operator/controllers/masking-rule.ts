import type { Finding } from './conditions.ts';
import { compiledFindings, type Judged, programmedOf } from './judge.ts';
import type { Programmed } from './programming.ts';

/** A MaskingRule: valid, its targets are there, and the sidecars that may use one of them have it. */
export function maskingRuleFindings(judged: Judged, programmed: Programmed): readonly Finding[] {
  const findings = compiledFindings(judged);
  return [...findings, programmedOf(findings, programmed)];
}
