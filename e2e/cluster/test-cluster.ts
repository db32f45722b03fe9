/** What the tests of e2e/kubernetes have of the cluster that they run on: ours, or the one of KUBECONFIG. */
import { randomBytes } from 'node:crypto';
import { current } from './cluster.ts';
import { foreignKubeconfig, foreignRegistry, foreignS3 } from './config.ts';
import { userKubeconfig } from './control-plane.ts';
import { IMAGES, nameIn } from './images.ts';
import { helmOf, type Kubectl, kubectlOf } from './kubectl.ts';
import { ctr } from './node.ts';
import { signal, startAgain, stop } from './processes.ts';
import type { S3 } from './s3.ts';

/** A part that a test may take away and give back. */
export type Part =
  | 'kube-apiserver'
  | 'etcd'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'kubelet'
  | 'kube-proxy'
  | 'containerd'
  | 's3';

export interface TestCluster {
  readonly kubeconfig: string;
  readonly kubectl: Kubectl;
  readonly helm: Kubectl;
  readonly images: Readonly<Record<keyof typeof IMAGES, string>>;
  /** `Never` where the images are on the node already. */
  readonly imagePullPolicy: 'Never' | 'IfNotPresent';
  /** Reached by the pods too. On a cluster that isn't ours there is one where CHAPERONE_S3 names it. */
  readonly s3: S3 | null;
  /** kubectl as a user with no rights but RBAC's: with a certificate of their own on our cluster, impersonated on another. */
  kubectlAs(user: string, groups?: readonly string[]): Promise<Kubectl>;
  /** What only our own cluster has; tests of it are skipped on another. */
  readonly own: OwnCluster | null;
}

export interface OwnCluster {
  /** SIGKILL, without a word before. */
  kill(part: Part): Promise<void>;
  stop(part: Part): Promise<void>;
  /** SIGKILL to the first process of a container, by the `containerID` of its status. The kubelet finds it ended. */
  killContainer(containerId: string): Promise<void>;
  /** As it ran before. Does not wait until it serves. */
  start(part: Part): Promise<void>;
}

export async function testCluster(): Promise<TestCluster> {
  const foreign = foreignKubeconfig();
  if (foreign !== undefined) return foreignCluster(foreign);
  const cluster = await current();
  if (cluster === undefined) throw new Error('no cluster is up: npm run e2e -- FILE, or npm run e2e:cluster -- up');
  const { dir, url, s3 } = cluster;
  const own: OwnCluster = {
    kill: async (part) => {
      signal(dir, part, 'SIGKILL');
      await stop(dir, part);
    },
    stop: (part) => stop(dir, part),
    killContainer: async (id) => void (await ctr(dir, ['tasks', 'kill', '--signal', 'SIGKILL', id.replace(/^containerd:\/\//, '')])),
    start: (part) => startAgain(dir, part),
  };
  return {
    ...toolsOf(cluster.kubeconfig),
    images: IMAGES,
    imagePullPolicy: 'Never',
    s3,
    kubectlAs: async (user, groups = []) => kubectlOf(await userKubeconfig(dir, url, user, groups)),
    own,
  };
}

/** Without a registry the images are on its nodes already, by the names that `npm run e2e:cluster -- images` gives them. */
function foreignCluster(kubeconfig: string): TestCluster {
  const registry = foreignRegistry();
  const named = (name: string) => (registry === undefined ? name : nameIn(registry, name));
  const tools = toolsOf(kubeconfig);
  return {
    ...tools,
    images: { operator: named(IMAGES.operator), sidecar: named(IMAGES.sidecar), debian: named(IMAGES.debian) },
    imagePullPolicy: registry === undefined ? 'Never' : 'IfNotPresent',
    s3: foreignS3() ?? null,
    kubectlAs: async (user, groups = []) => {
      const as = ['--as', user, ...groups.flatMap((group) => ['--as-group', group])];
      return (args, options) => tools.kubectl([...as, ...args], options);
    },
    own: null,
  };
}

/** Runs `work` with a namespace that nothing else uses and that is removed afterwards. Its labels may ask for a level of Pod Security. */
export async function inNamespace<T>(
  { kubectl }: TestCluster,
  work: (name: string) => Promise<T>,
  labels: Readonly<Record<string, string>> = {},
): Promise<T> {
  const name = `e2e-${randomBytes(4).toString('hex')}`;
  const manifest = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
  await kubectl(['create', '-f', '-'], { input: JSON.stringify(manifest) });
  try {
    return await work(name);
  } finally {
    await kubectl(['delete', 'namespace', name, '--wait=false']);
  }
}

/** Applies objects to a namespace, in the order in which they stand. */
export async function apply({ kubectl }: TestCluster, namespace: string, objects: readonly unknown[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects });
  await kubectl(['-n', namespace, 'apply', '--server-side', '-f', '-'], { input });
}

function toolsOf(kubeconfig: string): Pick<TestCluster, 'kubeconfig' | 'kubectl' | 'helm'> {
  return { kubeconfig, kubectl: kubectlOf(kubeconfig), helm: helmOf(kubeconfig) };
}
