import type { SqlStatement } from './action.ts';
import { isBelow, type MinimumAssurance, tooLow } from './assurance.ts';
import type { ConditionInput } from './cel.ts';
import type { JudgeInput, ResourcePolicy, TraceEntry } from './engine.ts';
import { effectText, isUncovered, policyNames, whatIsNotCovered } from './explain.ts';
import type { MaskPolicy } from './mask.ts';
import { compileMasking } from './masking.ts';
import type { Principal } from './principal.ts';
import { type CompiledPolicy, type CompiledRule, compilePolicy, theRule } from './rule.ts';
import type { SnapshotLimits, SnapshotResource } from './snapshot.ts';
import { meansAny } from './subject.ts';
import type { AuditVerdict, Author, Decision, GateRef, ReasonCode, RowGuard, Verdict } from './verdict.ts';
import { unitsOf, type Weighed, weigh } from './weigh.ts';

/** The policies that mean one session's principals. */
interface View {
  readonly enforced: readonly CompiledPolicy[];
  readonly audited: readonly CompiledPolicy[];
  readonly limits: SnapshotLimits;
  readonly readOnly: boolean;
  /** The highest that an enforced policy asks for, and all that audited ones ask for. */
  readonly minimum: MinimumAssurance | null;
  readonly auditedMinimums: readonly MinimumAssurance[];
  /**
   * Verdicts by the list of statements, where they depend on nothing else: no policy has a window and no rule a condition. Statements that
   * differ in literals alone share one list. Null where a verdict may depend on more.
   */
  readonly verdicts: WeakMap<readonly SqlStatement[], Verdict> | null;
}

interface Opinion {
  readonly decision: Decision;
  readonly code: ReasonCode;
  readonly rules: readonly CompiledRule[];
}

const NOTHING: readonly never[] = Object.freeze([]);

/** Compiles the policies of one resource. `problem` is told of what can't be compiled, and then denies when it is asked. */
export function compileResource(resource: SnapshotResource, problem: (message: string) => void): ResourcePolicy {
  const policies = resource.policies.map((policy) => compilePolicy(policy, resource.gates, problem));
  const views = new WeakMap<readonly Principal[], View>();
  const { namespace, name, protocol } = resource;

  function viewOf(principals: readonly Principal[]): View {
    const known = views.get(principals);
    if (known !== undefined) return known;
    const meant = policies.filter((policy) => meansAny(policy.subjects, principals));
    const enforced = meant.filter(({ mode }) => mode === 'Enforce');
    const still = meant.every(({ source, rules }) => source.windows.length === 0 && rules.every(({ ask }) => ask === null));
    const audited = meant.filter(({ mode }) => mode === 'Audit');
    const view: View = {
      enforced,
      audited,
      limits: strictestLimits(enforced),
      readOnly: enforced.some(({ source }) => source.readOnly === true && source.windows.length === 0),
      minimum: minimumsOf(enforced).reduce<MinimumAssurance | null>(higher, null),
      auditedMinimums: minimumsOf(audited),
      verdicts: still ? new WeakMap() : null,
    };
    views.set(principals, view);
    return view;
  }

  function judge(input: JudgeInput, trace?: (entry: TraceEntry) => void): Verdict {
    try {
      if (!Number.isFinite(input.nowMs)) throw new TypeError('no time');
      const view = viewOf(input.principals);
      const { action } = input;
      if (trace !== undefined || view.verdicts === null || action.type !== 'sql') return assured(view, input, judgeBy(view, input, trace));
      const known = view.verdicts.get(action.statements);
      if (known !== undefined) return assured(view, input, known);
      const verdict = judgeBy(view, input);
      view.verdicts.set(action.statements, verdict);
      return assured(view, input, verdict);
    } catch {
      return denial('InternalError', 'denied: the action can not be judged', NOTHING, NOTHING);
    }
  }

  function judgeBy(view: View, input: JudgeInput, trace?: (entry: TraceEntry) => void): Verdict {
    if (trace !== undefined) traceOthers(policies, view, trace);
    const asks: ConditionInput = {
      action: input.action,
      principals: input.principals,
      resource: { namespace, name, protocol },
      nowMs: input.nowMs,
    };
    const units = unitsOf(input.action);
    const audit = view.audited.length === 0 ? NOTHING : view.audited.flatMap((policy) => auditOf(weigh([policy], units, asks, trace)));
    if (view.enforced.length === 0)
      return denial(
        'NoPolicyForSubject',
        `denied: no AccessPolicy of ProtectedResource ${namespace}/${name} is about this identity`,
        NOTHING,
        audit,
      );
    return verdictOf(weigh(view.enforced, units, asks, trace), view.enforced, asks, audit);
  }

  return {
    resource,
    judge,
    limits: (principals) => viewOf(principals).limits,
    readOnly: (principals) => viewOf(principals).readOnly,
    masking: compileMasking(resource.masking),
    namesMatter: policies.some((policy) => policy.rules.some((rule) => rule.namesMatter)),
    asksApproval: policies.some((policy) => policy.rules.some((rule) => rule.action === 'RequireApproval')),
  };
}

