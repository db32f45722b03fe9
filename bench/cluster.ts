/**
 * `npm run e2e:cluster -- up && node bench/cluster.ts`: what Chaperone costs on a cluster where nothing happens. Prints tables of Markdown: memory and
 * CPU of the containers, and how long a pod takes to be Ready with and without a sidecar. Installs Chaperone and removes it, or takes the one
 * that is there (`--installed`); `--pods 15` for steadier numbers.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { CONTAINERS } from '#crds/control/names.ts';
import { type TestCluster, testCluster } from '#e2e/cluster/test-cluster.ts';
import { installChaperone, NAMESPACE, purgeChaperone } from '#e2e/kubernetes/install.ts';
import { connect, type KubeClient } from '#operator/kube/client.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { PODS } from '#operator/kube/resources.ts';

const WITH = 'bench-chaperoned';
const WITHOUT = 'bench-plain';
const IDLE_MS = 60_000;

interface PodObject extends KubeObject {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

interface Usage {
  readonly pod: string;
  readonly namespace: string;
  readonly container: string;
  readonly memoryBytes: number;
  readonly cpuNs: number;
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { pods: { type: 'string', default: '7' }, installed: { type: 'boolean', default: false } } });
  const cluster = await testCluster();
  const kube = connect(cluster.kubeconfig);
  try {
    await purge(cluster, values.installed);
    if (!values.installed) await installChaperone(cluster);
    await makeNamespaces(cluster);
    const seconds = await starts(kube, cluster, Number(values.pods));
    const [first, firstAt] = [await usage(cluster), performance.now()];
    await sleep(IDLE_MS);
    const [last, lastAt] = [await usage(cluster), performance.now()];
    print(seconds, costs(first, last, (lastAt - firstAt) * 1e6));
  } finally {
    kube.close();
    await purge(cluster, values.installed);
  }
}

async function purge(cluster: TestCluster, stays: boolean): Promise<void> {
  await cluster.kubectl(['delete', 'namespace', WITH, WITHOUT, '--ignore-not-found'], { timeoutMs: 180_000 });
  if (!stays) await purgeChaperone(cluster);
}

/** A resource that the agents may reach, so that their sidecars have a policy and a listener. */
async function makeNamespaces({ kubectl }: TestCluster): Promise<void> {
  const of = (kind: string, name: string, spec: unknown) => ({
    apiVersion: 'chaperone.dev/v1alpha1',
    kind,
    metadata: { name, namespace: WITH },
    spec,
  });
  const items = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: WITHOUT } },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: WITH, labels: { 'chaperone.dev/injection': 'enabled' } } },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'db', namespace: WITH },
      stringData: { username: 'app', password: 'never used' },
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'chaperone-secret-reader', namespace: WITH },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'chaperone-secret-reader' },
      subjects: [{ kind: 'ServiceAccount', name: 'chaperone-operator', namespace: NAMESPACE }],
    },
    of('ProtectedResource', 'db', {
      protocol: 'PostgreSQL',
      address: { host: `db.${WITH}.svc`, port: 5432 },
      tls: { mode: 'Disable' },
      postgresql: { database: 'app', users: [{ name: 'app', secretRef: { name: 'db' } }] },
    }),
    of('AccessPolicy', 'agents', {
      targetRefs: [{ name: 'db' }],
      subjects: [{ serviceAccount: { namespace: WITH, name: 'default' } }],
      rules: [{ name: 'read', action: 'Allow', sql: { access: 'Read' } }],
    }),
  ];
  await kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
}

/** In turn with and without, so that what else the machine does is the same for both; the first of each is not counted. */
async function starts(kube: KubeClient, cluster: TestCluster, pods: number): Promise<Record<'with' | 'without', number[]>> {
  const seconds = { with: [] as number[], without: [] as number[] };
  for (let i = 0; i <= pods; i++) {
    for (const [kind, namespace] of [
      ['without', WITHOUT],
      ['with', WITH],
    ] as const) {
      const took = await start(kube, cluster, namespace, `pod-${i}`);
      if (i > 0) seconds[kind].push(took);
    }
  }
  return seconds;
}

