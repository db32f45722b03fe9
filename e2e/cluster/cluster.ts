/** One node with all that a cluster has. Everything that it needs to be stopped is in its folder, so that any later process can stop it. */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { addresses } from './addresses.ts';
import { binary } from './binaries.ts';
import { groupOf, removeGroups } from './cgroups.ts';
import { clusterNumber, stateFolder } from './config.ts';
import { startControllers, startControlPlane, userKubeconfig } from './control-plane.ts';
import { dnsManifests } from './dns.ts';
import { buildNodeImages } from './images.ts';
import { kubectlOf } from './kubectl.ts';
import { HOLDER, SYSCTLS, startNamespaces } from './namespace.ts';
import { ctr, NODE_NAME, startContainerd, startKubelet, startKubeProxy } from './node.ts';
import { isRunning, start, stop } from './processes.ts';
import { freePort, waitFor } from './ready.ts';
import { type S3, startS3 } from './s3.ts';
import { type BinaryName, RECIPES } from './versions.ts';

export interface Cluster {
  readonly kubeconfig: string;
  readonly url: string;
  readonly dir: string;
  readonly s3: S3;
}

const PORT = 6443;
/** In the order in which they are stopped; with the holder everything goes that runs on the node. */
const PARTS = ['s3', 'kubelet', 'kube-proxy', 'kube-scheduler', 'kube-controller-manager', 'kube-apiserver', 'etcd', HOLDER];
const NEEDED = {
  containerd: 'containerd',
  runc: 'runc',
  ip: 'iproute2',
  nft: 'nftables',
  debootstrap: 'debootstrap',
  openssl: 'openssl',
  nsenter: 'util-linux',
};

/** Starts it and waits until a pod could run; the cluster that there is where it is up already. */
export async function up(): Promise<Cluster> {
  await checkMachine();
  const there = await current();
  if (there) return there;
  await down();
  for (const name of Object.keys(RECIPES) as BinaryName[]) await binary(name);
  const images = await buildNodeImages();
  const dir = stateFolder();
  await mkdir(dir, { recursive: true, mode: 0o700 });
  try {
    await saveSysctls(dir);
    await startNamespaces(dir);
    const [plane] = await Promise.all([
      startControlPlane({ dir, host: addresses().host.v4, port: PORT, until: 'stop' }),
      startContainerd(dir).then(() =>
        importInto(
          dir,
          images.map(({ tar }) => tar),
        ),
      ),
    ]);
    const s3 = startS3({ dir, host: addresses().host.v4, until: 'stop' });
    await Promise.all([
      startControllers(dir, join(dir, 'pki'), plane.url, 'stop', []),
      startScheduler(dir, plane.url),
      startKubelet(dir, plane.url),
      startKubeProxy(dir, plane.url),
    ]);
    await becomesReady(plane.kubeconfig);
    const { endpoint, region, accessKeyId, secretAccessKey } = await s3;
    const cluster: Cluster = { kubeconfig: plane.kubeconfig, url: plane.url, dir, s3: { endpoint, region, accessKeyId, secretAccessKey } };
    await writeFile(join(dir, 'cluster.json'), JSON.stringify(cluster, null, 2), { mode: 0o600 });
    return cluster;
  } catch (error) {
    // The logs are wanted now: `down` or the next `up` removes them.
    process.stderr.write(`e2e/cluster: did not come up; logs are in ${join(dir, 'logs')}\n`);
    throw error;
  }
}

/** Stops what runs and removes what there is, whatever state it is in. */
export async function down(): Promise<void> {
  const dir = stateFolder();
  if (!existsSync(dir)) return;
  for (const name of PARTS) await stop(dir, name, name === HOLDER ? 0 : 10_000);
  await removeGroups(groupOf(clusterNumber()));
  await restoreSysctls(dir);
  await rm(dir, { recursive: true, force: true, maxRetries: 5 });
}

