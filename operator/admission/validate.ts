/** The four kinds: what the CRDs' CEL can't say. A name that means nothing is a warning, because the other object may come later. */
import { isDeepStrictEqual } from 'node:util';
import type { ChaperoneObject } from '#crds/v1alpha1/kinds.ts';
import { validateManifest } from '#crds/v1alpha1/validate.ts';
import { type ClaimLookup, claimProblems, claimWarnings } from './claims.ts';
import { type AdmissionRequest, ALLOWED, type Handler, memberOf, refusal } from './review.ts';

export interface ReferenceLookup {
  /** Whether there is such an object. May reject: then nothing is said of it. */
  exists(kind: 'ProtectedResource' | 'ApprovalGate', namespace: string, name: string): Promise<boolean>;
}

const MAX_PROBLEMS = 20;
const MAX_WARNINGS = 10;

export function validateHandler(lookup: ReferenceLookup & ClaimLookup): Handler {
  return async (request) => {
    const { object } = request;
    if (object === null) return refusal(422, 'there is no object');
    if (isOnlyMetadata(request)) return ALLOWED;
    const result = validateManifest(object);
    if (result.ok) {
      const claims = await claimsOf(result.object, request, lookup);
      return claims.length > 0 ? refusal(403, claims.join('\n')) : { allowed: true, warnings: await warningsOf(result.object, lookup) };
    }
    const lines = result.problems.slice(0, MAX_PROBLEMS).map(({ path, message }) => `${path === '' ? '(root)' : path}: ${message}`);
    const more = result.problems.length - lines.length;
    return refusal(422, [...lines, ...(more > 0 ? [`and ${more} more`] : [])].join('\n'));
  };
}

/** What was taken by an older version may still be labelled, and go. */
function isOnlyMetadata({ operation, object, oldObject }: AdmissionRequest): boolean {
  if (operation !== 'UPDATE' || object === null || oldObject === null) return false;
  return memberOf(object, 'metadata')['deletionTimestamp'] !== undefined || isDeepStrictEqual(object['spec'], oldObject['spec']);
}

async function claimsOf(object: ChaperoneObject, { oldObject, user }: AdmissionRequest, lookup: ClaimLookup): Promise<string[]> {
  if (object.kind !== 'ProtectedResource') return [];
  const before = oldObject === null ? null : validateManifest(oldObject);
  return claimProblems(object, before?.ok && before.object.kind === 'ProtectedResource' ? before.object : null, user, lookup);
}

async function warningsOf(object: ChaperoneObject, lookup: ReferenceLookup & ClaimLookup): Promise<string[]> {
  if (object.kind === 'ProtectedResource') return (await claimWarnings(object, lookup).catch(() => [])).slice(0, MAX_WARNINGS);
  const { namespace } = object.metadata;
  const named = namesOf(object);
  const found = await Promise.all(named.map(async ({ kind, name }) => await lookup.exists(kind, namespace, name).catch(() => true)));
  return named
    .filter((_, index) => found[index] === false)
    .map(({ path, kind, name, so }) => `${path}: the ${kind} ${namespace}/${name} does not exist: ${so}`)
    .slice(0, MAX_WARNINGS);
}

interface NamedReference {
  readonly path: string;
  readonly kind: 'ProtectedResource' | 'ApprovalGate';
  readonly name: string;
  readonly so: string;
}

/** References whose absence weakens what the author means: a policy that only allows is not among them. */
function namesOf(object: ChaperoneObject): NamedReference[] {
  switch (object.kind) {
    case 'AccessPolicy': {
      const restricts = object.spec.rules.some(({ action }) => action !== 'Allow');
      const gates = object.spec.rules.flatMap((rule, index) =>
        (rule.gateRefs ?? []).map(
          ({ name }, at): NamedReference => ({
            path: `spec.rules[${index}].gateRefs[${at}]`,
            kind: 'ApprovalGate',
            name,
            so: 'until it does, the rule denies',
          }),
        ),
      );
      return [...(restricts ? targets(object.spec.targetRefs, 'AccessPolicy restricts') : []), ...gates];
    }
    case 'MaskingRule':
      return targets(object.spec.targetRefs, 'MaskingRule masks');
    case 'ProtectedResource':
    case 'ApprovalGate':
      return [];
    default:
      return object satisfies never;
  }
}

function targets(refs: readonly { readonly name: string }[], what: string): NamedReference[] {
  return refs.map(({ name }, index) => ({
    path: `spec.targetRefs[${index}]`,
    kind: 'ProtectedResource',
    name,
    so: `until it does, this ${what} nothing there`,
  }));
}
