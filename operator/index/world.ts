/** The four kinds as they are in the cluster: each object held against the validator, once, when it comes. */

import { NAMESPACE_ANNOTATIONS } from '#crds/control/names.ts';
import type { Kind } from '#crds/v1alpha1/kinds.ts';
import { validateManifest } from '#crds/v1alpha1/validate.ts';
import { type BrokenObject, type CompileObject, type World, worldOf } from '#operator/compile/compile.ts';
import { externalHostsOf, type NamespaceFacts } from '#operator/compile/hosts.ts';
import type { KubeObject } from '#operator/kube/resource.ts';

/** An object as the API server gives it. */
export interface RawObject extends KubeObject {
  readonly spec?: unknown;
  readonly status?: unknown;
}

export type IndexedObject =
  | { readonly valid: true; readonly object: CompileObject; readonly raw: RawObject }
  | { readonly valid: false; readonly broken: BrokenObject; readonly raw: RawObject };

export interface WorldIndex {
  /** True where the compiled policy may have changed: not for a status. */
  set(kind: Kind, raw: RawObject): boolean;
  remove(kind: Kind, raw: RawObject): boolean;
  /** True where it may change whose a host is. */
  setNamespace(namespace: KubeObject): boolean;
  removeNamespace(namespace: KubeObject): boolean;
  get(kind: Kind, namespace: string, name: string): IndexedObject | undefined;
  /** `Kind/namespace/name` of all. */
  keys(): IterableIterator<string>;
  /** The same one until something changes. */
  world(): World;
}

export function createWorldIndex(): WorldIndex {
  const objects = new Map<string, IndexedObject>();
  const namespaces = new Map<string, NamespaceFacts>();
  let world: World | null = null;
  return {
    set(kind, raw) {
      const key = indexKey(kind, raw.metadata.namespace ?? '', raw.metadata.name);
      const known = objects.get(key);
      const { uid, generation } = raw.metadata;
      // The generation grows with the spec; what else changes (status, labels) is not compiled.
      if (known !== undefined && known.raw.metadata.uid === uid && known.raw.metadata.generation === generation) {
        objects.set(key, { ...known, raw });
        return false;
      }
      objects.set(key, read(kind, raw));
      world = null;
      return true;
    },
    remove(kind, raw) {
      const gone = objects.delete(indexKey(kind, raw.metadata.namespace ?? '', raw.metadata.name));
      if (gone) world = null;
      return gone;
    },
    setNamespace({ metadata }) {
      const known = namespaces.get(metadata.name);
      const { externalHosts: key } = NAMESPACE_ANNOTATIONS;
      const next = { createdAt: metadata.creationTimestamp ?? '', externalHosts: externalHostsOf(metadata.annotations?.[key]) };
      if (known?.createdAt === next.createdAt && known.externalHosts.join() === next.externalHosts.join()) return false;
      namespaces.set(metadata.name, next);
      world = null;
      return true;
    },
    removeNamespace({ metadata }) {
      const gone = namespaces.delete(metadata.name);
      if (gone) world = null;
      return gone;
    },
    get: (kind, namespace, name) => objects.get(indexKey(kind, namespace, name)),
    keys: () => objects.keys(),
    world() {
      world ??= worldOf(
        [...objects.values()].flatMap((entry) => (entry.valid ? [entry.object] : [])),
        [...objects.values()].flatMap((entry) => (entry.valid ? [] : [entry.broken])),
        new Map(namespaces),
      );
      return world;
    },
  };
}

export function indexKey(kind: Kind, namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}

function read(kind: Kind, raw: RawObject): IndexedObject {
  const { apiVersion, metadata, spec } = raw;
  const { uid = '', generation = 0, namespace = '', name, creationTimestamp: createdAt } = metadata;
  // Without the status: it is ours, and no reason to refuse what a user wrote.
  const validation = validateManifest({ apiVersion, kind, metadata, ...(spec === undefined ? {} : { spec }) });
  if (validation.ok) {
    const object = { ...validation.object, metadata: { ...validation.object.metadata, uid, generation, createdAt } } as CompileObject;
    return { valid: true, object, raw };
  }
  const problems = validation.problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`));
  return { valid: false, broken: { kind, namespace, name, uid, generation, createdAt, spec, problems }, raw };
}
