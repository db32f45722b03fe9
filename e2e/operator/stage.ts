/** An API server, the operator's two servers as one or more replicas, and pods without a kubelet: this file says what the kubelet would. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AUDIENCE, CONTAINERS, LABELS } from '#crds/control/names.ts';
import { type ControlPlane, startControlPlane } from '#e2e/cluster/control-plane.ts';
import { kubectlOf } from '#e2e/cluster/kubectl.ts';
import { createBindings } from '#operator/distribute/bindings.ts';
import { createAckBoard } from '#operator/distribute/board.ts';
import type { ControlOptions } from '#operator/distribute/control.ts';
import type { PodObject } from '#operator/distribute/enrol-judge.ts';
import { startControlServers } from '#operator/distribute/servers.ts';
import { startSlicePublisher } from '#operator/distribute/slices.ts';
import type { Pod, SnapshotSource } from '#operator/distribute/sources.ts';
import { connect } from '#operator/kube/client.ts';
import { isKubeError } from '#operator/kube/error.ts';
import type { KubeObject, ResourceRef } from '#operator/kube/resource.ts';
import { secretStore } from '#operator/pki/secret.ts';
import { createServingCertificate } from '#operator/pki/serving.ts';
import { loadOrCreateAuthority } from '#operator/pki/store.ts';

export const NAMESPACE = 'chaperone-system';
export const IMAGE = 'registry.local/chaperone-sidecar:1';
const PODS: ResourceRef = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true };
const MANIFESTS = fileURLToPath(new URL('../../crds/manifests', import.meta.url));

export interface Stage {
  readonly plane: ControlPlane;
  readonly kubectl: ReturnType<typeof kubectlOf>;
  /** The pods as a replica's index would have them. */
  readonly pods: Map<string, Pod>;
  readonly events: string[];
  readonly logs: string[];
  /** Files of one sidecar: a token of the pod, and the CA. */
  sidecarFiles(token: string): Promise<{ readonly dir: string; readonly tokenFile: string; readonly caFile: string }>;
  pod(name: string, over?: { readonly injected?: boolean; readonly image?: string }): Promise<Pod>;
  /** As its own kubeconfig where given: by whom the token is minted. */
  token(pod: Pod, options?: { readonly audience?: string; readonly bound?: boolean; readonly as?: string }): Promise<string>;
  podStatus(pod: Pod, status: { readonly phase?: string; readonly containerId?: string; readonly restarts?: number }): Promise<void>;
  replica(name: string, snapshots: SnapshotSource, over?: Partial<Omit<ControlOptions, 'peers'>>): Promise<Replica>;
  stop(): Promise<void>;
}

export interface Replica {
  readonly ports: { readonly enrolment: number; readonly control: number };
  readonly bundle: string;
  readonly board: ReturnType<typeof createAckBoard>;
  readonly bindings: ReturnType<typeof createBindings>;
  stop(): Promise<void>;
}

