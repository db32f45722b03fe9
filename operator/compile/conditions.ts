import { NAMESPACE_ANNOTATIONS } from '#crds/control/names.ts';
import { ownHosts } from './hosts.ts';
import { compileMasking, compilePolicy } from './parts.ts';
import { type CompileObject, keyOf, type World } from './world.ts';

const EXTERNAL_HOSTS = NAMESPACE_ANNOTATIONS.externalHosts;

/** A Kubernetes condition, without its transition time: the clock is the caller's. */
interface CompiledCondition {
  readonly type: 'Accepted' | 'ResolvedRefs';
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

export interface ObjectConditions {
  readonly kind: CompileObject['kind'];
  readonly namespace: string;
  readonly name: string;
  readonly conditions: readonly CompiledCondition[];
}

/** Nobody's sidecar: conditions are the same for every workload. */
const ANY_WORKLOAD = { namespace: '', serviceAccount: '' };

export function conditionsOf(object: CompileObject, world: World): ObjectConditions {
  const { kind, metadata } = object;
  const references = brokenReferences(object, world);
  const conditions = [accepted(object, world), ...(references === null ? [] : [resolved(references)])];
  return {
    kind,
    namespace: metadata.namespace,
    name: metadata.name,
    conditions: conditions.map((condition) => ({ ...condition, observedGeneration: metadata.generation })),
  };
}

type Finding = Omit<CompiledCondition, 'observedGeneration'>;

function accepted(object: CompileObject, world: World): Finding {
  const type = 'Accepted';
  if (world.duplicates.has(keyOf(object)))
    return { type, status: 'False', reason: 'Duplicate', message: `${keyOf(object)} is there more than once; what it is about denies.` };
  const problems = problemsOf(object, world);
  if (problems.length === 0) return { type, status: 'True', ...reachOf(object, world) };
  return { type, status: 'False', reason: 'Invalid', message: `${problems.join('; ')}.` };
}

/** Valid, and still less than its author may think. */
function reachOf(object: CompileObject, world: World): Pick<Finding, 'reason' | 'message'> {
  const own = object.kind === 'ProtectedResource' ? ownHosts(object, world.namespaces) : [];
  if (own.length === 0) return { reason: 'Accepted', message: 'The spec is valid.' };
  const { namespace } = object.metadata;
  const message = `The spec is valid. Only pods of ${namespace} have ${own.join(', ')}: the namespace has no annotation ${EXTERNAL_HOSTS} for it.`;
  return { reason: 'OwnNamespaceOnly', message };
}

function problemsOf(object: CompileObject, world: World): readonly string[] {
  switch (object.kind) {
    case 'AccessPolicy':
      return problemsFor(object, world, (protocol) => compilePolicy(object, protocol, ANY_WORKLOAD).problems);
    case 'MaskingRule':
      return problemsFor(object, world, (protocol) => compileMasking(object, protocol, ANY_WORKLOAD).problems);
    case 'ProtectedResource':
    case 'ApprovalGate':
      return [];
    default:
      return object satisfies never;
  }
}

type Protocol = 'PostgreSQL' | 'HTTP';

/** Of every protocol that it is used with; of PostgreSQL also where it is not used yet. */
function problemsFor(
  object: CompileObject & { kind: 'AccessPolicy' | 'MaskingRule' },
  world: World,
  problems: (protocol: Protocol) => readonly string[],
): readonly string[] {
  const protocols: readonly Protocol[] = [...targetsOf(object, world).map(({ spec }) => spec.protocol), 'PostgreSQL'];
  return [...new Set(protocols.flatMap(problems))];
}

/** Null for a kind that refers to no other object. */
function brokenReferences(object: CompileObject, world: World): { readonly reason: string; readonly messages: readonly string[] } | null {
  if (object.kind !== 'AccessPolicy' && object.kind !== 'MaskingRule') return null;
  const { namespace } = object.metadata;
  const targets = object.spec.targetRefs
    .filter(({ name }) => !world.resources.some(({ metadata }) => metadata.namespace === namespace && metadata.name === name))
    .map(({ name }) => `ProtectedResource ${namespace}/${name} does not exist`);
  const gates = object.kind === 'AccessPolicy' ? missingGates(object, world) : [];
  return { reason: targets.length > 0 ? 'TargetNotFound' : 'GateNotFound', messages: [...targets, ...gates] };
}

function missingGates({ metadata: { namespace }, spec }: CompileObject & { kind: 'AccessPolicy' }, world: World): readonly string[] {
  const known = new Set(world.gates.filter(({ metadata }) => metadata.namespace === namespace).map(({ metadata }) => metadata.name));
  return spec.rules.flatMap((rule) =>
    (rule.gateRefs ?? [])
      .filter(({ name }) => !known.has(name))
      .map(({ name }) => `ApprovalGate ${namespace}/${name} does not exist, so rule ${rule.name} denies`),
  );
}

function resolved({ reason, messages }: { readonly reason: string; readonly messages: readonly string[] }): Finding {
  const type = 'ResolvedRefs';
  if (messages.length === 0) return { type, status: 'True', reason: 'ResolvedRefs', message: 'Everything that it names exists.' };
  return { type, status: 'False', reason, message: `${messages.join('; ')}.` };
}

function targetsOf(object: CompileObject & { kind: 'AccessPolicy' | 'MaskingRule' }, world: World): World['resources'] {
  const { metadata, spec } = object;
  return world.resources.filter(
    (resource) => resource.metadata.namespace === metadata.namespace && spec.targetRefs.some(({ name }) => name === resource.metadata.name),
  );
}
