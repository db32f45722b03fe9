/**
 * One snapshot a workload, compiled when somebody first asks for it and again, a moment after, when the world changes. What sidecars may still have is
 * remembered by version, so that an old snapshot that already holds a policy's newest generation counts for it.
 */
import { createHash } from 'node:crypto';
import { canonicalJson } from '#crds/policy/json.ts';
import type { Snapshot, Source } from '#crds/policy/snapshot.ts';
import { compileWorkload, type Workload, type World } from '#operator/compile/compile.ts';

export interface CurrentSnapshot {
  /** `sha256:` and hex. */
  readonly version: string;
  /** Canonical; the version is its hash. */
  readonly json: Buffer;
  readonly snapshot: Snapshot;
}

export interface SnapshotSource {
  /** Null: the world is not known yet. */
  current(workload: Workload): CurrentSnapshot | null;
  /** The listener hears of workloads that were asked for and whose snapshot is another now. The result ends it. */
  onChange(listener: (workload: Workload) => void): () => void;
}

export interface Snapshots extends SnapshotSource {
  /** The world is known from now on, or has changed. */
  changed(): void;
  /** Of the resources that the workload has or had while this replica has known it: what was recorded of one may be uploaded after it is gone. Null: not known yet. */
  namespacesOf(workload: Workload): ReadonlySet<string> | null;
  /** What a version was compiled from; undefined where it is not (or no longer) known. */
  sourcesOf(workload: Workload, version: string): ReadonlyMap<string, Source> | undefined;
  readonly compiled: number;
  stop(): void;
}

export interface SnapshotsOptions {
  /** Null: not known yet. */
  readonly world: () => World | null;
  readonly log: { warn(fields: object, message: string): void };
  /** Workloads that have a pod; others are forgotten some time after they were asked for. */
  readonly inUse: () => ReadonlySet<string>;
}

interface Entry {
  readonly workload: Workload;
  current: CurrentSnapshot;
  world: World;
  askedAt: number;
  /** Newest last. */
  readonly history: Map<string, ReadonlyMap<string, Source>>;
  readonly namespaces: Set<string>;
}

/** A burst of changes (kubectl apply -f) is one new snapshot. */
const QUIET_MS = 25;
/** But none waits longer than this. */
const LONGEST_MS = 150;
const HISTORY = 32;
const FORGET_MS = 10 * 60_000;

export function workloadKey({ namespace, serviceAccount }: Workload): string {
  return `${namespace}/${serviceAccount}`;
}

/** Of a source within a snapshot. */
export function sourceKey({ kind, namespace, name }: Pick<Source, 'kind' | 'namespace' | 'name'>): string {
  return `${kind}/${namespace}/${name}`;
}

export function createSnapshots({ world, log, inUse }: SnapshotsOptions): Snapshots {
  const entries = new Map<string, Entry>();
  const listeners = new Set<(workload: Workload) => void>();
  let timer: NodeJS.Timeout | null = null;
  let changedAt = 0;
  let compiled = 0;

  const compile = (workload: Workload, from: World): CurrentSnapshot => {
    compiled++;
    const snapshot = compileWorkload(from, workload);
    const json = Buffer.from(canonicalJson(snapshot), 'utf8');
    return { version: `sha256:${createHash('sha256').update(json).digest('hex')}`, json, snapshot };
  };

  /** True where it is another version now. */
  const bringUp = (entry: Entry, now: World): boolean => {
    if (entry.world === now) return false;
    entry.world = now;
    const next = compile(entry.workload, now);
    if (next.version === entry.current.version) return false;
    entry.current = next;
    remember(entry);
    return true;
  };

  const tell = (workload: Workload) => {
    for (const listener of listeners) {
      try {
        listener(workload);
      } catch (error: unknown) {
        log.warn(
          { workload: workloadKey(workload) },
          `a new snapshot was not handled: ${error instanceof Error ? error.message : 'unknown'}`,
        );
      }
    }
  };

  const refresh = () => {
    timer = null;
    const now = world();
    if (now === null) return;
    const used = inUse();
    for (const [key, entry] of entries) {
      if (!used.has(key) && performance.now() - entry.askedAt > FORGET_MS) entries.delete(key);
      else if (bringUp(entry, now)) tell(entry.workload);
    }
  };

  const entryOf = (workload: Workload): Entry | null => {
    const now = world();
    if (now === null) return null;
    const key = workloadKey(workload);
    const known = entries.get(key);
    if (known !== undefined) {
      known.askedAt = performance.now();
      // What is asked for is never older than the world; the others hear of it as they would have.
      if (bringUp(known, now)) queueMicrotask(() => tell(workload));
      return known;
    }
    const empty = { history: new Map(), namespaces: new Set<string>() };
    const entry: Entry = { workload, current: compile(workload, now), world: now, askedAt: performance.now(), ...empty };
    remember(entry);
    entries.set(key, entry);
    return entry;
  };

  return {
    current: (workload) => entryOf(workload)?.current ?? null,
    namespacesOf: (workload) => entryOf(workload)?.namespaces ?? null,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    changed() {
      if (timer === null) changedAt = performance.now();
      else clearTimeout(timer);
      timer = setTimeout(refresh, Math.max(0, Math.min(QUIET_MS, changedAt + LONGEST_MS - performance.now())));
    },
    sourcesOf: (workload, version) => entries.get(workloadKey(workload))?.history.get(version),
    get compiled() {
      return compiled;
    },
    stop() {
      if (timer !== null) clearTimeout(timer);
      listeners.clear();
    },
  };
}

function remember({ current, history, namespaces }: Entry): void {
  for (const { namespace } of current.snapshot.resources) namespaces.add(namespace);
  history.delete(current.version);
  history.set(current.version, new Map(current.snapshot.sources.map((source) => [sourceKey(source), source])));
  for (const version of history.keys()) {
    if (history.size <= HISTORY) break;
    history.delete(version);
  }
}