/** The cluster that is up, or undefined. One of which a part has died is not up. */
export async function current(): Promise<Cluster | undefined> {
  const dir = stateFolder();
  const text = await readFile(join(dir, 'cluster.json'), 'utf8').catch(() => undefined);
  if (text === undefined || (await status()).some(({ running }) => !running)) return undefined;
  return JSON.parse(text) as Cluster;
}

export async function status(): Promise<{ readonly name: string; readonly running: boolean }[]> {
  const dir = stateFolder();
  return [...PARTS, 'containerd'].map((name) => ({ name, running: isRunning(dir, name) }));
}

/** Makes images known to the node. Those that it has already cost next to nothing. */
export async function importInto(dir: string, tars: readonly string[]): Promise<void> {
  for (const tar of tars) await ctr(dir, ['images', 'import', tar]);
}

async function startScheduler(dir: string, url: string): Promise<void> {
  const kubeconfig = await userKubeconfig(dir, url, 'system:kube-scheduler', []);
  const port = await freePort('127.0.0.1');
  const args = [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    '--leader-elect=false',
    '--authentication-skip-lookup',
    `--cert-dir=${join(dir, 'scheduler')}`,
  ];
  await start({ name: 'kube-scheduler', command: await binary('kube-scheduler'), args, dir, until: 'stop' });
}

async function becomesReady(kubeconfig: string): Promise<void> {
  const kubectl = kubectlOf(kubeconfig);
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: dnsManifests() });
  await waitFor('the namespace kube-system', async () => (await kubectl(['get', 'namespace', 'kube-system'])) && true);
  await kubectl(['apply', '--server-side', '-f', '-'], { input });
  await waitFor('the node', async () => (await kubectl(['get', 'node', NODE_NAME])) && true);
  await kubectl(['wait', '--for=condition=Ready', `node/${NODE_NAME}`, '--timeout=90s']);
  await kubectl(['-n', 'kube-system', 'rollout', 'status', 'deployment/coredns', '--timeout=90s']);
  await waitFor('the default ServiceAccount', async () => (await kubectl(['-n', 'default', 'get', 'serviceaccount', 'default'])) && true);
}

async function checkMachine(): Promise<void> {
  if (process.platform !== 'linux') throw new Error('the cluster runs on Linux; elsewhere set KUBECONFIG to a cluster of yours');
  if (process.getuid?.() !== 0) throw new Error('the cluster needs root (sudo npm run e2e), or set KUBECONFIG to a cluster of yours');
  const places = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
  const missing = Object.entries(NEEDED).filter(([program]) => !places.some((folder) => existsSync(join(folder, program))));
  const packages = missing.map(([, name]) => name);
  if (!existsSync('/usr/lib/cni/ptp')) packages.push('containernetworking-plugins');
  if (packages.length > 0) throw new Error(`missing: apt-get install --no-install-recommends ${packages.join(' ')}`);
}

/** As they were before the first of the clusters that are up. */
async function saveSysctls(dir: string): Promise<void> {
  const saved = await othersSysctls();
  const values = () =>
    Promise.all(SYSCTLS.map(async (name) => [name, await readFile(`/proc/sys/${name}`, 'utf8').catch(() => null)] as const));
  await writeFile(join(dir, 'sysctls.json'), saved ?? JSON.stringify(Object.fromEntries(await values())));
}

async function restoreSysctls(dir: string): Promise<void> {
  if ((await othersSysctls()) !== undefined) return;
  const text = await readFile(join(dir, 'sysctls.json'), 'utf8').catch(() => '{}');
  for (const [name, value] of Object.entries(JSON.parse(text) as Record<string, string | null>)) {
    if (value !== null && (await readFile(`/proc/sys/${name}`, 'utf8')) !== value) await writeFile(`/proc/sys/${name}`, value);
  }
}

/** What another cluster of the machine, which is up, has saved. */
async function othersSysctls(): Promise<string | undefined> {
  for (let n = 0; n < 10; n++) {
    const dir = stateFolder(n);
    if (n === clusterNumber() || !isRunning(dir, HOLDER)) continue;
    const text = await readFile(join(dir, 'sysctls.json'), 'utf8').catch(() => undefined);
    if (text !== undefined) return text;
  }
  return undefined;
}