export async function startStage(): Promise<Stage> {
  const plane = await startControlPlane();
  const kubectl = kubectlOf(plane.kubeconfig);
  const kube = connect(plane.kubeconfig);
  const pods = new Map<string, Pod>();
  const [events, logs]: [string[], string[]] = [[], []];
  const folders: string[] = [];
  const replicas: Replica[] = [];
  const note = (_fields: object, message: string) => void logs.push(message);
  const log = { info: note, warn: note, error: note };
  await kubectl(['apply', '--server-side', '-f', MANIFESTS]);
  for (const namespace of [NAMESPACE, 'shop']) await kubectl(['create', 'namespace', namespace]);
  await kubectl(['-n', 'shop', 'create', 'serviceaccount', 'agent']);
  await kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'node-1' } }) });

  const stage: Stage = {
    plane,
    kubectl,
    pods,
    events,
    logs,
    async sidecarFiles(token) {
      const dir = await mkdtemp(join(tmpdir(), 'chaperone-stage-'));
      folders.push(dir);
      const [tokenFile, caFile] = [join(dir, 'token'), join(dir, 'ca.crt')];
      await writeFile(tokenFile, token);
      await writeFile(caFile, replicas[0]?.bundle ?? '');
      return { dir, tokenFile, caFile };
    },
    async pod(name, { injected = true, image = IMAGE } = {}) {
      const object = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { namespace: 'shop', name, labels: injected ? { [LABELS.injected]: 'true' } : {} },
        spec: {
          serviceAccountName: 'agent',
          nodeName: 'node-1',
          initContainers: [{ name: CONTAINERS.sidecar, image, restartPolicy: 'Always' }],
          containers: [{ name: 'agent', image: 'registry.local/agent:1' }],
        },
      };
      await kubectl(['apply', '-f', '-'], { input: JSON.stringify(object) });
      const { metadata } = await kube.get<KubeObject>(PODS, { namespace: 'shop', name });
      const pod = {
        namespace: 'shop',
        name,
        uid: metadata.uid ?? '',
        node: 'node-1',
        serviceAccount: 'agent',
        sidecarContainerId: '',
        sidecarRestarts: 0,
        phase: 'Pending',
      };
      await stage.podStatus(pod, { phase: 'Running', containerId: `containerd://${name}-1` });
      return pods.get(pod.uid) ?? pod;
    },
    async podStatus(pod, { phase = 'Running', containerId = pod.sidecarContainerId, restarts = pod.sidecarRestarts }) {
      const status = {
        phase,
        initContainerStatuses: [
          { name: CONTAINERS.sidecar, image: IMAGE, imageID: '', ready: true, containerID: containerId, restartCount: restarts },
        ],
      };
      const patch = ['patch', 'pod', pod.name, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status })];
      await kubectl(['-n', pod.namespace, ...patch]);
      pods.set(pod.uid, { ...pod, phase, sidecarContainerId: containerId, sidecarRestarts: restarts });
    },
    async token(pod, { audience = AUDIENCE, bound = true, as } = {}) {
      const binding = ['--bound-object-kind=Pod', `--bound-object-name=${pod.name}`, `--bound-object-uid=${pod.uid}`];
      const run = as === undefined ? kubectl : kubectlOf(as);
      const args = ['-n', pod.namespace, 'create', 'token', pod.serviceAccount, `--audience=${audience}`, ...(bound ? binding : [])];
      return (await run(args)).stdout.trim();
    },
    async replica(name, snapshots, over = {}) {
      const authority = await loadOrCreateAuthority(secretStore(kube, NAMESPACE, 'chaperone-ca'), Date.now());
      const serving = await createServingCertificate({ authority, names: ['localhost'], now: Date.now, onError: () => {} });
      const bindings = createBindings(kube, NAMESPACE, Date.now);
      const board = createAckBoard();
      const podEvents = {
        emit: (reason: string, pod: { readonly name: string }, text: string) => void events.push(`${reason} ${pod.name} ${text}`),
      };
      const servers = await startControlServers({
        serving,
        enrolment: {
          authority,
          trustDomain: 'cluster.local',
          clusterName: 'e2e',
          images: new Set([IMAGE]),
          review: (token, audiences) => kube.tokenReview(token, audiences),
          readPod: (namespace, podName) => orNull(kube.get<KubeObject & PodObject>(PODS, { namespace, name: podName })),
          bindings,
          events: podEvents,
          log,
          now: Date.now,
        },
        control: {
          snapshots,
          freshness: { prove: async () => true, revisions: () => '' },
          board,
          handlers: {},
          events: podEvents,
          log,
          now: Date.now,
          reviewMs: 200,
          ...over,
        },
        pods,
        host: '127.0.0.1',
        ports: { enrolment: 0, control: 0 },
      });
      const slices = startSlicePublisher({ kube, namespace: NAMESPACE, replica: name, owner: null, board, log, now: Date.now });
      const replica = {
        ports: servers.ports,
        bundle: authority.bundle,
        board,
        bindings,
        stop: async () => {
          await servers.close();
          await slices.stop();
          serving.close();
        },
      };
      replicas.push(replica);
      return replica;
    },
    async stop() {
      for (const replica of replicas) await replica.stop();
      kube.close();
      await plane.stop();
      for (const dir of folders) await rm(dir, { recursive: true });
    },
  };
  return stage;
}

async function orNull<T>(call: Promise<T>): Promise<T | null> {
  try {
    return await call;
  } catch (error: unknown) {
    if (isKubeError(error, 'NotFound')) return null;
    throw error;
  }
}
