import { createHash } from 'node:crypto';
import { loadSnapshot, type ResourcePolicies, snapshotVersion } from '#crds/policy/load.ts';
import type { Snapshot } from '#crds/policy/snapshot.ts';
import type { Verdict } from '#crds/policy/verdict.ts';
import type { PolicyStore, ResourceKey, Workload } from '../pipeline.ts';
import { denied } from './denied.ts';
import { goesBack, type HighWater, raised } from './generations.ts';

/** The store as its feeder sees it: what `publish` accepts is what every session is judged by from then on. */
export interface PublishablePolicyStore extends PolicyStore {
  /** The snapshot in force; null for DENY_ALL. A stale one is still told here. */
  readonly snapshot: Snapshot | null;
  readonly stale: boolean;
  /** Takes a snapshot as it was read (any JSON value). A refused one changes nothing: the last good one stays. Never throws. */
  publish(snapshot: unknown): PublishResult;
  /** This version still holds: its TTL begins again. False, and nothing else, where another one is in force. */
  confirm(version: string): boolean;
  close(): void;
}

export type PublishResult =
  | { readonly ok: true; readonly version: string; readonly changed: boolean; readonly problems: readonly string[] }
  | { readonly ok: false; readonly code: PublishErrorCode; readonly problems: readonly string[] };
export type PublishErrorCode = 'Malformed' | 'WrongWorkload' | 'OlderGeneration' | 'InternalError';

export interface PolicyStoreOptions {
  readonly workload: Workload;
  readonly capabilities: readonly string[];
  /** Milliseconds after which a snapshot that was not published again denies. Absent: it never goes stale. */
  readonly ttlMs?: number;
  readonly now: () => number;
}

interface Current {
  readonly snapshot: Snapshot;
  readonly version: string;
  readonly policies: ResourcePolicies;
  readonly missing: ReadonlyMap<string, string>;
}

export function createPolicyStore(options: PolicyStoreOptions): PublishablePolicyStore {
  let current: Current | null = null;
  let publishedAt = 0;
  let highWater: HighWater = new Map();
  let timer: NodeJS.Timeout | undefined;
  const listeners = new Set<() => void>();

  const isStale = () => current !== null && options.ttlMs !== undefined && options.now() - publishedAt > options.ttlMs;
  const tell = () => {
    for (const listener of [...listeners]) {
      try {
        listener();
      } catch {
        // One session that fails to judge itself again must not keep the others from it.
      }
    }
  };
  const startTtl = () => {
    clearTimeout(timer);
    if (options.ttlMs === undefined) return;
    timer = setTimeout(tell, Math.min(options.ttlMs + 1, 2 ** 31 - 1));
    timer.unref();
  };

  const renew = (changed: boolean) => {
    const wasStale = isStale();
    publishedAt = options.now();
    startTtl();
    if (changed || wasStale) tell();
  };

  const accept = (value: unknown): PublishResult => {
    const loaded = loadSnapshot(value, options.capabilities);
    if (!loaded.ok) return refused('Malformed', loaded.problems.map(problemText));
    const { snapshot, policies } = loaded;
    const { namespace, serviceAccount } = snapshot.workload;
    if (namespace !== options.workload.namespace || serviceAccount !== options.workload.serviceAccount) {
      return refused('WrongWorkload', [`the snapshot is for ${namespace}/${serviceAccount}`]);
    }
    const back = goesBack(highWater, snapshot.sources);
    if (back.length > 0) return refused('OlderGeneration', back);
    const version = snapshotVersion(snapshot, sha256);
    const changed = version !== current?.version;
    if (changed) {
      current = { snapshot, version, policies, missing: missingCapabilities(snapshot, options.capabilities) };
      highWater = raised(highWater, snapshot.sources);
    }
    renew(changed);
    return { ok: true, version, changed, problems: loaded.problems.map(problemText) };
  };

  return {
    get version() {
      return current?.version ?? 'none';
    },
    get snapshot() {
      return current?.snapshot ?? null;
    },
    get stale() {
      return isStale();
    },
    resource(key) {
      if (current === null || isStale() || (current.missing.size > 0 && current.missing.has(keyText(key)))) return null;
      return current.policies.get(key) ?? null;
    },
    why(key): Verdict {
      if (current === null) return denied('snapshot', 'NoSnapshot', 'no policy is loaded yet');
      if (isStale()) return denied('snapshot', 'SnapshotStale', 'the policy is older than it may be');
      const missing = current.missing.get(keyText(key));
      if (missing !== undefined) return denied('capability', 'MissingCapability', `this sidecar lacks ${missing}, which the policy needs`);
      return denied('resource', 'NoSnapshot', `no policy names the resource ${keyText(key)}`);
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    publish(value) {
      try {
        return accept(value);
      } catch {
        return refused('InternalError', ['the snapshot could not be loaded']);
      }
    },
    confirm(version) {
      if (version !== current?.version) return false;
      renew(false);
      return true;
    },
    close() {
      clearTimeout(timer);
      listeners.clear();
    },
  };
}

function missingCapabilities(snapshot: Snapshot, has: readonly string[]): Map<string, string> {
  const missing = new Map<string, string>();
  for (const resource of snapshot.resources) {
    const lacks = resource.requiredCapabilities.filter((capability) => !has.includes(capability));
    if (lacks.length > 0) missing.set(keyText(resource), lacks.join(', '));
  }
  return missing;
}

const keyText = (key: ResourceKey) => `${key.namespace}/${key.name}`;
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const refused = (code: PublishErrorCode, problems: readonly string[]): PublishResult => ({ ok: false, code, problems });

function problemText(problem: { readonly resource: ResourceKey | null; readonly message: string }): string {
  return problem.resource === null ? problem.message : `${keyText(problem.resource)}: ${problem.message}`;
}
