/** What all kinds have in common: gathered input in, status out. Pure. */
import type { BrokenObject, CompileObject, ObjectConditions } from '../compile/compile.ts';
import type { Finding } from './conditions.ts';
import { type Programmed, programmedFinding } from './programming.ts';

/** An object that is in the cluster: valid, with what the compiler says of it, or broken. */
export type Judged =
  | { readonly valid: true; readonly object: CompileObject; readonly compiled: ObjectConditions['conditions'] }
  | { readonly valid: false; readonly broken: BrokenObject };

/** Accepted and, where the compiler knows it, ResolvedRefs. A broken object has no references that could be believed. */
export function compiledFindings(judged: Judged): readonly Finding[] {
  if (judged.valid) return judged.compiled.map(({ type, status, reason, message }) => ({ type, status, reason, message }));
  const message = `${judged.broken.problems.join('; ')}. Until it is mended, what it is about denies.`;
  return [
    { type: 'Accepted', status: 'False', reason: 'Invalid', message },
    { type: 'ResolvedRefs', status: 'Unknown', reason: 'Invalid', message: 'The spec can not be read.' },
  ];
}

/** Programmed, or that there is nothing to program. */
export function programmedOf(findings: readonly Finding[], programmed: Programmed): Finding {
  if (findings.some(({ type, status }) => type === 'Accepted' && status === 'False'))
    return { type: 'Programmed', status: 'False', reason: 'NotAccepted', message: 'The spec is not valid, so it is not enforced.' };
  return programmedFinding(programmed);
}
