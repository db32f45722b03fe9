import { join } from 'node:path';
import type { EgressPolicy } from '#crds/control/names.ts';
import type { SessionAssurance } from '#crds/policy/assurance.ts';
import { DEFAULT_PROCESS_LIMITS, type ProcessLimits, resourceLimits } from '#crds/policy/limits.ts';
import { CAPABILITIES } from '#crds/policy/snapshot.ts';
import { means } from '#crds/policy/subject.ts';
import { serveAdmin } from './approvals/admin.ts';
import { createApprovalBroker } from './approvals/broker.ts';
import type { RemoteApprovals } from './approvals/remote.ts';
import type { EgressVerdict, UnmonitoredEgress } from './confine/egress.ts';
import type { TokenIssuer } from './identity/issuers.ts';
import { openLocalIssuer } from './identity/local-issuer.ts';
import { createIdentityVerifier } from './identity/verifier.ts';
import type { Log, PolicyStore, VerdictLine, Workload } from './pipeline.ts';
import { createPolicyStore, type PublishResult } from './policy/store.ts';
import { type ListenAddress, StartError } from './start/address.ts';
import { createDrivers } from './start/drivers.ts';
import { watchProcess } from './start/limits.ts';
import { type Entrances, Listeners, type ListenersOptions } from './start/listeners.ts';
import { createPublisher } from './start/publish.ts';
import { openSidecarRecordings, type UploadSettings } from './start/recordings.ts';
import { openTelemetry } from './start/telemetry.ts';
import { openTls } from './start/tls.ts';
import { TransparentEntrance } from './start/transparent.ts';
import { returnFreedMemory } from './system/memory.ts';
import { createAssurances } from './telemetry/assurances.ts';
import { Metrics } from './telemetry/metrics.ts';
import { createCredentialStore, type Secrets } from './upstream/credentials/store.ts';
import type { NameService } from './upstream/names.ts';
import { messageBudget } from './wire/postgres/budget.ts';

export interface SidecarOptions {
  /** Folder for keys, recordings, the certificate and the admin socket; made where it is missing. */
  readonly state: string;
  /** What the listeners stand for. */
  readonly workload: Workload;
  /** Beside the local issuer of the state folder. */
  readonly issuers?: readonly TokenIssuer[];
  /** By `name` or `namespace/name` of a resource; the others take the first free port of loopback from 6432 up. */
  readonly listen?: ReadonlyMap<string, ListenAddress>;
  /** The agents' leg; an own CA in STATE/tls where absent. */
  readonly tls?: { readonly certificateFile: string; readonly keyFile: string };
  readonly metricsPort?: number;
  /** Of the process; the defaults where absent. */
  readonly limits?: ProcessLimits;
  /** Loopback where absent. */
  readonly metricsHost?: string;
  /** Looks targets up by DNS alone; by the machine's own ways where absent. */
  readonly names?: NameService;
  /** For a resource that `listen` does not name: a free port of loopback where absent. */
  readonly others?: 'FreePort' | 'None';
  /** Takes all that leaves the pod, instead of a listener for each resource. Needs `names`. */
  readonly transparent?: { readonly egress: EgressPolicy; readonly port?: number };
  /** After this long without a publish everything is denied. */
  readonly ttlMs?: number;
  /** `certificate`: an operator has certified the workload; there is no local issuer then. `listener` where absent. */
  readonly workloadProof?: 'listener' | 'certificate';
  /** In a cluster: its name, what proves the recording key (PEM, leaf first), and the way to the bucket. */
  readonly recording?: { readonly cluster: string; readonly certificates: readonly string[]; readonly upload: UploadSettings };
  /** Where approvals are kept elsewhere: a cluster. The local broker has none then. */
  readonly approvals?: (parts: ApprovalParts) => RemoteApprovals;
  readonly log: Log;
  readonly onVerdict?: (line: VerdictLine) => void;
  readonly now?: () => number;
}

/** What approvals that are kept elsewhere are given. */
export interface ApprovalParts {
  readonly policy: PolicyStore;
  readonly now: () => number;
  readonly maxPendingPerAsker: number;
  readonly maxPending: number;
}

