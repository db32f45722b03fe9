/** What all replicas say of their sidecars: their slices, summed. */
import type { KubeObject } from '../kube/resource.ts';
import type { SidecarReport } from './programming.ts';

export interface SliceObject extends KubeObject {
  readonly spec?: { readonly sidecars?: readonly (SidecarReport & { readonly connectedAt: string })[] };
}

export interface Reports {
  set(slice: SliceObject): void;
  remove(slice: SliceObject): void;
  /** By pod UID. A sidecar that two replicas name went from one to the other: the later connection counts. */
  current(): ReadonlyMap<string, SidecarReport>;
}

/** Replicas renew their slices more often than this. */
const STALE_MS = 2 * 60_000;

/** `now` is of a clock that only runs forward: what the slices say of times is of another machine's, and not compared with ours. */
export function createReports(now: () => number = () => performance.now()): Reports {
  const slices = new Map<string, { readonly slice: SliceObject; readonly at: number }>();
  return {
    set(slice) {
      const known = slices.get(slice.metadata.name);
      if (known?.slice.metadata.resourceVersion === slice.metadata.resourceVersion) return;
      slices.set(slice.metadata.name, { slice, at: now() });
    },
    remove: (slice) => void slices.delete(slice.metadata.name),
    current() {
      const found = new Map<string, SidecarReport & { readonly connectedAt: string }>();
      for (const { slice, at } of slices.values()) {
        if (now() - at > STALE_MS) continue;
        for (const report of slice.spec?.sidecars ?? []) {
          const other = found.get(report.podUid);
          if (other === undefined || Date.parse(other.connectedAt) <= Date.parse(report.connectedAt)) found.set(report.podUid, report);
        }
      }
      return found;
    },
  };
}
