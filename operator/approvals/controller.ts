/** Follows requests and decisions, and writes how each request stands. Runs on every replica: of two equal writes the API server takes one. */
import type { SnapshotGate } from '#crds/policy/snapshot.ts';
import { type ApprovalRequest, INTERNAL_KINDS, type InternalKind } from '#crds/v1alpha1/internal-kinds.ts';
import { GROUP, VERSION } from '#crds/v1alpha1/kinds.ts';
import type { KubeClient } from '../kube/client.ts';
import { isKubeError } from '../kube/error.ts';
import { createQueue } from '../kube/queue.ts';
import type { ResourceRef } from '../kube/resource.ts';
import { collection } from '../kube/source.ts';
import { startWatch, type Watch, type WatchLog, type WatchState } from '../kube/watch.ts';
import { askersKey } from './raise.ts';
import { type ApprovalState, hasEnded, type Settled, type StoredDecision, settle, withdrawn } from './settle.ts';

export interface ApprovalsOptions {
  readonly kube: KubeClient;
  /** The ApprovalGate as it is now; null where there is none. May reject: then it is tried again. */
  readonly gate: (namespace: string, name: string) => Promise<SnapshotGate | null>;
  readonly now: () => number;
  readonly log: WatchLog & { info(fields: object, message: string): void };
  /** Called by the replica that wrote it. */
  readonly onState?: (request: ApprovalRequest, state: ApprovalState, message: string) => void;
  /** Only it removes what has ended. */
  readonly isLeader: () => boolean;
  /** How long a request that has ended stays; a day where absent. */
  readonly keepEndedMs?: number;
  readonly maxPendingPerAsker?: number;
  readonly maxPendingPerNamespace?: number;
  /** Of all askers of one workload, whose sidecar says who they are: it can't fill the namespace alone. */
  readonly maxPendingPerWorkload?: number;
}

export type ApprovalChange = { readonly type: 'Set' | 'Removed'; readonly request: ApprovalRequest };

export interface ApprovalController {
  /** Resolves when both kinds are listed. */
  readonly synced: Promise<void>;
  /** By the sidecar's id. */
  find(id: string): ApprovalRequest | undefined;
  readonly pending: number;
  /** For health and metrics. */
  states(): readonly WatchState[];
  /** Null where one more may be raised, else why not. What `create` was called for counts from that call on. */
  limit(request: ApprovalRequest): string | null;
  /** The object, also where it was there already. Rejects with KubeError. */
  create(request: ApprovalRequest): Promise<ApprovalRequest>;
  withdraw(request: ApprovalRequest, reason: string): Promise<void>;
  onChange(listener: (change: ApprovalChange) => void): () => void;
  stop(): Promise<void>;
}

export const REQUESTS = refOf('ApprovalRequest');
export const DECISIONS = refOf('ApprovalDecision');

const DAY_MS = 24 * 3_600_000;
const SWEEP_MS = 60_000;
/** An object that the API server took and no watch has shown by then was deleted at once. */
const FRESH_MS = 30_000;

