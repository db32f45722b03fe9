/** Which sidecars enforce what: the injected pods that run, held against what they last took. Pure. */
import { type Assurance, isBelow, type SessionAssurance } from '#crds/policy/assurance.ts';
import type { Source } from '#crds/policy/snapshot.ts';
import type { Workload } from '../compile/compile.ts';
import type { InjectedPod } from '../index/pods.ts';
import { type CurrentSnapshot, sourceKey, workloadKey } from '../index/snapshots.ts';
import type { Finding } from './conditions.ts';

/** What the slices of all replicas say of one sidecar. */
export interface SidecarReport {
  readonly podUid: string;
  /** The snapshot that it enforces; absent before it took one. */
  readonly acked?: string;
  readonly refused?: { readonly version: string; readonly problems: readonly string[] };
  /** `namespace/name` of ProtectedResources that came after the pod. */
  readonly restartRequiredFor?: readonly string[];
  /** What its sessions had, by resource. */
  readonly assurances?: readonly { readonly resource: string; readonly level: Assurance; readonly loweredBy?: readonly string[] }[];
}

export interface Programmed {
  /** Sidecars whose snapshot has the object. */
  readonly concerned: number;
  /** Of these, those that took its newest generation. */
  readonly enforcing: number;
  /** Pods whose sidecar refused the newest snapshot, the first few. */
  readonly refusals: readonly { readonly pod: string; readonly problem: string }[];
  /** Of a ProtectedResource: pods that were made before it, and whose agents can't reach it. */
  readonly restarts: readonly string[];
  /** Of a ProtectedResource: the lowest assurance of masking of the sidecars' sessions; null where there is none. */
  readonly assurance: SessionAssurance | null;
}

export interface Programming {
  of(source: Pick<Source, 'kind' | 'namespace' | 'name'>): Programmed;
}

export interface ProgrammingInput {
  readonly pods: Iterable<InjectedPod>;
  readonly reports: ReadonlyMap<string, SidecarReport>;
  readonly current: (workload: Workload) => CurrentSnapshot | null;
  /** What a snapshot was compiled from; undefined where it is not known any more. */
  readonly sourcesOf: (workload: Workload, version: string) => ReadonlyMap<string, Source> | undefined;
}

const NOBODY: Programmed = { concerned: 0, enforcing: 0, refusals: [], restarts: [], assurance: null };
const MAX_REFUSALS = 3;
const MAX_RESTARTS = 3;

/** A pod counts while its sidecar runs: one that waits for a node would keep every policy from being programmed, and one that ends enforces to its end. */
function counts({ phase, deletionTimestamp, sidecarRunning }: InjectedPod): boolean {
  return sidecarRunning && deletionTimestamp === null && phase !== 'Succeeded' && phase !== 'Failed';
}

/** Sidecars that have the same to do and did the same of it. */
interface Group {
  readonly workload: Workload;
  readonly acked: string | undefined;
  count: number;
}

export function programmingOf({ pods, reports, current, sourcesOf }: ProgrammingInput): Programming {
  const groups = new Map<string, Group>();
  const refusals: { pod: InjectedPod; problems: readonly string[] }[] = [];
  const restarts = new Map<string, string[]>();
  const assurances = new Map<string, SessionAssurance>();
  for (const pod of pods) {
    if (!counts(pod)) continue;
    const report = reports.get(pod.uid);
    const key = `${workloadKey(pod)} ${report?.acked ?? ''}`;
    const group = groups.get(key);
    if (group !== undefined) group.count++;
    else groups.set(key, { workload: pod, acked: report?.acked, count: 1 });
    if (report?.refused !== undefined && report.refused.version === current(pod)?.version)
      refusals.push({ pod, problems: report.refused.problems });
    for (const { resource, level, loweredBy = [] } of report?.assurances ?? []) {
      const [namespace = '', name = ''] = resource.split('/');
      const of = sourceKey({ kind: 'ProtectedResource', namespace, name });
      const known = assurances.get(of);
      if (known === undefined || isBelow(level, known.level)) assurances.set(of, { level, loweredBy });
    }
    for (const resource of report?.restartRequiredFor ?? []) {
      const [namespace = '', name = ''] = resource.split('/');
      const of = sourceKey({ kind: 'ProtectedResource', namespace, name });
      restarts.set(of, [...(restarts.get(of) ?? []), `${pod.namespace}/${pod.name}`]);
    }
  }

  const found = new Map<
    string,
    {
      concerned: number;
      enforcing: number;
      refusals: { pod: string; problem: string }[];
      restarts: string[];
      assurance: SessionAssurance | null;
    }
  >();
  const entryOf = (key: string) => {
    const entry = found.get(key) ?? {
      concerned: 0,
      enforcing: 0,
      refusals: [],
      restarts: restarts.get(key) ?? [],
      assurance: assurances.get(key) ?? null,
    };
    found.set(key, entry);
    return entry;
  };
  for (const { workload, acked, count } of groups.values()) {
    const newest = current(workload);
    const taken = acked === undefined ? undefined : sourcesOf(workload, acked);
    for (const source of newest?.snapshot.sources ?? []) {
      const entry = entryOf(sourceKey(source));
      const has = taken?.get(sourceKey(source));
      entry.concerned += count;
      // An older snapshot counts where it already has this object as it is now.
      if (acked === newest?.version || (has?.uid === source.uid && has.generation === source.generation)) entry.enforcing += count;
    }
  }
  for (const { pod, problems } of refusals) {
    for (const source of current(pod)?.snapshot.sources ?? []) {
      const entry = entryOf(sourceKey(source));
      if (entry.refusals.length < MAX_REFUSALS)
        entry.refusals.push({ pod: `${pod.namespace}/${pod.name}`, problem: problems[0] ?? 'no reason' });
    }
  }
  return { of: (source) => found.get(sourceKey(source)) ?? NOBODY };
}

/** `Programmed` of an accepted object. */
export function programmedFinding({ concerned, enforcing, refusals, restarts }: Programmed): Finding {
  const type = 'Programmed';
  if (concerned === 0) return { type, status: 'True', reason: 'NoSidecars', message: 'No sidecar that runs is concerned.' };
  const count = `${enforcing}/${concerned}`;
  if (enforcing === concerned) {
    const message = `${count} sidecars enforce this generation.`;
    if (restarts.length === 0) return { type, status: 'True', reason: 'Programmed', message };
    // Still True: nothing is unjudged, and a GitOps controller that waited for it would wait for other people's pods.
    const some = `${restarts.slice(0, MAX_RESTARTS).join(', ')}${restarts.length > MAX_RESTARTS ? ', …' : ''}`;
    return {
      type,
      status: 'True',
      reason: 'RestartRequired',
      message: `${message} Made before it and to be restarted: ${restarts.length} (${some}).`,
    };
  }
  if (refusals.length === 0) return { type, status: 'False', reason: 'Pending', message: `${count} sidecars enforce this generation.` };
  const who = refusals.map(({ pod, problem }) => `${pod}: ${problem}`).join('; ');
  return { type, status: 'False', reason: 'Rejected', message: `${count} sidecars enforce this generation; refused by ${who}` };
}
