/** The board of this replica as SidecarSlices in the cluster. The leader sums them (operator/controllers/reports.ts). */
import { API_VERSION } from '#crds/v1alpha1/kinds.ts';
import { MAX_SIDECARS_PER_SLICE, type SidecarSliceSpec } from '#crds/v1alpha1/sidecar-slice.ts';
import type { KubeClient } from '../kube/client.ts';
import { isKubeError } from '../kube/error.ts';
import type { KubeObject, OwnerReference } from '../kube/resource.ts';
import { SIDECAR_SLICES } from '../kube/resources.ts';
import type { AckBoard, ConnectedSidecar } from './board.ts';
import type { Log } from './sources.ts';

interface SidecarSliceObject extends KubeObject {
  readonly spec: SidecarSliceSpec;
}

type SliceEntry = SidecarSliceSpec['sidecars'][number];

export interface SlicePublisherOptions {
  readonly kube: Pick<KubeClient, 'apply' | 'delete' | 'list'>;
  readonly namespace: string;
  /** Name of this replica's pod. */
  readonly replica: string;
  /** The replica's pod, so that its slices go with it; null where it is no pod. */
  readonly owner: Pick<OwnerReference, 'name' | 'uid'> | null;
  readonly board: AckBoard;
  readonly log: Log;
  readonly now: () => number;
  /** Between two writes. */
  readonly minIntervalMs?: number;
  readonly renewMs?: number;
}

export interface SlicePublisher {
  /** Writes what is not written yet. */
  flush(): Promise<void>;
  /** Removes this replica's slices. */
  stop(): Promise<void>;
}

/** Of etcd's 1.5 MiB, with room for managed fields. What sidecars say of refused snapshots is text of theirs, up to 10 kB each. */
const MAX_SLICE_BYTES = 512 * 1024;
const MIN_INTERVAL_MS = 500;
const RENEW_MS = 30_000;
const MANAGER = 'chaperone-slices';

export function startSlicePublisher(options: SlicePublisherOptions): SlicePublisher {
  const { kube, namespace, replica, owner, board, log, now, minIntervalMs = MIN_INTERVAL_MS, renewMs = RENEW_MS } = options;
  let generation = 0;
  let written = 0;
  let slices = 0;
  let lastAt = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let working: Promise<void> = Promise.resolve();
  let stopped = false;
  const nameOf = (index: number) => `${replica}-${index}`;

  const write = async () => {
    const current = generation;
    lastAt = performance.now();
    const parts = partsOf(board.all().map(entryOf));
    for (const [index, sidecars] of parts.entries()) {
      const spec: SidecarSliceSpec = { replica, renewedAt: new Date(now()).toISOString(), generation: current, sidecars };
      const ownerReferences = owner === null ? {} : { ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', ...owner }] };
      const object = {
        apiVersion: API_VERSION,
        kind: 'SidecarSlice',
        metadata: { namespace, name: nameOf(index), ...ownerReferences },
        spec,
      };
      await kube.apply<SidecarSliceObject>(SIDECAR_SLICES, object, { force: true, fieldManager: MANAGER });
    }
    for (let index = parts.length; index < slices; index++) await remove(nameOf(index));
    slices = parts.length;
    written = current;
  };
  const remove = async (name: string) => {
    try {
      await kube.delete(SIDECAR_SLICES, { namespace, name });
    } catch (error: unknown) {
      if (!isKubeError(error, 'NotFound')) throw error;
    }
  };
  const attempt = () => {
    working = working.then(write).then(
      () => plan(written === generation ? renewMs : minIntervalMs),
      (error: unknown) => {
        log.warn({ error: error instanceof Error ? error.message : 'unknown' }, 'the slice of this replica could not be written');
        plan(Math.max(minIntervalMs, 2000));
      },
    );
    return working;
  };
  const plan = (afterMs: number) => {
    clearTimeout(timer);
    if (!stopped) timer = setTimeout(() => void attempt(), afterMs).unref();
  };

  const forget = board.onChange(() => {
    generation++;
    plan(Math.max(0, lastAt + minIntervalMs - performance.now()));
  });
  plan(0);
  return {
    async flush() {
      clearTimeout(timer);
      await attempt();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      forget();
      await working;
      for (let index = 0; index < slices; index++) await remove(nameOf(index)).catch(() => {});
    },
  };
}

/** As many slices as it takes, one at least: an object that the API server can't store would keep all sidecars in it from being counted. */
export function partsOf(entries: readonly SliceEntry[]): SliceEntry[][] {
  const parts: SliceEntry[][] = [[]];
  let bytes = 0;
  for (const entry of entries) {
    const size = Buffer.byteLength(JSON.stringify(entry)) + 1;
    const part = parts.at(-1) ?? [];
    if (part.length > 0 && (part.length >= MAX_SIDECARS_PER_SLICE || bytes + size > MAX_SLICE_BYTES)) {
      parts.push([entry]);
      bytes = size;
    } else {
      part.push(entry);
      bytes += size;
    }
  }
  return parts;
}

function entryOf({ peer, sidecarVersion, connectedAtMs, acked, refused, restartRequiredFor, assurances }: ConnectedSidecar): SliceEntry {
  const { podUid, namespace, pod, serviceAccount } = peer;
  return {
    podUid,
    namespace,
    pod,
    serviceAccount,
    sidecarVersion,
    connectedAt: new Date(connectedAtMs).toISOString(),
    ...(acked === null ? {} : { acked }),
    ...(refused === null ? {} : { refused: { version: refused.version, problems: [...refused.problems] } }),
    ...(assurances.length === 0
      ? {}
      : {
          assurances: assurances.map(({ resource, level, loweredBy }) => ({
            resource,
            level,
            ...(loweredBy.length === 0 ? {} : { loweredBy: [...loweredBy] }),
          })),
        }),
    ...(restartRequiredFor.length === 0 ? {} : { restartRequiredFor: [...restartRequiredFor] }),
  };
}