/** A sidecar that runs. Keys of `addresses` are `namespace/name` of the resource. */
export interface Sidecar {
  readonly addresses: ReadonlyMap<string, ListenAddress>;
  /** Version of the snapshot in force; `none` before the first. */
  readonly version: string;
  readonly adminSocket: string;
  readonly metricsPort: number | null;
  /** PEM of the CA that agents trust (sslrootcert); null where a certificate was given. */
  readonly caFile: string | null;
  /** Resources that agents can't reach before the pod is restarted: `namespace/name`. */
  readonly restartRequiredFor: readonly string[];
  /** The lowest assurance of the sessions of each resource (`namespace/name`). */
  lowestAssurances(): ReadonlyMap<string, SessionAssurance>;
  /** Connections to addresses of no resource, counted since the last call. */
  takeEgress(): readonly UnmonitoredEgress[];
  /**
   * Takes a snapshot (any JSON value) with its Secrets; listeners of new resources are open when it resolves. A refused snapshot changes nothing.
   * Rejects with StartError where a listener can't be opened; the policy is in force then all the same.
   */
  publish(snapshot: unknown, secrets: Secrets): Promise<PublishResult>;
  /** The same with the Secrets in force; where snapshots and Secrets come apart. */
  publishSnapshot(snapshot: unknown): Promise<PublishResult>;
  /** Takes all Secrets anew; the policy stays. */
  replaceSecrets(secrets: Secrets): void;
  /** This version still holds, says who gave it: its TTL begins again. False where another one is in force. */
  confirm(version: string): boolean;
  /** The recording key is proven by these from now on. PEM, leaf first. Throws RecordingError. */
  certify(certificates: readonly string[]): void;
  /** What waits to be stored in the bucket. */
  readonly spoolBytes: number;
  /** Stops accepting; sessions end after the action that is under way, at the latest after `graceMs` (10 000). */
  drain(graceMs?: number): Promise<void>;
  /** Drains without grace where `drain` was not called, closes the recordings and lets go of everything. */
  close(): Promise<void>;
}

type Close = () => unknown;
const LISTEN_AGAIN_MS = 2_000;
/** After the start: what it needed is free then. */
const RETURN_MEMORY_MS = 2_000;

