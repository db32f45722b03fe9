/**
 * What the attacks of docs/threat-model.md are tried on: Chaperone as Helm installs it, a PostgreSQL that it protects, a server that nobody
 * names (`outside`), and the same agent three times: injected in each mode, and free, where every attack has to work or its test proves nothing.
 */
import { randomBytes } from 'node:crypto';
import { addresses } from '#e2e/cluster/addresses.ts';
import type { Ran } from '#e2e/cluster/kubectl.ts';
import { waitFor } from '#e2e/cluster/ready.ts';
import { apply, type TestCluster, testCluster } from '#e2e/cluster/test-cluster.ts';
import { installChaperone } from '../install.ts';
import { outsidePod, policies, targetObjects } from './target.ts';
import { TRY, type Try } from './tries.ts';

export const AGENTS = ['explicit', 'transparent', 'free'] as const;
export type Agent = (typeof AGENTS)[number];
export const MODES = ['explicit', 'transparent'] as const satisfies readonly Agent[];

export const PASSWORD = `s3cret-${randomBytes(12).toString('hex')}`;
/** What the masks hide. */
export const SSN = '078-05-1120';
export const OUTSIDE_PORT = 7007;

export interface Stage {
  readonly cluster: TestCluster;
  readonly kubectl: TestCluster['kubectl'];
  /** Of the target. */
  readonly shop: string;
  /** Of the agents: each its own. */
  readonly namespaces: Readonly<Record<Agent, string>>;
  readonly addresses: { readonly database: readonly string[]; readonly outside: readonly string[] };
  /** As the agents know it. */
  readonly host: string;
  /** In the agent's container; never rejects. `out` is both streams. */
  run(agent: Agent, command: readonly string[], options?: RunIn): Promise<Said>;
  /** What became of each. */
  tries(agent: Agent, tries: readonly Try[], word?: string): Promise<string[]>;
  psql(agent: Agent, host: string, sql: string, password?: string): Promise<Said>;
  close(): Promise<void>;
}

export interface Said {
  readonly code: number;
  readonly out: string;
}

interface RunIn {
  readonly pod?: string;
  readonly container?: string;
  readonly timeoutMs?: number;
}

export async function openStage(): Promise<Stage> {
  const cluster = await testCluster();
  const { kubectl } = cluster;
  await installChaperone(cluster, { operator: { extraArgs: [`--cluster-dns=${await resolver(cluster)}`] } });
  const id = randomBytes(3).toString('hex');
  const shop = `attacks-${id}-shop`;
  const namespaces = Object.fromEntries(AGENTS.map((agent) => [agent, `attacks-${id}-${agent}`])) as Record<Agent, string>;
  const close = async () => {
    await kubectl(['delete', 'namespace', shop, ...Object.values(namespaces), '--wait=false', '--ignore-not-found']);
  };
  try {
    await apply(cluster, 'default', [namespaceOf(shop), ...AGENTS.map((agent) => namespaceOf(namespaces[agent], agent))]);
    await apply(cluster, shop, [...targetObjects(cluster, PASSWORD, SSN), outsidePod(cluster, OUTSIDE_PORT, 53, 443)]);
    const reader = ['--clusterrole=chaperone-secret-reader', '--serviceaccount=chaperone-system:chaperone-operator'];
    await kubectl(['-n', shop, 'create', 'rolebinding', 'chaperone-secret-reader', ...reader]);
    await apply(
      cluster,
      shop,
      policies(
        shop,
        MODES.map((mode) => namespaces[mode]),
      ),
    );
    await kubectl(['-n', shop, 'wait', '--for=condition=Ready', 'pod/db', 'pod/outside', '--timeout=180s'], { timeoutMs: 200_000 });
    await kubectl(['-n', shop, 'wait', '--for=condition=Accepted', 'protectedresource/db', 'accesspolicy/agents', '--timeout=60s']);
    for (const agent of AGENTS) await startAgent(cluster, namespaces[agent], agentPod(cluster));
    return stageOf(cluster, shop, namespaces, close);
  } catch (error: unknown) {
    await close();
    throw error;
  }
}

