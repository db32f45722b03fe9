import type { Finding } from './conditions.ts';
import { compiledFindings, type Judged, programmedOf } from './judge.ts';
import type { Programmed } from './programming.ts';
import { type SecretOf, secretsFinding } from './secret-needs.ts';

/** A ProtectedResource: valid, its Secrets have what it asks of them, and the sidecars have it. */
export function protectedResourceFindings(judged: Judged, programmed: Programmed, secretOf: SecretOf): readonly Finding[] {
  const compiled = compiledFindings(judged);
  const findings =
    judged.valid && judged.object.kind === 'ProtectedResource' ? [...compiled, secretsFinding(judged.object, secretOf)] : compiled;
  return [...findings, programmedOf(findings, programmed)];
}
