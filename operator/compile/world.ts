import type { Source } from '#crds/policy/snapshot.ts';
import type { AccessPolicy, ApprovalGate, ChaperoneObject, MaskingRule, ProtectedResource } from '#crds/v1alpha1/kinds.ts';
import type { BrokenObject } from './broken.ts';
import type { Namespaces } from './hosts.ts';

/** An object that `validateManifest` took, with the metadata that a snapshot records. */
export type CompileObject = ChaperoneObject & {
  readonly metadata: { readonly uid: string; readonly generation: number; readonly createdAt?: string };
};

/** All objects, sorted by kind, namespace and name. */
export interface World {
  readonly all: readonly CompileObject[];
  readonly resources: readonly (ProtectedResource & CompileObject)[];
  readonly policies: readonly (AccessPolicy & CompileObject)[];
  readonly maskings: readonly (MaskingRule & CompileObject)[];
  readonly gates: readonly (ApprovalGate & CompileObject)[];
  /** By `namespace/name` of the ProtectedResource that they name, each in the order of `policies` and `maskings`. */
  readonly policiesAbout: ReadonlyMap<string, World['policies']>;
  readonly maskingsAbout: ReadonlyMap<string, World['maskings']>;
  /** Keys of objects that are there more than once. An API server has none; a folder may. */
  readonly duplicates: ReadonlySet<string>;
  /** What the validator refuses though it is there, sorted. Never of a folder: there it is an error. */
  readonly broken: readonly BrokenObject[];
  /** Of a cluster, to tell whose a host is. */
  readonly namespaces: Namespaces;
}

export function worldOf(objects: readonly CompileObject[], broken: readonly BrokenObject[] = [], namespaces: Namespaces = null): World {
  const all = [...objects].sort((a, b) => byIdentity(sourceOf(a), sourceOf(b)));
  const seen = new Set<string>();
  const duplicates = new Set<string>();
  const unique: CompileObject[] = [];
  for (const object of all) {
    const key = keyOf(object);
    if (seen.has(key)) duplicates.add(key);
    else unique.push(object);
    seen.add(key);
  }
  // Each of two copies may be about a target of its own.
  const policies = all.filter((object) => object.kind === 'AccessPolicy');
  const maskings = all.filter((object) => object.kind === 'MaskingRule');
  return {
    all,
    resources: unique.filter((object) => object.kind === 'ProtectedResource'),
    policies,
    maskings,
    policiesAbout: byTarget(policies),
    maskingsAbout: byTarget(maskings),
    gates: unique.filter((object) => object.kind === 'ApprovalGate'),
    duplicates,
    broken: [...broken].sort(byIdentity),
    namespaces,
  };
}

function byTarget<T extends AccessPolicy | MaskingRule>(objects: readonly T[]): ReadonlyMap<string, readonly T[]> {
  const found = new Map<string, T[]>();
  for (const object of objects) {
    for (const target of new Set(object.spec.targetRefs.map(({ name }) => `${object.metadata.namespace}/${name}`))) {
      const about = found.get(target);
      if (about === undefined) found.set(target, [object]);
      else about.push(object);
    }
  }
  return found;
}

export function keyOf({ kind, metadata }: ChaperoneObject): string {
  return `${kind}/${metadata.namespace}/${metadata.name}`;
}

export function sourceOf({ kind, metadata: { namespace, name, uid, generation } }: CompileObject): Source {
  return { kind, namespace, name, uid, generation };
}

/** By kind, namespace and name, then by what tells duplicates apart. */
export function byIdentity(a: Source, b: Source): number {
  return (
    compareText(a.kind, b.kind) ||
    compareText(a.namespace, b.namespace) ||
    compareText(a.name, b.name) ||
    compareText(a.uid, b.uid) ||
    a.generation - b.generation
  );
}

/** By code unit: the same on every machine, whatever its language. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