async function start(kube: KubeClient, { images, imagePullPolicy }: TestCluster, namespace: string, name: string): Promise<number> {
  const securityContext = { allowPrivilegeEscalation: false, runAsNonRoot: true, runAsUser: 1000, capabilities: { drop: ['ALL'] } };
  const container = { name: 'agent', image: images.debian, imagePullPolicy, command: ['sleep', '3600'], securityContext };
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace },
    spec: { terminationGracePeriodSeconds: 0, containers: [container] },
  };
  const begun = performance.now();
  await kube.create(PODS, pod);
  for (;;) {
    const { status } = await kube.get<PodObject>(PODS, { namespace, name });
    if (status?.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True'))
      return (performance.now() - begun) / 1000;
    await sleep(20);
  }
}

/** As the kubelet accounts for it: the working set is what counts against a limit. */
async function usage({ kubectl }: TestCluster): Promise<readonly Usage[]> {
  const nodes = (await kubectl(['get', 'nodes', '-o', 'jsonpath={.items[*].metadata.name}'])).stdout.split(' ');
  const summaries = await Promise.all(nodes.map((node) => kubectl(['get', '--raw', `/api/v1/nodes/${node}/proxy/stats/summary`])));
  return summaries
    .flatMap(({ stdout }) => (JSON.parse(stdout) as Summary).pods)
    .flatMap(({ podRef, containers = [] }) =>
      containers.map(({ name, memory, cpu }) => ({
        pod: podRef.name,
        namespace: podRef.namespace,
        container: name,
        memoryBytes: memory?.workingSetBytes ?? Number.NaN,
        cpuNs: cpu?.usageCoreNanoSeconds ?? Number.NaN,
      })),
    );
}

interface Summary {
  readonly pods: readonly {
    readonly podRef: { readonly name: string; readonly namespace: string };
    readonly containers?: readonly {
      readonly name: string;
      readonly memory?: { readonly workingSetBytes?: number };
      readonly cpu?: { readonly usageCoreNanoSeconds?: number };
    }[];
  }[];
}

interface Cost {
  readonly what: string;
  readonly megabytes: readonly number[];
  readonly millicores: readonly number[];
}

function costs(first: readonly Usage[], last: readonly Usage[], elapsedNs: number): readonly Cost[] {
  const of = (what: string, isOne: (one: Usage) => boolean): Cost => {
    const ours = last.filter(isOne);
    const before = (one: Usage) => first.find(({ pod, container }) => pod === one.pod && container === one.container)?.cpuNs ?? Number.NaN;
    return {
      what,
      megabytes: ours.map(({ memoryBytes }) => memoryBytes / 1e6),
      millicores: ours.map((one) => ((one.cpuNs - before(one)) / elapsedNs) * 1000),
    };
  };
  return [
    of('operator, one replica', ({ namespace, container }) => namespace === NAMESPACE && container === 'operator'),
    of('sidecar', ({ namespace, container }) => namespace === WITH && container === CONTAINERS.sidecar),
  ];
}

function print(seconds: Record<'with' | 'without', number[]>, all: readonly Cost[]): void {
  const [plain, chaperoned] = [median(seconds.without), median(seconds.with)];
  const range = (values: readonly number[], digits: number) =>
    `${Math.min(...values).toFixed(digits)} to ${Math.max(...values).toFixed(digits)}`;
  const lines = [
    '| idle | MB of memory (working set) | thousandths of a core | of |',
    '| --- | --- | --- | --- |',
    ...all.map(({ what, megabytes, millicores }) => {
      const of = (values: readonly number[], digits: number) => `${median(values).toFixed(digits)} (${range(values, digits)})`;
      return `| ${what} | ${of(megabytes, 0)} | ${of(millicores, 1)} | ${megabytes.length} |`;
    }),
    '',
    '| from its creation until a pod is Ready | s | ratio | of |',
    '| --- | --- | --- | --- |',
    `| without a sidecar | ${plain.toFixed(2)} (${range(seconds.without, 2)}) | 1.00 | ${seconds.without.length} |`,
    `| with a sidecar | ${chaperoned.toFixed(2)} (${range(seconds.with, 2)}) | ${(chaperoned / plain).toFixed(2)} | ${seconds.with.length} |`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

await main();