/** What a rule denies stays the rule's; the rest is denied where the session's assurance is below what a policy asks for. */
function assured(view: View, { action, assurance }: JudgeInput, verdict: Verdict): Verdict {
  const { minimum, auditedMinimums } = view;
  if ((minimum === null && auditedMinimums.length === 0) || action.type === 'connect') return verdict;
  const level = assurance?.level ?? 'None';
  const audit = auditedMinimums
    .filter((one) => isBelow(level, one.level))
    .map(({ author }): AuditVerdict => ({ decision: 'Deny', code: 'AssuranceTooLow', authors: [author] }));
  const all = audit.length === 0 ? verdict.audit : [...verdict.audit, ...audit];
  if (minimum !== null && verdict.decision !== 'Deny' && isBelow(level, minimum.level))
    return denial('AssuranceTooLow', tooLow(assurance, minimum), [minimum.author], all);
  return audit.length === 0 ? verdict : { ...verdict, audit: all };
}

function minimumsOf(policies: readonly CompiledPolicy[]): readonly MinimumAssurance[] {
  return policies.flatMap(({ source: { namespace, name, generation, minimumAssurance: level } }) =>
    level === undefined
      ? []
      : [{ level, author: { kind: 'AccessPolicy', namespace, name, generation, rule: 'minimumAssurance' } as const }],
  );
}

function higher(known: MinimumAssurance | null, other: MinimumAssurance): MinimumAssurance {
  return known === null || isBelow(known.level, other.level) ? other : known;
}

/** A resource that denies everything, and shows nothing: what stands in for one that this sidecar can't enforce. */
export function denyingResource(resource: SnapshotResource, code: ReasonCode, message: string): ResourcePolicy {
  const { namespace, name, generation } = resource;
  const author: Author = { kind: 'ProtectedResource', namespace, name, generation, rule: 'requiredCapabilities' };
  const verdict = denial(code, message, [author], NOTHING);
  const masked: MaskPolicy = {
    active: true,
    column: () => ({ strategy: { type: 'Null' }, authors: [author], strict: true }),
    detectors: [],
    functions: new Set(),
    key: 'all',
  };
  return {
    resource,
    judge: () => verdict,
    limits: () => ({}),
    readOnly: () => true,
    masking: () => masked,
    namesMatter: false,
    asksApproval: false,
  };
}

/** Deny over RequireApproval over Allow; null where something is not covered. */
function opinionOf(weighed: Weighed): Opinion | null {
  const { denied, failed, units, allowedBy, askedBy } = weighed;
  if (denied.length > 0) return { decision: 'Deny', code: 'DeniedByRule', rules: denied };
  if (failed.length > 0) return { decision: 'Deny', code: 'ConditionFailed', rules: failed };
  if (units.some((unit, index) => isUncovered(weighed, index, unit.session))) return null;
  const holding = new Set(weighed.held);
  for (const [index, unit] of units.entries()) {
    if (!unit.session && allowedBy[index] === undefined) for (const rule of askedBy[index] ?? []) holding.add(rule);
  }
  if (holding.size > 0) return heldBy([...holding]);
  const allowing = new Set(allowedBy.filter((rule) => rule !== undefined));
  if (allowing.size > 0) return { decision: 'Allow', code: 'AllowedByRule', rules: [...allowing] };
  return { decision: 'Allow', code: 'AllowedSession', rules: weighed.sessionBy === undefined ? [] : [weighed.sessionBy] };
}

/** All gates of all rules must pass, so one that does not exist denies. */
function heldBy(rules: readonly CompiledRule[]): Opinion {
  const lacking = rules.filter((rule) => rule.missingGates.length > 0 || rule.gates.length === 0);
  if (lacking.length > 0) return { decision: 'Deny', code: 'GateMissing', rules: lacking };
  return { decision: 'Hold', code: 'HeldByRule', rules };
}

function verdictOf(weighed: Weighed, policies: readonly CompiledPolicy[], input: ConditionInput, audit: readonly AuditVerdict[]): Verdict {
  const opinion = opinionOf(weighed);
  if (opinion === null) return denial('NoRuleMatches', notCovered(weighed, policies, input), NOTHING, audit);
  const { decision, code, rules } = opinion;
  const first = rules[0];
  if (first === undefined) throw new TypeError('an opinion without a rule');
  const guard = decision === 'Deny' ? null : guardOf(weighed);
  if (code === 'AllowedByRule' && rules.length === 1 && audit.length === 0 && guard === null) return first.allows;
  const gates = decision === 'Hold' ? unionOfGates(rules) : NOTHING;
  const why = code === 'DeniedByRule' ? becauseOf(first, weighed) : '';
  return {
    decision,
    code,
    message: `${messageOf(code, first, gates)}${why}`,
    authors: rules.map((rule) => rule.author),
    gates,
    audit,
    ...(guard !== null && { guard }),
  };
}

