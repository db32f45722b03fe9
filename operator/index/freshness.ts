/**
 * Whether what this replica knows is what the cluster has. A watch tells what happened, and never that nothing did: one that is held up looks like a
 * quiet one, and its replica would go on handing out what was revoked. So the proof is a read of its own: the names and versions of all objects of
 * each kind, listed with no resourceVersion (the API server then answers as of now, for which it asks etcd's quorum), and compared with the copy. Where
 * the copy is behind, it gets a moment to catch up, then its watch is begun anew.
 */
import { formatRevisions, revisionOf } from '#crds/control/revisions.ts';
import { pause } from '#operator/kube/backoff.ts';
import type { KubeList } from '#operator/kube/client.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { keyOf, type Watch } from '#operator/kube/watch.ts';

export interface Freshness {
  /** True: all that the cluster held when this was called is in the copies. False: that can't be shown. Whoever asks meanwhile shares the next proof. */
  prove(): Promise<boolean>;
  /** Up to where the copies reach: `#crds/control/revisions`. */
  revisions(): string;
  readonly proofs: { readonly held: number; readonly failed: number };
}

/** One copy of what policy is made of. */
export interface Copy {
  readonly kind: string;
  readonly watch: Pick<Watch<KubeObject>, 'get' | 'values' | 'reached' | 'onProgress' | 'relist'>;
  /** Metadata of all of them, as of now. */
  list(signal: AbortSignal): Promise<KubeList<KubeObject>>;
}

export interface FreshnessOptions {
  readonly copies: readonly Copy[];
  readonly log: { warn(fields: object, message: string): void };
  readonly times?: Partial<FreshnessTimes>;
}

export interface FreshnessTimes {
  readonly listMs: number;
  /** How long an event may be under way. */
  readonly behindMs: number;
  /** How long a new list may take. */
  readonly relistMs: number;
  /** Between the starts of two proofs. */
  readonly apartMs: number;
}

const TIMES: FreshnessTimes = { listMs: 5_000, behindMs: 1_000, relistMs: 5_000, apartMs: 200 };
/** Of all time, a fifth at most is spent on proofs, however large the lists are. */
const SHARE = 5;

export function createFreshness({ copies, log, times: given = {} }: FreshnessOptions): Freshness {
  const times = { ...TIMES, ...given };
  let next: Promise<boolean> | null = null;
  let running: Promise<boolean> = Promise.resolve(true);
  let notBefore = 0;
  const proofs = { held: 0, failed: 0 };

  const prove = async (): Promise<boolean> => {
    const startedAt = performance.now();
    try {
      const behind = (await Promise.all(copies.map((copy) => proveOne(copy, times, log)))).filter((kind) => kind !== null);
      if (behind.length > 0) log.warn({ kinds: behind }, 'this replica is behind the cluster: it serves no policy until it has caught up');
      proofs[behind.length === 0 ? 'held' : 'failed']++;
      return behind.length === 0;
    } catch (error: unknown) {
      proofs.failed++;
      log.warn({}, `this replica can't tell whether its policy is the cluster's: ${error instanceof Error ? error.message : 'unknown'}`);
      return false;
    } finally {
      const now = performance.now();
      notBefore = Math.max(startedAt + times.apartMs, now + (now - startedAt) * (SHARE - 1));
    }
  };
  /** One begins only after the last has ended: what it lists is later than whoever asked before it began. */
  const queue = async (): Promise<boolean> => {
    await running;
    await pause(Math.min(times.listMs, Math.max(0, notBefore - performance.now())));
    next = null;
    running = prove();
    return running;
  };
  return {
    prove: () => (next ??= queue()),
    revisions: () =>
      formatRevisions(
        new Map(
          copies.flatMap(({ kind, watch }) => {
            const revision = revisionOf(watch.reached);
            return revision === null ? [] : [[kind, revision] as const];
          }),
        ),
      ),
    proofs,
  };
}

/** The kind, where its copy stayed behind. */
async function proveOne(copy: Copy, times: FreshnessTimes, log: FreshnessOptions['log']): Promise<string | null> {
  const list = await copy.list(AbortSignal.timeout(times.listMs));
  if (await comes(copy, list, times.behindMs)) return null;
  log.warn({ kind: copy.kind }, 'a watch is behind the cluster: everything is listed again');
  copy.watch.relist();
  return (await comes(copy, list, times.relistMs)) ? null : copy.kind;
}

function comes({ watch }: Copy, list: KubeList<KubeObject>, timeoutMs: number): Promise<boolean> {
  if (holds(watch, list)) return Promise.resolve(true);
  return new Promise((resolve) => {
    const end = (result: boolean) => {
      clearTimeout(timer);
      forget();
      resolve(result);
    };
    const timer = setTimeout(() => end(false), timeoutMs);
    const forget = watch.onProgress(() => {
      if (holds(watch, list)) end(true);
    });
  });
}

/** Whether the copy knows all that the list does; it may know more. */
export function holds(watch: Pick<Copy['watch'], 'get' | 'values' | 'reached'>, { items, resourceVersion }: KubeList<KubeObject>): boolean {
  if (watch.reached === null) return false;
  const [reached, listed] = [revisionOf(watch.reached), revisionOf(resourceVersion)];
  if (reached !== null && listed !== null && reached >= listed) return true;
  const present = new Set<string>();
  for (const item of items) {
    const key = keyOf(item);
    const known = watch.get(key);
    if (known === undefined || !isAtLeast(known, item.metadata.resourceVersion)) return false;
    present.add(key);
  }
  // What the list lacks is gone, or came after it.
  for (const known of watch.values()) if (!present.has(keyOf(known)) && !isAfter(known, listed)) return false;
  return true;
}

function isAtLeast({ metadata: { resourceVersion } }: KubeObject, wanted: string | undefined): boolean {
  if (resourceVersion !== undefined && resourceVersion === wanted) return true;
  const [has, wants] = [revisionOf(resourceVersion), revisionOf(wanted)];
  return has !== null && wants !== null && has >= wants;
}

function isAfter({ metadata: { resourceVersion } }: KubeObject, listed: bigint | null): boolean {
  const revision = revisionOf(resourceVersion);
  return revision !== null && listed !== null && revision > listed;
}
