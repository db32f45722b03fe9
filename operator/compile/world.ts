import type { Source } from '#crds/policy/snapshot.ts';
import type { AccessPolicy, ApprovalGate, ChaperoneObject, MaskingRule, ProtectedResource } from '#crds/v1alpha1/kinds.ts';

/** An object that `validateManifest` took, with the metadata that a snapshot records. */
export type CompileObject = ChaperoneObject & { readonly metadata: { readonly uid: string; readonly generation: number } };

/** All objects, sorted by kind, namespace and name. */
export interface World {
  readonly all: readonly CompileObject[];
  readonly resources: readonly (ProtectedResource & CompileObject)[];
  readonly policies: readonly (AccessPolicy & CompileObject)[];
  readonly maskings: readonly (MaskingRule & CompileObject)[];
  readonly gates: readonly (ApprovalGate & CompileObject)[];
  /** Keys of objects that are there more than once. An API server has none; a folder may. */
  readonly duplicates: ReadonlySet<string>;
}

export function worldOf(objects: readonly CompileObject[]): World {
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
  return {
    all,
    resources: unique.filter((object) => object.kind === 'ProtectedResource'),
    // Each of two copies may be about a target of its own.
    policies: all.filter((object) => object.kind === 'AccessPolicy'),
    maskings: all.filter((object) => object.kind === 'MaskingRule'),
    gates: unique.filter((object) => object.kind === 'ApprovalGate'),
    duplicates,
  };
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