/** Of the statements of one action the strictest: they are counted together. */
function guardOf({ units, allowedBy, guarding }: Weighed): RowGuard | null {
  let strictest: CompiledRule | undefined;
  for (const [index, { statement }] of units.entries()) {
    const rule = allowedBy[index];
    if (rule?.maxAffectedRows === undefined || statement?.countsRows !== true) continue;
    if (strictest?.maxAffectedRows === undefined || rule.maxAffectedRows < strictest.maxAffectedRows) strictest = rule;
  }
  const [everyRow] = guarding;
  if (strictest?.maxAffectedRows === undefined && everyRow === undefined) return null;
  const rows = strictest?.maxAffectedRows === undefined ? null : { max: strictest.maxAffectedRows, author: strictest.author };
  return { rows, everyRow: everyRow?.author ?? null };
}

/** Which effect a rule with effects met. */
function becauseOf(rule: CompiledRule, { units }: Weighed): string {
  for (const { statement } of units) {
    const effect = statement === null ? null : rule.because(statement);
    if (effect !== null) return `: ${effectText(effect)}`;
  }
  return '';
}

function notCovered(weighed: Weighed, policies: readonly CompiledPolicy[], input: ConditionInput): string {
  const names = `AccessPolicy ${policyNames(policies)}`;
  if (!weighed.open) return `denied: it is outside of the time windows of ${names}`;
  return `denied: no rule of ${names} covers ${whatIsNotCovered(weighed, policies, input)}`;
}

function messageOf(code: ReasonCode, rule: CompiledRule, gates: readonly GateRef[]): string {
  const author = theRule(rule.author);
  switch (code) {
    case 'DeniedByRule':
      return `denied by ${author}`;
    case 'ConditionFailed':
      return `denied: the condition of ${author} failed`;
    case 'GateMissing':
      return `denied: ${author} asks for ${gateNames(rule.missingGates.map((name) => ({ namespace: rule.author.namespace, name })))}, which does not exist`;
    case 'HeldByRule':
      return `held by ${author}: ${gateNames(gates)} must approve`;
    case 'AllowedSession':
      return `session allowed by ${author}`;
    default:
      return `allowed by ${author}`;
  }
}

function gateNames(gates: readonly { readonly namespace: string; readonly name: string }[]): string {
  return gates.length === 0 ? 'no ApprovalGate' : `ApprovalGate ${gates.map(({ namespace, name }) => `${namespace}/${name}`).join(', ')}`;
}

function unionOfGates(rules: readonly CompiledRule[]): readonly GateRef[] {
  const union = new Map<string, GateRef>();
  for (const gate of rules.flatMap((rule) => rule.gates)) union.set(`${gate.namespace}/${gate.name}`, gate);
  return [...union.keys()].sort().map((key) => union.get(key) as GateRef);
}

/** What one policy in Audit mode would have added: it speaks of what it meets, and other policies may cover the rest. */
function auditOf(weighed: Weighed): readonly AuditVerdict[] {
  const opinion = opinionOf(weighed) ?? (weighed.held.length > 0 ? heldBy(weighed.held) : null);
  if (opinion === null || opinion.rules.length === 0) return NOTHING;
  return [{ decision: opinion.decision, code: opinion.code, authors: opinion.rules.map((rule) => rule.author) }];
}

function denial(code: ReasonCode, message: string, authors: readonly Author[], audit: readonly AuditVerdict[]): Verdict {
  return { decision: 'Deny', code, message, authors, gates: NOTHING, audit };
}

function traceOthers(policies: readonly CompiledPolicy[], view: View, trace: (entry: TraceEntry) => void): void {
  for (const policy of policies) {
    if (view.enforced.includes(policy) || view.audited.includes(policy)) continue;
    for (const { author, action } of policy.rules)
      trace({ author, action, mode: policy.mode, matched: false, why: 'no subject of the policy is this identity' });
  }
}

const LIMITS = ['maxDurationSeconds', 'idleTimeoutSeconds', 'maxRows', 'maxBytes', 'maxActionsPerMinute'] as const;

function strictestLimits(policies: readonly CompiledPolicy[]): SnapshotLimits {
  const strictest: { -readonly [limit in keyof SnapshotLimits]: SnapshotLimits[limit] } = {};
  for (const { source } of policies) {
    for (const limit of LIMITS) {
      const value = source.limits?.[limit];
      if (value !== undefined) strictest[limit] = Math.min(value, strictest[limit] ?? value);
    }
  }
  return strictest;
}
