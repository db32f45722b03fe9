/** Joins what sidecars talk to: the CA, the two gRPC servers, what they answer with, and what this replica tells the leader of them. */
import type { Config } from './config.ts';
import { createSecretsHandler } from './credentials/secrets.ts';
import { createBindings, startBindingIndex } from './distribute/bindings.ts';
import { createAckBoard } from './distribute/board.ts';
import type { ControlHandlers } from './distribute/control.ts';
import { createEgressReport } from './distribute/egress-report.ts';
import type { PodObject } from './distribute/enrol-judge.ts';
import { startControlServers } from './distribute/servers.ts';
import { startSlicePublisher } from './distribute/slices.ts';
import type { PodEvents } from './distribute/sources.ts';
import type { Index } from './index/start.ts';
import { backoffMs, pause } from './kube/backoff.ts';
import type { KubeClient } from './kube/client.ts';
import { isKubeError } from './kube/error.ts';
import type { EventRecorder } from './kube/events.ts';
import type { KubeObject } from './kube/resource.ts';
import { PODS } from './kube/resources.ts';
import type { SecretWatcher } from './kube/secrets.ts';
import type { WatchState } from './kube/watch.ts';
import type { Authority } from './pki/authority.ts';
import { secretStore } from './pki/secret.ts';
import { createServingCertificate } from './pki/serving.ts';
import { AuthorityError, loadOrCreateAuthority, refreshAuthority, type SecretStore } from './pki/store.ts';
import { openCountersigner } from './records/countersigner.ts';
import { openRecords } from './records/records.ts';
import type { Log } from './telemetry/log.ts';
import type { Observer } from './telemetry/observe.ts';

export interface ServeOptions {
  readonly config: Config;
  readonly kube: KubeClient;
  readonly index: Index;
  readonly secrets: SecretWatcher;
  readonly events: EventRecorder;
  readonly leads: () => boolean;
  readonly log: Log;
  readonly observe: Pick<Observer, 'records' | 'egress'>;
  readonly handlers: Omit<ControlHandlers, 'secrets' | 'slots' | 'countersign' | 'report'>;
}

export interface Serving {
  readonly authority: Authority;
  readonly ports: { readonly enrolment: number; readonly control: number };
  /** For health and metrics. */
  states(): readonly WatchState[];
  stop(): Promise<void>;
}

const CA_SECRET = 'chaperone-ca';
const REFRESH_MS = 60_000;
const HEARTBEAT_MS = 30_000;
/** One that is lost must not make a policy stale. */
const heartbeatMsOf = (ttlSeconds: number) => Math.min(HEARTBEAT_MS, (ttlSeconds * 1000) / 4);
const RETRY = { firstMs: 500, maxMs: 10_000 };

