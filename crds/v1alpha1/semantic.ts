/** What a schema can't say. Runs on an object that has passed it. */
import { RE2JS } from 're2js';
import { compileCondition } from '../policy/cel.ts';
import type { AccessPolicySpec } from './access-policy.ts';
import type { ChaperoneObject } from './kinds.ts';
import type { MaskingRuleSpec } from './masking-rule.ts';
import type { Problem } from './problem.ts';

export function semanticProblems(object: ChaperoneObject): Problem[] {
  switch (object.kind) {
    case 'AccessPolicy':
      return accessPolicyProblems(object.spec);
    case 'MaskingRule':
      return maskingRuleProblems(object.spec);
    case 'ProtectedResource':
    case 'ApprovalGate':
      return [];
    default:
      return object satisfies never;
  }
}

function accessPolicyProblems(spec: AccessPolicySpec): Problem[] {
  return spec.rules.flatMap((rule, index) => {
    const path = `spec.rules[${index}]`;
    return [
      ...conditionProblems(rule.when, `${path}.when`),
      ...(rule.http?.hosts ?? []).flatMap((host, at) => starsProblems(host, '.', `${path}.http.hosts[${at}]`)),
      ...(rule.http?.paths ?? []).flatMap((glob, at) => starsProblems(glob, '/', `${path}.http.paths[${at}]`)),
    ];
  });
}

function conditionProblems(when: string | undefined, path: string): Problem[] {
  if (when === undefined) return [];
  const result = compileCondition(when);
  return result.ok ? [] : [invalid(path, result.message)];
}

/** `**` means whole labels or segments, so it must be one. */
function starsProblems(glob: string, separator: string, path: string): Problem[] {
  const wrong = glob.split(separator).some((part) => part.includes('**') && part !== '**');
  return wrong ? [invalid(path, `** must stand alone between two '${separator}'`)] : [];
}

function maskingRuleProblems(spec: MaskingRuleSpec): Problem[] {
  return (spec.detectors ?? []).flatMap(({ pattern }, index) =>
    pattern === undefined ? [] : patternProblems(pattern, `spec.detectors[${index}].pattern`),
  );
}

/** Instructions of the compiled program: what bounds the time of one byte, because `x{1,1000}` is short text and a long program. */
export const MAX_PATTERN_SIZE = 2000;

function patternProblems(pattern: string, path: string): Problem[] {
  try {
    const compiled = RE2JS.compile(pattern);
    if (compiled.programSize() > MAX_PATTERN_SIZE)
      return [invalid(path, 'the pattern is too large once compiled: use smaller repetitions')];
    return compiled.matcher('').find() ? [invalid(path, 'the pattern matches the empty text, so it would match everywhere')] : [];
  } catch (error: unknown) {
    return [invalid(path, `not an RE2 pattern: ${error instanceof Error ? error.message : 'it does not compile'}`)];
  }
}

function invalid(path: string, message: string): Problem {
  return { path, code: 'Invalid', message };
}
