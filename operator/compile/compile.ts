/**
 * World to snapshot, pure: all objects of the four kinds in, the policy of one workload and the conditions of every object out. The operator runs it
 * on a cluster, the CLI on a folder of manifests.
 *
 * Fail safe: what can't be compiled never vanishes. An AccessPolicy that could deny or hold, or a MaskingRule, makes each of its targets require a
 * capability that no sidecar has (`unresolved/…`), so that the target denies until the object is mended. A policy that only allows is left out.
 */

import { SNAPSHOT_SCHEMA_VERSION, type Snapshot, type Source } from '#crds/policy/snapshot.ts';
import type { AccessPolicy, ProtectedResource } from '#crds/v1alpha1/kinds.ts';
import { mayRestrict, mayTarget } from './broken.ts';
import { conditionsOf, type ObjectConditions } from './conditions.ts';
import { placesIn } from './hosts.ts';
import { compileGate, compileMasking, compilePolicy, concerns, type Workload } from './parts.ts';
import { brokenResource, type Contributions, compileResource } from './resource.ts';
import { byIdentity, type CompileObject, keyOf, sourceOf, type World, worldOf } from './world.ts';

export type { BrokenObject } from './broken.ts';
export type { ObjectConditions } from './conditions.ts';
export type { Workload } from './parts.ts';
export type { CompileObject, World } from './world.ts';
export { worldOf } from './world.ts';

export interface Compiled {
  readonly snapshot: Snapshot;
  /** One entry an object, sorted by kind, namespace and name. They are the same for every workload. */
  readonly conditions: readonly ObjectConditions[];
}

export function compile(objects: readonly CompileObject[], workload: Workload): Compiled {
  const world = worldOf(objects);
  return { snapshot: compileWorkload(world, workload), conditions: world.all.map((object) => conditionsOf(object, world)) };
}

/** The policy of one workload, where conditions are not asked for. */
export function compileWorkload(world: World, workload: Workload): Snapshot {
  const used = new Map<string, Source>();
  const use = ({ kind, namespace, name, uid, generation }: Source) =>
    used.set(`${kind}/${namespace}/${name}`, { kind, namespace, name, uid, generation });
  // A sidecar in a cluster knows no issuer.
  const takesTokens = world.namespaces === null;
  // A host that its namespace was not given is only its own pods': to the others it is as if the resource were not there.
  const resources = world.resources.flatMap((resource) => {
    const { address, aliases = [] } = resource.spec;
    const places = placesIn(workload.namespace, resource.metadata, { address, aliases }, world.namespaces);
    if (places === null) return [];
    use(sourceOf(resource));
    return [compileResource(resource, contributionsTo(resource, world, workload, use), places, takesTokens)];
  });
  const broken = world.broken
    .filter(({ kind }) => kind === 'ProtectedResource')
    .flatMap((object) => {
      const compiled = brokenResource(object);
      const places = placesIn(workload.namespace, object, compiled, world.namespaces);
      if (places === null) return [];
      use(object);
      return [{ ...compiled, ...places }];
    });
  return {
    schemaVersion: SNAPSHOT_SCHEMA_VERSION,
    workload: { namespace: workload.namespace, serviceAccount: workload.serviceAccount },
    sources: [...used.values()].sort(byIdentity),
    resources: broken.length === 0 ? resources : [...resources, ...broken].sort(byName),
  };
}

/** What the objects of the resource's own namespace say about it, to this workload or to whoever presents a token. */
function contributionsTo(
  resource: ProtectedResource & CompileObject,
  world: World,
  workload: Workload,
  use: (source: Source) => void,
): Contributions {
  const target = `${resource.metadata.namespace}/${resource.metadata.name}`;
  const broken = world.broken.filter((object) => mayTarget(object, resource.metadata));
  const unresolved: string[] = world.duplicates.has(keyOf(resource)) ? [`ProtectedResource/${resource.metadata.name}`] : [];

  const policies = (world.policiesAbout.get(target) ?? []).flatMap((object) => {
    const part = compilePolicy(object, resource.spec.protocol, workload);
    if (part.value?.subjects.length === 0) return [];
    const broken = part.problems.length > 0 || world.duplicates.has(keyOf(object));
    if (!broken && part.value !== null) {
      use(sourceOf(object));
      return [part.value];
    }
    if (concerns(object, workload) && restricts(object)) {
      use(sourceOf(object));
      unresolved.push(`AccessPolicy/${object.metadata.name}`);
    }
    return [];
  });
  for (const object of broken) {
    if (object.kind !== 'AccessPolicy' || !mayRestrict(object, workload)) continue;
    use(object);
    unresolved.push(`AccessPolicy/${object.name}`);
  }

  // Who may not even ask learns nothing of the masks.
  const maskings = policies.length === 0 ? [] : (world.maskingsAbout.get(target) ?? []);
  const masking = maskings.flatMap((object) => {
    use(sourceOf(object));
    const part = compileMasking(object, resource.spec.protocol, workload);
    if (part.value !== null && part.problems.length === 0 && !world.duplicates.has(keyOf(object))) return [part.value];
    unresolved.push(`MaskingRule/${object.metadata.name}`);
    return [];
  });

  for (const object of broken) {
    if (object.kind !== 'MaskingRule' || policies.length === 0) continue;
    use(object);
    unresolved.push(`MaskingRule/${object.name}`);
  }

  const asked = new Set(policies.flatMap(({ rules }) => rules.flatMap((rule) => rule.gates)));
  const gates = world.gates.filter(({ metadata }) => metadata.namespace === resource.metadata.namespace && asked.has(metadata.name));
  for (const gate of gates) {
    use(sourceOf(gate));
    if (world.duplicates.has(keyOf(gate))) unresolved.push(`ApprovalGate/${gate.metadata.name}`);
  }
  return { policies, masking, gates: gates.map(compileGate), unresolved: [...new Set(unresolved)].sort() };
}

/** A policy that is left out may only ever have allowed. */
function restricts({ spec }: AccessPolicy): boolean {
  const { mode, limits, ruleSets, minimumAssurance, rules } = spec;
  if (mode !== 'Enforce') return false;
  return limits !== undefined || ruleSets !== undefined || minimumAssurance !== undefined || rules.some(({ action }) => action !== 'Allow');
}

function byName(a: { readonly namespace: string; readonly name: string }, b: typeof a): number {
  return a.namespace < b.namespace ? -1 : a.namespace > b.namespace ? 1 : a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}
