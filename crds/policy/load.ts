import type { ResourcePolicy } from './engine.ts';
import { canonicalJson } from './json.ts';
import type { Snapshot } from './snapshot.ts';

export interface LoadProblem {
  /** Null where it is about the snapshot as a whole. */
  readonly resource: { readonly namespace: string; readonly name: string } | null;
  readonly message: string;
}

/** The policies of one snapshot, one for each of its resources. */
export interface ResourcePolicies {
  get(key: { readonly namespace: string; readonly name: string }): ResourcePolicy | undefined;
  readonly all: readonly ResourcePolicy[];
}

/**
 * `ok: false`: the snapshot is refused as a whole, keep the last good one.
 * `problems` of an accepted snapshot name what denies by itself: a resource that asks for a capability that is missing, a condition that can't be compiled.
 */
export type LoadedSnapshot =
  | { readonly ok: true; readonly policies: ResourcePolicies; readonly problems: readonly LoadProblem[] }
  | { readonly ok: false; readonly problems: readonly LoadProblem[] };

export function loadSnapshot(_snapshot: Snapshot, _capabilities: readonly string[]): LoadedSnapshot {
  return { ok: false, problems: [{ resource: null, message: 'not supported yet' }] };
}

/** The closed-schema check of a snapshot that was read from JSON: an unknown schemaVersion or member is refused. */
export function readSnapshot(
  _json: unknown,
): { readonly ok: true; readonly snapshot: Snapshot } | { readonly ok: false; readonly problems: readonly LoadProblem[] } {
  return { ok: false, problems: [{ resource: null, message: 'not supported yet' }] };
}

/** `sha256:` and the hex SHA-256 of the canonical JSON. `sha256` gives lower-case hex. */
export function snapshotVersion(snapshot: Snapshot, sha256: (bytes: Uint8Array) => string): string {
  return `sha256:${sha256(new TextEncoder().encode(canonicalJson(snapshot)))}`;
}