export function startApprovals(options: ApprovalsOptions): ApprovalController {
  const { kube, log, now } = options;
  const listeners = new Set<(change: ApprovalChange) => void>();
  const byId = new Map<string, ApprovalRequest>();
  /** Created by us, and not yet seen by the watch. */
  const fresh = new Map<string, { readonly request: ApprovalRequest; readonly atMs: number }>();
  /** On their way to the API server. */
  const creating = new Set<ApprovalRequest>();
  const queue = createQueue({
    work: (key) => reconcile(key),
    onError: (key, error) =>
      log.warn({ approval: key }, `a request could not be settled: ${error instanceof Error ? error.message : 'unknown'}`),
  });
  const requests: Watch<ApprovalRequest> = startWatch<ApprovalRequest>({
    source: collection(kube, REQUESTS),
    log,
    onChange: ({ type, key, object }) => {
      fresh.delete(key);
      if (type === 'Set') byId.set(object.spec.id, object);
      else byId.delete(object.spec.id);
      if (type === 'Set') queue.add(key);
      for (const listener of [...listeners]) listener({ type, request: object });
    },
  });
  const decisions: Watch<StoredDecision> = startWatch<StoredDecision>({
    source: collection(kube, DECISIONS),
    log,
    onChange: ({ object }) => queue.add(`${object.metadata.namespace}/${object.spec.requestRef.name}`),
  });

  const decisionsOf = ({ metadata }: ApprovalRequest) =>
    [...decisions.values()].filter((d) => d.metadata.namespace === metadata.namespace && d.spec.requestRef.name === metadata.name);

  const reconcile = async (key: string): Promise<{ readonly againMs: number } | undefined> => {
    // What was not listed yet is not known to be absent.
    await decisions.synced;
    const request = requests.get(key);
    if (request === undefined || hasEnded(request)) return undefined;
    const gates = await Promise.all(request.spec.gates.map(({ name }) => options.gate(request.metadata.namespace, name)));
    const settled: Settled = settle(
      request,
      decisionsOf(request),
      gates.filter((gate) => gate !== null),
      now(),
    );
    await write(request, settled.status);
    return settled.againMs === null ? undefined : { againMs: Math.min(settled.againMs, SWEEP_MS) };
  };

  const write = async (request: ApprovalRequest, status: Settled['status']): Promise<void> => {
    if (!isNews(request, status)) return;
    const { namespace, name, resourceVersion } = request.metadata;
    try {
      await kube.patchStatus(REQUESTS, { namespace, name }, { metadata: { resourceVersion }, status });
    } catch (error: unknown) {
      // Another replica was first: its write comes by the watch. Gone: nobody waits for it any more.
      if (isKubeError(error, 'Conflict', 'NotFound')) return;
      throw error;
    }
    const state = status.state ?? 'Pending';
    if (request.status?.state === state) return;
    log.info(
      { approval: `${namespace}/${name}`, state, asker: request.spec.asker, resource: request.spec.resource },
      `approval: ${status.message ?? state}`,
    );
    options.onState?.(request, state, status.message ?? '');
  };

  const sweep = async () => {
    for (const [key, { atMs }] of fresh) if (now() - atMs > FRESH_MS) fresh.delete(key);
    if (!options.isLeader()) return;
    for (const { metadata, status } of requests.values()) {
      if (status?.endedAt === undefined || now() - Date.parse(status.endedAt) < (options.keepEndedMs ?? DAY_MS)) continue;
      const { namespace, name, uid } = metadata;
      await kube.delete(REQUESTS, { namespace, name }, uid === undefined ? {} : { uid }).catch((error: unknown) => {
        if (!isKubeError(error, 'NotFound', 'Conflict'))
          log.warn({ approval: `${namespace}/${name}` }, 'an ended request could not be removed');
      });
    }
  };
  const sweeping = setInterval(() => void sweep(), Math.min(SWEEP_MS, options.keepEndedMs ?? SWEEP_MS)).unref();

  const waiting = () => {
    const seen = [...requests.values()].filter((request) => !hasEnded(request));
    return [...seen, ...[...fresh.values()].map(({ request }) => request), ...creating];
  };

  return {
    synced: Promise.all([requests.synced, decisions.synced]).then(() => undefined),
    find: (id) => byId.get(id) ?? [...fresh.values()].find(({ request }) => request.spec.id === id)?.request,
    get pending() {
      return waiting().length;
    },
    states: () => [requests.state(), decisions.state()],
    limit: ({ metadata, spec }) => {
      const others = waiting();
      const {
        maxPendingPerAsker: perAsker = 10,
        maxPendingPerWorkload: perWorkload = 100,
        maxPendingPerNamespace: perNamespace = 200,
      } = options;
      const asker = askersKey(spec);
      const own = others.filter((other) => askersKey(other.spec) === asker).length;
      if (own >= perAsker) return `${own} requests of this asker wait already; at most ${perAsker} may`;
      const ofWorkload = others.filter((other) => workloadOf(other) === workloadOf({ spec })).length;
      if (ofWorkload >= perWorkload) return `${ofWorkload} requests of this workload wait already; at most ${perWorkload} may`;
      return others.filter((other) => other.metadata.namespace === metadata.namespace).length >= perNamespace
        ? `too many requests wait in the namespace ${metadata.namespace} already`
        : null;
    },
    create: async (request) => {
      const key = { namespace: request.metadata.namespace, name: request.metadata.name };
      creating.add(request);
      try {
        const created = await kube.create(REQUESTS, request);
        if (requests.get(`${key.namespace}/${key.name}`) === undefined)
          fresh.set(`${key.namespace}/${key.name}`, { request: created, atMs: now() });
        return created;
      } catch (error: unknown) {
        if (!isKubeError(error, 'AlreadyExists')) throw error;
        return kube.get<ApprovalRequest>(REQUESTS, key);
      } finally {
        creating.delete(request);
      }
    },
    withdraw: async ({ metadata: { namespace, name } }, reason) => {
      // Twice, for somebody may be writing at this very moment.
      for (let attempt = 0; attempt < 3; attempt++) {
        const request = await kube.get<ApprovalRequest>(REQUESTS, { namespace, name });
        const status = withdrawn(request, decisionsOf(request), reason, now());
        if (status === null) return;
        await write(request, status);
      }
    },
    onChange: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    stop: async () => {
      clearInterval(sweeping);
      await Promise.all([requests.stop(), decisions.stop(), queue.stop()]);
    },
  };
}

/** What people and sidecars see of it has changed; times alone are no news. */
function isNews({ status }: ApprovalRequest, next: Settled['status']): boolean {
  return (
    status?.state !== next.state ||
    status?.approvals !== next.approvals ||
    (status?.decisions?.length ?? 0) !== (next.decisions?.length ?? 0)
  );
}

function workloadOf({ spec }: Pick<ApprovalRequest, 'spec'>): string {
  return `${spec.sidecar.namespace}/${spec.sidecar.serviceAccount}`;
}

function refOf(kind: InternalKind): ResourceRef {
  return { group: GROUP, version: VERSION, plural: INTERNAL_KINDS[kind].plural, kind, namespaced: true };
}
