import type { Snapshot } from '#crds/policy/snapshot.ts';

export interface Workload {
  readonly namespace: string;
  readonly serviceAccount: string;
}

/** One object of the four kinds, valid by `validateManifest`, with the metadata that a snapshot records. */
export interface CompileObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly namespace: string; readonly name: string; readonly uid: string; readonly generation: number };
  readonly spec: unknown;
}

/** Kubernetes condition, without its transition time: the clock is the caller's. */
export interface CompiledCondition {
  readonly type: 'Accepted' | 'ResolvedRefs';
  readonly status: 'True' | 'False';
  readonly reason: string;
  readonly message: string;
  readonly observedGeneration: number;
}

export interface ObjectConditions {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly conditions: readonly CompiledCondition[];
}

export interface Compiled {
  readonly snapshot: Snapshot;
  /** One entry an object, in the order of the snapshot's sources. */
  readonly conditions: readonly ObjectConditions[];
}

export function compile(_objects: readonly CompileObject[], _workload: Workload): Compiled {
  throw new Error('not supported yet');
}
