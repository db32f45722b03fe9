import { createHash } from 'node:crypto';
import { canonicalJson } from '#crds/policy/json.ts';
import type { ChaperoneObject } from '#crds/v1alpha1/kinds.ts';
import type { CompileObject } from '#operator/compile/compile.ts';

/**
 * Gives objects of a folder what a cluster would: a UID (made from kind, namespace and name) and a generation that grows with each change of the
 * spec, from 1 when the process starts. An object that went away and comes back counts on: approvals of its old self must not fit it.
 */
export class Generations {
  readonly #seen = new Map<string, { generation: number; spec: string; present: boolean }>();

  stamp(objects: readonly ChaperoneObject[]): CompileObject[] {
    const present = new Set<string>();
    const stamped = objects.map((object) => {
      const key = `${object.kind}/${object.metadata.namespace}/${object.metadata.name}`;
      present.add(key);
      const { name, namespace } = object.metadata;
      return { ...object, metadata: { name, namespace, uid: uidOf(key), generation: this.#generation(key, canonicalJson(object.spec)) } };
    });
    for (const [key, seen] of this.#seen) if (!present.has(key)) seen.present = false;
    return stamped;
  }

  #generation(key: string, spec: string): number {
    const seen = this.#seen.get(key);
    if (seen === undefined) {
      this.#seen.set(key, { generation: 1, spec, present: true });
      return 1;
    }
    if (!seen.present || seen.spec !== spec) seen.generation += 1;
    seen.spec = spec;
    seen.present = true;
    return seen.generation;
  }
}

/** RFC 9562 UUID version 8. */
function uidOf(key: string): string {
  const hex = createHash('sha256').update(`chaperone.dev/folder/${key}`).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), `8${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20, 32)].join('-');
}
