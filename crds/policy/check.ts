import { RE2JS } from 're2js';
import type { TSchema } from 'typebox';
import { Check, Errors } from 'typebox/value';
import type { SnapshotMasking, SnapshotPolicy, SnapshotResource, SnapshotRule, SnapshotSubject } from './snapshot.ts';
import { snapshotMasking, snapshotPolicy, snapshotResource } from './snapshot-schema.ts';

const MAX_PROBLEMS = 20;

export function schemaProblems(schema: TSchema, value: unknown): readonly string[] {
  if (Check(schema, value)) return [];
  return Errors(schema, value)
    .slice(0, MAX_PROBLEMS)
    .map(({ instancePath, message }) => `${instancePath === '' ? '/' : instancePath}: ${message}`);
}

/** What a snapshot's resource may not be. All that is refused here would otherwise look as if it held, and not hold. */
export function resourceProblems(resource: SnapshotResource): readonly string[] {
  const shape = schemaProblems(snapshotResource, resource);
  if (shape.length > 0) return shape;
  return [
    ...resource.policies.flatMap((policy) => contradictions(policy).map((message) => `AccessPolicy ${policy.name}: ${message}`)),
    ...resource.masking.flatMap((masking) => unusable(masking).map((message) => `MaskingRule ${masking.name}: ${message}`)),
  ];
}

export function policyProblems(policy: SnapshotPolicy): readonly string[] {
  const shape = schemaProblems(snapshotPolicy, policy);
  return shape.length > 0 ? shape : contradictions(policy);
}

export function maskingProblems(masking: SnapshotMasking): readonly string[] {
  const shape = schemaProblems(snapshotMasking, masking);
  return shape.length > 0 ? shape : unusable(masking);
}

/** A subject that no principal can ever be: nobody is both a workload and the holder of a token. */
export function meansNobody({ serviceAccount, user, group, claims }: SnapshotSubject): boolean {
  const asksForToken = user !== undefined || group !== undefined || claims !== undefined;
  return serviceAccount === undefined ? !asksForToken : asksForToken;
}

function contradictions({ subjects, windows, rules }: SnapshotPolicy): readonly string[] {
  return [
    ...(subjects.some(meansNobody) ? ['a subject means nobody: a service account has no user, group or claims'] : []),
    ...(windows.some(({ start, end }) => start === end) ? ['a time window starts when it ends'] : []),
    ...rules.flatMap((rule) => ruleContradictions(rule).map((message) => `rule ${rule.name}: ${message}`)),
  ];
}

function ruleContradictions(rule: SnapshotRule): readonly string[] {
  return [
    ...(rule.sql !== undefined && rule.http !== undefined ? ['it is about SQL and HTTP, so it matches nothing'] : []),
    ...(rule.action !== 'RequireApproval' && rule.gates.length > 0 ? ['gates are only for RequireApproval'] : []),
  ];
}

function unusable({ detectors, exemptSubjects }: SnapshotMasking): readonly string[] {
  return [
    ...(exemptSubjects.some(meansNobody) ? ['a subject means nobody: a service account has no user, group or claims'] : []),
    ...detectors.flatMap(({ type, name, pattern }) => {
      if (type !== 'Custom') return pattern === undefined ? [] : [`detector ${name}: a pattern is only for type Custom`];
      return pattern !== undefined && isRe2(pattern) ? [] : [`detector ${name}: the pattern is not an RE2 regular expression`];
    }),
  ];
}

function isRe2(pattern: string): boolean {
  try {
    RE2JS.compile(pattern);
    return true;
  } catch {
    return false;
  }
}