/** Rejects where the CA's Secret is none of ours, or a port can't be had; waits for an API server that is away. */
export async function serve({ config, kube, index, secrets, events, leads, log, observe, handlers }: ServeOptions): Promise<Serving> {
  const { namespace, serviceName } = config;
  const store = secretStore(kube, namespace, CA_SECRET);
  const authority = await authorityFrom(store, log);
  const host = `${serviceName}.${namespace}`;
  const serving = await createServingCertificate({
    authority,
    names: [serviceName, host, `${host}.svc`, `${host}.svc.cluster.local`],
    now: Date.now,
    onError: (error) => log.error({}, `the serving certificate could not be renewed: ${messageOf(error)}`),
  });
  const bindings = createBindings(kube, namespace, Date.now);
  const bindingIndex = startBindingIndex(kube, namespace, log);
  const board = createAckBoard();
  const records = await recordsOf(config, authority, index, observe, log);
  const podEvents: PodEvents = {
    emit: (reason, pod, note) => events.emit(reason, { ref: PODS, namespace: pod.namespace, name: pod.name, uid: pod.uid }, note),
  };
  const report = createEgressReport({ events: podEvents, count: observe.egress, now: Date.now });
  const servers = await startControlServers({
    serving,
    enrolment: {
      authority,
      trustDomain: config.trustDomain,
      clusterName: config.clusterName,
      images: new Set(config.sidecarImages),
      review: (token, audiences) => kube.tokenReview(token, audiences),
      readPod: (podNamespace, name) => orNull(kube.get<KubeObject & PodObject>(PODS, { namespace: podNamespace, name })),
      bindings,
      events: podEvents,
      log,
      now: Date.now,
    },
    control: {
      snapshots: index.snapshots,
      freshness: index.freshness,
      board,
      handlers: { ...handlers, ...records?.handlers, secrets: createSecretsHandler(index.snapshots, secrets), report },
      events: podEvents,
      log,
      now: Date.now,
      heartbeatMs: heartbeatMsOf(config.snapshotTtlSeconds),
    },
    pods: index.pods,
    cachedKeyOf: (podUid) => bindingIndex.keyOf(podUid),
    host: config.listenHost,
    ports: { enrolment: config.enrolmentPort, control: config.controlPort },
  });
  const owner = config.podUid === null ? null : { name: config.pod, uid: config.podUid };
  const slices = startSlicePublisher({ kube, namespace, replica: config.pod, owner, board, log, now: Date.now });

  const refresh = async () => {
    await refreshAuthority(authority, store, Date.now(), leads());
    // Before the pods are known, every binding would seem to be of one that is gone.
    if (leads() && index.world() !== null && index.states().every(({ synced }) => synced))
      await bindings.sweep((podUid) => index.pods.get(podUid) !== undefined);
  };
  const timer = setInterval(() => {
    refresh().catch((error: unknown) => log.warn({}, `the CA could not be looked at: ${messageOf(error)}`));
  }, REFRESH_MS);
  return {
    authority,
    ports: servers.ports,
    states: () => [bindingIndex.state()],
    stop: async () => {
      clearInterval(timer);
      await servers.close();
      records?.close();
      await slices.stop();
      await bindingIndex.stop();
      serving.close();
    },
  };
}

/** Null where no bucket is configured: recordings then stay in the pods. */
async function recordsOf(
  { bucket, clusterName: cluster, trustDomain }: Config,
  authority: Authority,
  index: Index,
  observe: Pick<Observer, 'records'>,
  log: Log,
) {
  if (bucket === null) return null;
  const countersigner = await openCountersigner({
    authority,
    trustDomain,
    clock: Date.now,
    onError: (error) => log.error({}, `a new key for the heads of ledgers could not be made: ${messageOf(error)}`),
  });
  const { url, endpoint, region, credentials, ca, objectLockDays, objectLockMode } = bucket;
  const records = openRecords({
    bucket: {
      ...{ url, region, objectLockDays, objectLockMode },
      ...(endpoint === null ? {} : { endpoint }),
      ...(credentials === null ? {} : { credentialsDir: credentials }),
      ...(ca === null ? {} : { caFile: ca }),
    },
    cluster,
    namespaces: ({ namespace, serviceAccount }) => index.snapshots.namespacesOf({ namespace, serviceAccount }),
    authority: () => countersigner.current(),
    observe: observe.records,
    log,
  });
  const handlers: Pick<ControlHandlers, 'slots' | 'countersign'> = {
    slots: (peer, request) => records.slots(peer, request),
    countersign: (peer, request) => records.countersign(peer, request),
  };
  const close = () => {
    records.close();
    countersigner.close();
  };
  return { handlers, close };
}

async function authorityFrom(store: SecretStore, log: Log): Promise<Authority> {
  for (let failures = 1; ; failures++) {
    try {
      return await loadOrCreateAuthority(store, Date.now());
    } catch (error: unknown) {
      if (error instanceof AuthorityError) throw error;
      log.warn({ failures }, `the CA could not be read: ${messageOf(error)}`);
      await pause(backoffMs(failures, RETRY));
    }
  }
}

async function orNull<T>(call: Promise<T>): Promise<T | null> {
  try {
    return await call;
  } catch (error: unknown) {
    if (isKubeError(error, 'NotFound')) return null;
    throw error;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown';
}
