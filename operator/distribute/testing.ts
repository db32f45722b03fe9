/** For tests: an operator's two servers and sidecars' control clients in one process, over real TLS on loopback. */
import { createHash, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CONTAINERS, LABELS } from '#crds/control/names.ts';
import { canonicalJson } from '#crds/policy/json.ts';
import { CAPABILITIES, type Snapshot, type Source } from '#crds/policy/snapshot.ts';
import type { SidecarBindingSpec } from '#crds/v1alpha1/sidecar-binding.ts';
import { type Control, startControl } from '#sidecar/control/control.ts';
import type { Identity } from '#sidecar/control/enrol.ts';
import { createPolicyStore, type PublishablePolicyStore } from '#sidecar/policy/store.ts';
import { Authority, newAuthorityState } from '../pki/authority.ts';
import { createServingCertificate } from '../pki/serving.ts';
import { type Bindings, wasRestarted } from './bindings.ts';
import { createAckBoard } from './board.ts';
import type { ControlOptions } from './control.ts';
import type { PodObject, ReviewedToken } from './enrol-judge.ts';
import { type ControlServers, type ControlServersOptions, startControlServers } from './servers.ts';
import type { CurrentSnapshot, Pod, SnapshotSource, Workload } from './sources.ts';

export const IMAGE = 'registry.local/chaperone-sidecar:1';

export interface TestOperator {
  readonly authority: Authority;
  readonly board: ReturnType<typeof createAckBoard>;
  readonly pods: Map<string, Pod>;
  readonly bindings: Map<string, SidecarBindingSpec>;
  readonly events: string[];
  readonly logs: string[];
  readonly source: TestSnapshots;
  readonly servers: ControlServers;
  /** Of enrolment: null answers 'not good', an error 'the API server is away'. */
  review: (token: string) => ReviewedToken | null;
  fresh: boolean;
  revisions: string;
  restart(ports?: ControlServers['ports']): Promise<void>;
  close(): Promise<void>;
}

export interface TestSnapshots extends SnapshotSource {
  set(snapshot: Snapshot): CurrentSnapshot;
  /** Bytes as they are, whatever they are. */
  setRaw(workload: Workload, current: CurrentSnapshot): void;
}

export function currentOf(snapshot: Snapshot): CurrentSnapshot {
  const json = Buffer.from(canonicalJson(snapshot));
  return { version: `sha256:${createHash('sha256').update(json).digest('hex')}`, json, snapshot };
}

export function testSnapshots(): TestSnapshots {
  const current = new Map<string, CurrentSnapshot>();
  const listeners = new Set<(workload: Workload) => void>();
  const setRaw = (workload: Workload, next: CurrentSnapshot) => {
    current.set(`${workload.namespace}/${workload.serviceAccount}`, next);
    for (const listener of [...listeners]) listener(workload);
  };
  return {
    current: ({ namespace, serviceAccount }) => current.get(`${namespace}/${serviceAccount}`) ?? null,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    setRaw,
    set(snapshot) {
      const next = currentOf(snapshot);
      setRaw(snapshot.workload, next);
      return next;
    },
  };
}