/**
 * Starts with DENY_ALL and no listener; `publish` gives it something to do. Rejects with StartError, ListenError, SocketError, RecordingError or
 * LocalIssuerError, and has let go of everything then.
 */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const opened: Close[] = [];
  const closeAll = async () => {
    for (const close of opened.splice(0).reverse()) await close();
  };
  try {
    return await assemble(options, opened, closeAll);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function assemble(options: SidecarOptions, opened: Close[], closeAll: () => Promise<void>): Promise<Sidecar> {
  const { names, transparent } = options;
  const { log, workload, state, listen = new Map<string, ListenAddress>(), now = Date.now } = options;
  const opening = <T extends { close(): unknown }>(part: T): T => {
    opened.push(() => part.close());
    return part;
  };
  let draining: Promise<void> | null = null;

  const ttl = options.ttlMs === undefined ? {} : { ttlMs: options.ttlMs };
  const policy = opening(createPolicyStore({ workload, capabilities: CAPABILITIES, now, ...ttl }));
  const metrics = new Metrics();
  const assurances = createAssurances();
  const { upload, ...proof } = options.recording ?? {};
  const recording = { dir: state, clock: now, log, snapshot: () => policy.version, ...proof };
  const recordings = opening(await openSidecarRecordings(recording, upload, metrics));
  const { workloadProof = 'listener' } = options;
  // Tokens of its own would be a second way in, beside the cluster's.
  const local = workloadProof === 'certificate' ? [] : [(await openLocalIssuer(state)).verifier];
  const identity = createIdentityVerifier({ issuers: [...local, ...(options.issuers ?? [])], now, workloadProof });
  const credentials = createCredentialStore();
  const { startTls, caFile } = await openTls({ state, given: options.tls, listen, now });
  const { limits = DEFAULT_PROCESS_LIMITS } = options;
  const pending = { maxPendingPerAsker: limits.maxPendingApprovals, maxPending: limits.maxPendingApprovalsTotal };
  const broker = opening(createApprovalBroker({ policy, matches: means, now, ...pending, onEvent: (view) => telemetry.approval(view) }));
  const approvals = options.approvals === undefined ? broker : opening(options.approvals({ policy, now, ...pending }));
  const budget = messageBudget(process.constrainedMemory(), limits.maxBufferedTotalBytes);
  const onVerdict = (line: VerdictLine) => {
    telemetry.verdict(line);
    options.onVerdict?.(line);
  };
  const drivers = createDrivers(
    {
      policy,
      identity,
      credentials,
      recordings,
      approvals,
      log,
      now,
      onVerdict,
      onLimit: (limit, resource) => telemetry.limit(limit, resource),
      assurances,
      ...(names && { names: (namespace: string) => names.for(namespace) }),
    },
    startTls,
    budget,
  );
  const serve: ListenersOptions['serve'] = (protocol, connection) => drivers[protocol].serve(connection);
  const doorOf: ListenersOptions['doorOf'] = (resource, protocol) => ({
    limits: () => resourceLimits(policy.resource(resource)?.resource.limits),
    onLimit: (limit) => telemetry.limit(limit, resource),
    noRoom: () => drivers[protocol()].noRoom,
  });
  const onEgress = (verdict: EgressVerdict) => telemetry.egress(verdict);
  if (transparent !== undefined && names === undefined) throw new StartError('transparent mode needs DNS');
  const through =
    transparent === undefined || names === undefined
      ? null
      : new TransparentEntrance({ ...transparent, names, onEgress, now, workload, log, serve, doorOf });
  const listeners: Entrances =
    through ?? new Listeners({ fixed: listen, others: options.others ?? 'FreePort', workload, log, serve, doorOf });
  const ready = () => policy.snapshot !== null && !policy.stale && draining === null && listeners.ready;
  const telemetry = opening(
    await openTelemetry({ port: options.metricsPort, host: options.metricsHost, ready, approvals, listeners, policy, assurances }, metrics),
  );
  const watched = watchProcess({ limits, log, now, budget, metrics, onLimit: (limit) => telemetry.limit(limit) });
  opened.push(() => watched.close());
  const status = () => ({
    version: policy.version,
    stale: policy.stale,
    draining: draining !== null,
    workload: `${workload.namespace}/${workload.serviceAccount}`,
    addresses: Object.fromEntries([...listeners.addresses].map(([key, { host, port }]) => [key, { host, port }])),
    approvalsPending: approvals.pending,
  });
  const admin = opening(await serveAdmin({ path: adminSocketOf(state), broker, verify: identity.token, status, log }));
  const publisher = createPublisher({
    policy,
    credentials,
    onResult: (result) => telemetry.reload(result),
    reconcile: async () => {
      if (draining === null) await listeners.reconcile(policy.snapshot?.resources ?? []);
    },
  });

  // A port that another process had is taken as soon as it is free.
  const again = setInterval(() => {
    if (policy.snapshot !== null && draining === null && !listeners.ready)
      void listeners.reconcile(policy.snapshot.resources).catch(() => {});
  }, LISTEN_AGAIN_MS);
  opened.push(() => clearInterval(again));
  const started = setTimeout(returnFreedMemory, RETURN_MEMORY_MS).unref();
  opened.push(() => clearTimeout(started));

  const drainOnce = async (graceMs: number) => {
    const empty = listeners.close();
    // What waits for an approval is not under way: it is told now, and does not hold up the end.
    approvals.close();
    await Promise.all(Object.values(drivers).map((driver) => driver.drain(graceMs)));
    await empty;
  };
  const drain = (graceMs = 10_000) => {
    draining ??= drainOnce(graceMs);
    return draining;
  };
  return {
    get addresses() {
      return listeners.addresses;
    },
    get version() {
      return policy.version;
    },
    adminSocket: admin.path,
    metricsPort: telemetry.port,
    caFile,
    get restartRequiredFor() {
      return listeners.missing;
    },
    lowestAssurances: () => assurances.lowest(),
    takeEgress: () => through?.takeEgress() ?? [],
    publish: (snapshot, secrets) => publisher.publish(snapshot, secrets),
    publishSnapshot: (snapshot) => publisher.publishSnapshot(snapshot),
    replaceSecrets: (secrets) => publisher.replaceSecrets(secrets),
    confirm: (version) => policy.confirm(version),
    certify: (certificates) => recordings.certify(certificates),
    get spoolBytes() {
      return recordings.uploads()?.spoolBytes ?? 0;
    },
    drain,
    async close() {
      await drain(0);
      await closeAll();
    },
  };
}

/** Where the CLI finds a sidecar that runs with this state folder. */
export const adminSocketOf = (state: string): string => join(state, 'run', 'chaperone.sock');

/** A `--listen` for a resource that does not exist is a slip of the pen: told at the start, not found out by a refused connection. */
export function refuseUnknownListens(
  listen: ReadonlyMap<string, ListenAddress>,
  resources: readonly { readonly namespace: string; readonly name: string }[],
): void {
  for (const name of listen.keys()) {
    if (resources.some((resource) => resource.name === name || `${resource.namespace}/${resource.name}` === name)) continue;
    const known = resources.map((resource) => `${resource.namespace}/${resource.name}`).join(', ');
    throw new StartError(`--listen ${name}: there is no such ProtectedResource (there are ${known || 'none'})`);
  }
}
