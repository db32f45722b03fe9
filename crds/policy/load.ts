import { resourceProblems, schemaProblems } from './check.ts';
import type { ResourcePolicy } from './engine.ts';
import { canonicalJson } from './json.ts';
import { compileResource, denyingResource } from './judge.ts';
import { SNAPSHOT_SCHEMA_VERSION, type Snapshot } from './snapshot.ts';
import { snapshotHead } from './snapshot-schema.ts';

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
 * `problems` of an accepted snapshot name what denies by itself: a resource that asks for a capability that is missing, a rule whose condition can't
 * be compiled.
 */
export type LoadedSnapshot =
  | { readonly ok: true; readonly snapshot: Snapshot; readonly policies: ResourcePolicies; readonly problems: readonly LoadProblem[] }
  | { readonly ok: false; readonly problems: readonly LoadProblem[] };

const MAX_REFUSALS = 20;

/**
 * Checks a snapshot, from JSON or from a compiler, against the closed schema, and compiles its policies. Never throws.
 * A resource that asks for a capability that is not in `capabilities` denies everything (MissingCapability) and is not read further, so that a newer
 * operator's resource does not stop the others.
 */
export function loadSnapshot(json: unknown, capabilities: readonly string[]): LoadedSnapshot {
  try {
    return load(json, capabilities);
  } catch {
    return { ok: false, problems: [{ resource: null, message: 'the snapshot can not be read' }] };
  }
}

/**
 * The head of a snapshot from JSON: an unknown schemaVersion or member is refused. What stands inside the resources is checked by `loadSnapshot`,
 * which knows the capabilities. Never throws.
 */
export function readSnapshot(
  json: unknown,
): { readonly ok: true; readonly snapshot: Snapshot } | { readonly ok: false; readonly problems: readonly LoadProblem[] } {
  const version = (json as { readonly schemaVersion?: unknown } | null | undefined)?.schemaVersion;
  if (version !== SNAPSHOT_SCHEMA_VERSION)
    return { ok: false, problems: [{ resource: null, message: `schemaVersion is not ${SNAPSHOT_SCHEMA_VERSION}` }] };
  const problems = schemaProblems(snapshotHead, json).map((message) => ({ resource: null, message }));
  return problems.length > 0 ? { ok: false, problems } : { ok: true, snapshot: json as Snapshot };
}

function load(json: unknown, capabilities: readonly string[]): LoadedSnapshot {
  const read = readSnapshot(json);
  if (!read.ok) return read;
  const { snapshot } = read;
  const refused: LoadProblem[] = [];
  const problems: LoadProblem[] = [];
  const policies = new Map<string, ResourcePolicy>();
  for (const resource of snapshot.resources) {
    const { namespace, name } = resource;
    const key = `${namespace}/${name}`;
    const at = { namespace, name };
    if (policies.has(key)) refused.push({ resource: at, message: 'the resource is there twice' });
    const missing = resource.requiredCapabilities.filter((capability) => !capabilities.includes(capability));
    if (missing.length > 0) {
      const message = `this sidecar lacks ${missing.join(', ')}, which ProtectedResource ${key} requires`;
      problems.push({ resource: at, message });
      policies.set(key, denyingResource(resource, 'MissingCapability', `denied: ${message}`));
      continue;
    }
    const unfit = resourceProblems(resource);
    refused.push(...unfit.map((message) => ({ resource: at, message })));
    if (unfit.length === 0)
      policies.set(
        key,
        compileResource(resource, (message) => problems.push({ resource: at, message })),
      );
  }
  if (refused.length > 0) return { ok: false, problems: refused.slice(0, MAX_REFUSALS) };
  return { ok: true, snapshot, policies: lookup(policies), problems };
}

function lookup(policies: ReadonlyMap<string, ResourcePolicy>): ResourcePolicies {
  // A session asks several times for each of its statements, with the same key.
  const known = new WeakMap<object, ResourcePolicy>();
  const get = (key: { readonly namespace: string; readonly name: string }): ResourcePolicy | undefined => {
    const found = known.get(key) ?? policies.get(`${key.namespace}/${key.name}`);
    if (found !== undefined) known.set(key, found);
    return found;
  };
  return { get, all: [...policies.values()] };
}

/** `sha256:` and the hex SHA-256 of the canonical JSON. `sha256` gives lower-case hex. */
export function snapshotVersion(snapshot: Snapshot, sha256: (bytes: Uint8Array) => string): string {
  return `sha256:${sha256(new TextEncoder().encode(canonicalJson(snapshot)))}`;
}