export async function startTestOperator(
  over: Partial<ControlOptions> = {},
  certificateMs = 3_600_000,
  limits?: NonNullable<ControlServersOptions['limits']>,
): Promise<TestOperator> {
  const authority = new Authority(await newAuthorityState(Date.now()));
  const serving = await createServingCertificate({ authority, names: ['localhost'], now: Date.now, onError: () => {} });
  const bindings = new Map<string, SidecarBindingSpec>();
  const pods = new Map<string, Pod>();
  const [events, logs]: [string[], string[]] = [[], []];
  const note = (_fields: object, message: string) => void logs.push(message);
  const log = { info: note, warn: note, error: note };
  const source = testSnapshots();
  const board = createAckBoard();
  const podEvents = {
    emit: (reason: string, pod: { readonly name: string }, text: string) => void events.push(`${reason} ${pod.name} ${text}`),
  };
  const start = (ports: ControlServers['ports']) =>
    startControlServers({
      serving,
      enrolment: {
        authority,
        trustDomain: 'cluster.local',
        clusterName: 'test',
        images: new Set([IMAGE]),
        review: async (token) => operator.review(token),
        readPod: async (namespace, name) => podObject([...pods.values()].find((pod) => pod.namespace === namespace && pod.name === name)),
        bindings: memoryBindings(bindings),
        events: podEvents,
        log,
        now: Date.now,
        certificateMs,
      },
      control: {
        snapshots: source,
        freshness: { prove: async () => operator.fresh, revisions: () => operator.revisions },
        board,
        handlers: {},
        events: podEvents,
        log,
        now: Date.now,
        ...over,
      },
      pods,
      host: '127.0.0.1',
      ports,
      enrolmentRate: { perSecond: 1000, burst: 1000 },
      ...(limits === undefined ? {} : { limits }),
    });
  const operator = {
    authority,
    board,
    pods,
    bindings,
    events,
    logs,
    source,
    fresh: true,
    revisions: '',
    review: reviewToken,
    servers: null as never as ControlServers,
    async restart(ports = { enrolment: 0, control: 0 }) {
      operator.servers = await start(ports);
    },
    async close() {
      await operator.servers.close();
      serving.close();
    },
  };
  await operator.restart();
  return operator;
}

function memoryBindings(held: Map<string, SidecarBindingSpec>): Bindings {
  return {
    async claim(binding) {
      const known = held.get(binding.podUid);
      if (known !== undefined && known.key !== binding.key && !wasRestarted(known, binding)) return false;
      held.set(binding.podUid, binding);
      return true;
    },
    keyOf: async (podUid) => held.get(podUid)?.key ?? null,
    sweep: async () => 0,
  };
}

/** A token that says what it is: `NAMESPACE/SERVICEACCOUNT/POD/UID/NODE`. */
function reviewToken(token: string): ReviewedToken | null {
  const [namespace = '', serviceAccount = '', pod = '', uid = '', node = ''] = token.split('/');
  if (node === '') return null;
  const extra = { 'pod-name': [pod], 'pod-uid': [uid], 'node-name': [node] };
  return {
    username: `system:serviceaccount:${namespace}:${serviceAccount}`,
    extra: Object.fromEntries(Object.entries(extra).map(([name, value]) => [`authentication.kubernetes.io/${name}`, value])),
  };
}

export const tokenOf = ({ namespace, serviceAccount, name, uid, node }: Pod) => `${namespace}/${serviceAccount}/${name}/${uid}/${node}`;

function podObject(pod: Pod | undefined): PodObject | null {
  if (pod === undefined) return null;
  const { namespace, name, uid, node, serviceAccount, phase, sidecarContainerId, sidecarRestarts } = pod;
  return {
    metadata: { namespace, name, uid, labels: { [LABELS.injected]: 'true' } },
    spec: { nodeName: node, serviceAccountName: serviceAccount, initContainers: [{ name: CONTAINERS.sidecar, image: IMAGE }] },
    status: {
      phase,
      initContainerStatuses: [{ name: CONTAINERS.sidecar, containerID: sidecarContainerId, restartCount: sidecarRestarts }],
    },
  };
}

let podCount = 0;

export function addPod(operator: TestOperator, over: Partial<Pod> = {}): Pod {
  const number = ++podCount;
  const uid = `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
  const pod = {
    namespace: 'shop',
    serviceAccount: 'agent',
    name: `agent-${number}`,
    uid,
    node: 'node-1',
    sidecarContainerId: `containerd://${number}`,
    sidecarRestarts: 0,
    phase: 'Running',
    ...over,
  };
  operator.pods.set(pod.uid, pod);
  return pod;
}

