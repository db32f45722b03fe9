import type { Finding } from './conditions.ts';
import { compiledFindings, type Judged, programmedOf } from './judge.ts';
import type { Programmed } from './programming.ts';
import { type SecretOf, secretsFinding } from './secret-needs.ts';

/** A MaskingRule: valid, its targets are there and its key is, and the sidecars that may use one of them have it. */
export function maskingRuleFindings(judged: Judged, programmed: Programmed, secretOf: SecretOf): readonly Finding[] {
  const findings = compiledFindings(judged);
  const secrets = judged.valid ? secretsFinding(judged.object, secretOf) : null;
  // What is missing is said once: first the targets, then the key.
  const resolved = findings.map((finding) =>
    finding.type === 'ResolvedRefs' && finding.status === 'True' && secrets !== null ? secrets : finding,
  );
  return [...resolved, programmedOf(resolved, programmed)];
}