async function stageOf(cluster: TestCluster, shop: string, namespaces: Stage['namespaces'], close: Stage['close']): Promise<Stage> {
  const { kubectl } = cluster;
  const run: Stage['run'] = async (agent, command, { pod = 'agent', container = 'agent', timeoutMs = 60_000 } = {}) =>
    said(kubectl(['-n', namespaces[agent], 'exec', pod, '-c', container, '--', ...command], { timeoutMs }));
  const ipsOf = async (pod: string) => {
    const { stdout } = await kubectl(['-n', shop, 'get', 'pod', pod, '-o', 'jsonpath={.status.podIPs[*].ip}']);
    return stdout.split(' ');
  };
  return {
    cluster,
    kubectl,
    shop,
    namespaces,
    addresses: { database: await ipsOf('db'), outside: await ipsOf('outside') },
    host: `db.${shop}.svc`,
    run,
    tries: async (agent, list, word = 'attack') => {
      const { code, out } = await run(agent, ['python3', '-c', TRY, JSON.stringify(list), word]);
      if (code !== 0) throw new Error(out);
      return out.trimEnd().split('\n');
    },
    psql: (agent, host, sql, password) => run(agent, psqlCommand(host, sql, password)),
    close,
  };
}

export function psqlCommand(host: string, sql: string, password?: string): string[] {
  const env = ['PGCONNECT_TIMEOUT=5', ...(password === undefined ? [] : [`PGPASSWORD=${password}`])];
  return ['env', ...env, 'psql', '-w', '-h', host, '-U', 'app', '-d', 'shop', '-At', '-c', sql];
}

/** Both streams, and no rejection: an attack that fails is no failure. */
export async function said(running: Promise<Ran>): Promise<Said> {
  return running.then(
    ({ stdout, stderr }) => ({ code: 0, out: stdout + stderr }),
    (error: unknown) => ({ code: 1, out: error instanceof Error ? error.message : String(error) }),
  );
}

export function agentPod({ images, imagePullPolicy }: TestCluster, name = 'agent', more: Record<string, unknown> = {}) {
  const container = {
    name: 'agent',
    image: images.debian,
    imagePullPolicy,
    command: ['sleep', '36000'],
    securityContext: { runAsUser: 1000, runAsGroup: 1000 },
  };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      serviceAccountName: 'agent',
      terminationGracePeriodSeconds: 1,
      // Ping sockets for everybody: without them a refused ping would say nothing.
      securityContext: { sysctls: [{ name: 'net.ipv4.ping_group_range', value: '0 2147483647' }] },
      containers: [container],
      ...more,
    },
  };
}

async function startAgent(cluster: TestCluster, namespace: string, pod: ReturnType<typeof agentPod>): Promise<void> {
  await apply(cluster, namespace, [{ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'agent' } }]);
  // The operator may not know a policy of a moment ago yet, and says so: as a Deployment would, try again.
  await waitFor('the agent', () => apply(cluster, namespace, [pod]).then(() => true), 60_000, 500);
  await cluster.kubectl(['-n', namespace, 'wait', '--for=condition=Ready', `pod/${pod.metadata.name}`, '--timeout=120s'], {
    timeoutMs: 130_000,
  });
}

function namespaceOf(name: string, agent?: Agent) {
  const injected = { 'chaperone.dev/injection': 'required', 'chaperone.dev/mode': agent === 'transparent' ? 'Transparent' : 'Explicit' };
  const labels = agent === undefined || agent === 'free' ? {} : injected;
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

async function resolver({ kubectl, own }: TestCluster): Promise<string> {
  if (own !== null) return addresses().dns;
  return (await kubectl(['-n', 'kube-system', 'get', 'service', 'kube-dns', '-o', 'jsonpath={.spec.clusterIP}'])).stdout;
}