export interface TestSidecar {
  readonly control: Control;
  readonly policy: PublishablePolicyStore;
  readonly secrets: ReadonlyMap<string, ReadonlyMap<string, Buffer>>[];
  readonly renewals: Identity[];
  readonly logs: readonly string[];
  close(): void;
}

export interface TestSidecarOptions {
  readonly ttlMs?: number;
  readonly sidecarVersion?: string;
  readonly capabilities?: readonly string[];
  readonly timeoutMs?: number;
  readonly unreachedMs?: number;
  readonly token?: string;
}

/** Enrols and attaches a policy store; rejects where it is not enrolled within `timeoutMs`. */
export async function startTestSidecar(operator: TestOperator, pod: Pod, options: TestSidecarOptions = {}): Promise<TestSidecar> {
  const dir = mkdtempSync(join(tmpdir(), 'chaperone-control-'));
  const [tokenFile, caFile] = [join(dir, 'token'), join(dir, 'ca.crt')];
  writeFileSync(tokenFile, options.token ?? tokenOf(pod));
  writeFileSync(caFile, operator.authority.bundle);
  const logs: string[] = [];
  const note = (_fields: object, message: string) => void logs.push(message);
  const renewals: Identity[] = [];
  const signal = AbortSignal.timeout(options.timeoutMs ?? 10_000);
  const { enrolment, control: controlPort } = operator.servers.ports;
  try {
    const control = await startControl(
      {
        operator: { host: 'localhost', enrolmentPort: enrolment, controlPort },
        tokenFile,
        caFile,
        recordingPublicKey: generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' }),
        sidecarVersion: options.sidecarVersion ?? '0.1.0',
        capabilities: CAPABILITIES,
        log: { info: note, warn: note, error: note },
        now: Date.now,
        ...(options.unreachedMs === undefined ? {} : { unreachedMs: options.unreachedMs }),
        onRenewed: (identity) => renewals.push(identity),
      },
      signal,
    ).catch((error: unknown) => {
      throw new Error(logs.join('\n'), { cause: error });
    });
    const { namespace, serviceAccount } = control.identity;
    const capabilities = options.capabilities ?? CAPABILITIES;
    const ttl = options.ttlMs === undefined ? {} : { ttlMs: options.ttlMs };
    const policy = createPolicyStore({ workload: { namespace, serviceAccount }, capabilities, now: Date.now, ...ttl });
    const secrets: TestSidecar['secrets'] = [];
    control.attach({
      get version() {
        return policy.version;
      },
      publish: async (snapshot) => policy.publish(snapshot),
      confirm: (version) => policy.confirm(version),
      secrets: (update) => void secrets.push(update),
    });
    return {
      control,
      policy,
      secrets,
      renewals,
      logs,
      close() {
        control.close();
        policy.close();
        rmSync(dir, { recursive: true, force: true });
      },
    };
  } catch (error: unknown) {
    rmSync(dir, { recursive: true, force: true });
    throw error;
  }
}

export function testSnapshot(generation: number, over: Partial<Snapshot> = {}): Snapshot {
  const workload = over.workload ?? { namespace: 'shop', serviceAccount: 'agent' };
  const source: Source = { kind: 'ProtectedResource', namespace: 'shop', name: 'api', uid: 'u1', generation };
  return {
    schemaVersion: 1,
    workload,
    sources: [source],
    resources: [
      {
        namespace: 'shop',
        name: 'api',
        generation,
        requiredCapabilities: ['http/1'],
        protocol: 'HTTP',
        address: { host: 'api.shop', port: 80 },
        aliases: [],
        tls: { mode: 'Disable' },
        agentToken: 'Ignore',
        http: { credential: { header: 'authorization', prefix: 'Bearer ', secret: { name: 'api', key: 'token' } } },
        recording: { results: 'None', sampleRows: 1, fsync: 'Never' },
        policies: [],
        masking: [],
        gates: [],
      },
    ],
    ...over,
  };
}
