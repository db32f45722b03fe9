import { compileCondition } from '#crds/policy/cel.ts';
import { maskingProblems, policyProblems } from '#crds/policy/check.ts';
import { ruleOfSet } from '#crds/policy/rule-sets.ts';
import type {
  SnapshotGate,
  SnapshotMasking,
  SnapshotPolicy,
  SnapshotRule,
  SnapshotStrategy,
  SnapshotSubject,
} from '#crds/policy/snapshot.ts';
import type { AccessPolicySpec } from '#crds/v1alpha1/access-policy.ts';
import type { ApprovalGateSpec } from '#crds/v1alpha1/approval-gate.ts';
import type { AccessPolicy, ApprovalGate, MaskingRule } from '#crds/v1alpha1/kinds.ts';
import type { MaskingRuleSpec } from '#crds/v1alpha1/masking-rule.ts';

type Subject = AccessPolicySpec['subjects'][number];
type Approver = ApprovalGateSpec['approvers'][number];
type Strategy = NonNullable<MaskingRuleSpec['columns']>[number]['strategy'];

export interface Workload {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** `problems` say why the object can't be enforced; `value` is then not to be used. */
export interface Part<T> {
  readonly value: T | null;
  readonly problems: readonly string[];
}

/** An object as it is in a snapshot: who it is, without what only Kubernetes wants to know. */
interface Identified {
  readonly metadata: { readonly namespace: string; readonly name: string; readonly uid?: string; readonly generation?: number };
}

function identity({ metadata }: Identified) {
  return { namespace: metadata.namespace, name: metadata.name, uid: metadata.uid ?? '', generation: metadata.generation ?? 0 };
}

/** The policy with the subjects that this sidecar can meet; none where it is about other service accounts only. */
export function compilePolicy(
  object: AccessPolicy & Identified,
  protocol: 'PostgreSQL' | 'HTTP',
  workload: Workload,
): Part<SnapshotPolicy> {
  const { spec } = object;
  const whole: SnapshotPolicy = {
    ...identity(object),
    mode: spec.mode,
    subjects: spec.subjects.map(compileSubject),
    windows: (spec.timeWindows ?? []).map(({ days, start, end }) => ({ days: [...days], start, end })),
    ...(spec.limits === undefined ? {} : { limits: { ...spec.limits } }),
    rules: [...(spec.ruleSets ?? []).map((set) => ruleOfSet(set, spec.trustedFunctions ?? [])), ...spec.rules.map(compileRule)],
    ...(spec.ruleSets?.includes('readOnly') === true ? { readOnly: true } : {}),
    ...(spec.minimumAssurance === undefined ? {} : { minimumAssurance: spec.minimumAssurance }),
  };
  // A service returns bytes, not rows: a limit on rows would count nothing, and be believed.
  const idle =
    protocol === 'HTTP'
      ? [
          ...(spec.limits?.maxRows === undefined ? [] : ['maxRows limits nothing of a target that speaks HTTP']),
          ...(spec.rules.some((rule) => rule.maxAffectedRows !== undefined)
            ? ['maxAffectedRows limits nothing of a target that speaks HTTP']
            : []),
          ...(spec.minimumAssurance === undefined ? [] : ['minimumAssurance can not be had of a target that speaks HTTP']),
          ...(spec.ruleSets === undefined ? [] : ['ruleSets deny nothing of a target that speaks HTTP']),
        ]
      : [];
  return {
    value: { ...whole, subjects: spec.subjects.filter((subject) => mayBeHere(subject, workload)).map(compileSubject) },
    problems: remembered(object, () => [...policyProblems(whole), ...conditionProblems(spec)]).concat(idle),
  };
}

const known = new WeakMap<object, string[]>();

/** Compiling conditions and patterns is slow, and the same object is compiled for every workload and each time that another one changes. */
function remembered(object: object, find: () => readonly string[]): string[] {
  const found = known.get(object) ?? [...find()];
  known.set(object, found);
  return found;
}

/** Whether a policy that can't be compiled might be about this sidecar. */
export function concerns({ spec }: AccessPolicy, workload: Workload): boolean {
  return spec.subjects.some((subject) => mayBeHere(subject, workload));
}

/** A service account is known before a session opens; a token may be anybody's. */
function mayBeHere({ serviceAccount }: Subject, { namespace, serviceAccount: name }: Workload): boolean {
  return serviceAccount === undefined || (serviceAccount.namespace === namespace && serviceAccount.name === name);
}

function conditionProblems(spec: AccessPolicySpec): readonly string[] {
  return spec.rules.flatMap(({ name, when }) => {
    const compiled = when === undefined ? null : compileCondition(when);
    return compiled === null || compiled.ok ? [] : [`rule ${name}: when: ${compiled.message}`];
  });
}

function compileRule(rule: AccessPolicySpec['rules'][number]): SnapshotRule {
  const { name, action, sql, http, when, maxAffectedRows } = rule;
  return {
    name,
    action,
    ...(sql === undefined ? {} : { sql: { ...sql } }),
    ...(http === undefined ? {} : { http: { ...http } }),
    ...(when === undefined ? {} : { when }),
    ...(maxAffectedRows === undefined ? {} : { maxAffectedRows }),
    gates: (rule.gateRefs ?? []).map((gate) => gate.name),
  };
}

/** Column rules are about SQL. A rule of columns alone would mask nothing of an HTTP target, and be believed. */
export function compileMasking(
  object: MaskingRule & Identified,
  protocol: 'PostgreSQL' | 'HTTP',
  workload: Workload,
): Part<SnapshotMasking> {
  const { spec } = object;
  const exempt = spec.exemptSubjects ?? [];
  const whole: SnapshotMasking = {
    ...identity(object),
    columns: (spec.columns ?? []).map(({ column, strategy }) => ({ column, strategy: compileStrategy(strategy, spec, column) })),
    detectors: (spec.detectors ?? []).map(({ type, name, pattern, strategy }) => ({
      type,
      name,
      ...(pattern === undefined ? {} : { pattern }),
      strategy: compileStrategy(strategy, spec, name),
    })),
    exemptSubjects: exempt.map(compileSubject),
    ...(spec.predicates === 'Strict' ? { predicates: 'Strict' } : {}),
    ...(spec.functions === undefined ? {} : { functions: spec.functions.map(({ definitionSha256 }) => definitionSha256) }),
  };
  const idle = protocol === 'HTTP' && whole.detectors.length === 0 ? ['columns mask nothing of a target that speaks HTTP'] : [];
  return {
    value: { ...whole, exemptSubjects: exempt.filter((subject) => mayBeHere(subject, workload)).map(compileSubject) },
    problems: remembered(object, () => maskingProblems(whole)).concat(idle),
  };
}

export function compileGate(object: ApprovalGate & Identified): SnapshotGate {
  const { spec } = object;
  const { scope, windowSeconds } = spec.grant;
  return {
    ...identity(object),
    approvers: spec.approvers.map(compileSubject),
    quorum: spec.quorum,
    timeoutSeconds: spec.timeoutSeconds,
    // The shorter grant where the window is not said: the validator refuses that.
    grant: scope === 'Window' ? (windowSeconds === undefined ? { scope: 'Statement' } : { scope, windowSeconds }) : { scope },
    requireReason: spec.requireReason,
  };
}

function compileSubject(subject: Subject | Approver): SnapshotSubject {
  const { user, group, issuer, claims } = subject;
  const serviceAccount = 'serviceAccount' in subject ? subject.serviceAccount : undefined;
  return {
    ...(serviceAccount === undefined ? {} : { serviceAccount: { namespace: serviceAccount.namespace, name: serviceAccount.name } }),
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    ...(issuer === undefined ? {} : { issuer }),
    ...(claims === undefined ? {} : { claims: claims.map(({ name, values }) => ({ name, values: [...values] })) }),
  };
}

function compileStrategy(strategy: Strategy, { keySecretRef }: MaskingRuleSpec, entry: string): SnapshotStrategy {
  const { type, keepStart = 0, keepEnd = 0, domain = entry } = strategy;
  switch (type) {
    case 'Null':
    case 'Redact':
      return { type };
    case 'Partial':
      return { type, keepStart, keepEnd };
    case 'FormatPreserving':
    case 'Token':
      // The validator refuses a rule without its key.
      return keySecretRef === undefined
        ? { type: 'Redact' }
        : { type, keySecret: { name: keySecretRef.name, key: keySecretRef.key }, domain };
    default:
      return type satisfies never;
  }
}
