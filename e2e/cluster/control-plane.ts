/**
 * A real API server with its etcd, alone: no node, nothing runs. Ready in about five seconds. Several may run side by
 * side, each with a folder, ports and keys of its own.
 */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { addresses, ranges } from './addresses.ts';
import { binary } from './binaries.ts';
import { authority, issue, type Pair, tokenKey } from './certificates.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import { isRunning, lastWords, type Program, start, startTimeOf, stop } from './processes.ts';
import { freePort, probe, waitFor } from './ready.ts';

export interface ControlPlaneOptions {
  /** Kept after stop(), and what is in it is used again; without one, a temporary folder that goes. */
  readonly dir?: string;
  /** Where the API server listens; 127.0.0.1 where nothing is said. */
  readonly host?: string;
  /** A free one where nothing is said. */
  readonly port?: number;
  /** With kube-controller-manager: namespaces end, owners' objects are collected, each namespace gets its default ServiceAccount. */
  readonly controllers?: boolean;
  /** Flags of the API server that come after ours. */
  readonly apiServerArgs?: readonly string[];
  /** `us` where nothing is said: it all dies with this process. */
  readonly until?: Program['until'];
}

export interface ControlPlane {
  /** File of a cluster admin. */
  readonly kubeconfig: string;
  readonly url: string;
  readonly dir: string;
  readonly caFile: string;
  /** File of an ordinary user with no rights but what RBAC gives it. */
  kubeconfigOf(user: string, groups?: readonly string[]): Promise<string>;
  /** Stops the API server alone: etcd and what it holds stay. */
  stopApiServer(): Promise<void>;
  startApiServer(): Promise<void>;
  /** Stops everything. Safe to call twice. */
  stop(): Promise<void>;
}

const ISSUER = 'https://kubernetes.default.svc.cluster.local';
const TEMPORARY = 'chaperone-control-plane-';

export async function startControlPlane(options: ControlPlaneOptions = {}): Promise<ControlPlane> {
  const dir = options.dir ?? (await temporaryFolder());
  const host = options.host ?? '127.0.0.1';
  const until = options.until ?? 'us';
  const pki = join(dir, 'pki');
  const programs = { etcd: await binary('etcd'), apiServer: await binary('kube-apiserver') };
  const [ca, admin] = [await authority(pki), await issue(pki, 'admin', { commonName: 'admin', organizations: ['system:masters'] })];
  const port = options.port ?? (await freePort(host));
  const url = `https://${host}:${port}`;
  const ask = await probe(ca.certificate, admin);

  const etcd = await startEtcd(programs.etcd, dir, pki, until, ca);
  const args = [...(await apiServerArgs(pki, host, port, etcd)), ...(options.apiServerArgs ?? [])];
  const startApiServer = async () => {
    if (isRunning(dir, 'kube-apiserver')) return;
    await start({ name: 'kube-apiserver', command: programs.apiServer, args, dir, until });
    await ready(dir, 'kube-apiserver', () => ask(`${url}/readyz`));
  };
  const end = async () => {
    for (const name of ['kube-controller-manager', 'kube-apiserver', 'etcd']) await stop(dir, name);
    if (options.dir === undefined) await rm(dir, { recursive: true, force: true });
  };
  try {
    await startApiServer();
    const kubeconfig = await writeKubeconfig(join(dir, 'kubeconfig'), { url, caFile: ca.certificate, client: admin });
    if (options.controllers) await startControllers(dir, pki, url, until, []);
    return {
      kubeconfig,
      url,
      dir,
      caFile: ca.certificate,
      kubeconfigOf: (user, groups = []) => userKubeconfig(dir, url, user, groups),
      stopApiServer: () => stop(dir, 'kube-apiserver'),
      startApiServer,
      stop: end,
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** A kubeconfig for a user whose certificate is made now. */
export async function userKubeconfig(dir: string, url: string, user: string, groups: readonly string[]): Promise<string> {
  const file = `user-${encodeURIComponent([user, ...groups].join(','))}`;
  const client = await issue(join(dir, 'pki'), file, { commonName: user, organizations: groups });
  const caFile = (await authority(join(dir, 'pki'))).certificate;
  return writeKubeconfig(join(dir, `${file}.kubeconfig`), { url, caFile, client });
}

export async function startControllers(
  dir: string,
  pki: string,
  url: string,
  until: Program['until'],
  more: readonly string[],
): Promise<void> {
  const kubeconfig = await userKubeconfig(dir, url, 'system:kube-controller-manager', []);
  const serving = await issue(pki, 'controllers', { commonName: 'kube-controller-manager', names: ['127.0.0.1'] });
  const ca = await authority(pki);
  const port = await freePort('127.0.0.1');
  const args = [
    `--kubeconfig=${kubeconfig}`,
    `--authentication-kubeconfig=${kubeconfig}`,
    `--authorization-kubeconfig=${kubeconfig}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--tls-cert-file=${serving.certificate}`,
    `--tls-private-key-file=${serving.key}`,
    `--service-account-private-key-file=${await tokenKey(pki)}`,
    `--root-ca-file=${ca.certificate}`,
    `--cluster-signing-cert-file=${ca.certificate}`,
    `--cluster-signing-key-file=${ca.key}`,
    '--use-service-account-credentials',
    '--leader-elect=false',
    '--authentication-skip-lookup',
    ...more,
  ];
  await start({ name: 'kube-controller-manager', command: await binary('kube-controller-manager'), args, dir, until });
}

/** Waits, but no longer than the program lives. */
export async function ready(dir: string, name: string, ask: () => Promise<true | undefined>): Promise<void> {
  let died = false;
  await waitFor(name, async () => {
    died = !isRunning(dir, name);
    return died || (await ask());
  });
  if (died) throw new Error(`${name} ended:\n${lastWords(dir, name)}`);
}

interface Etcd {
  readonly url: string;
  readonly ca: string;
  readonly client: Pair;
}

async function startEtcd(command: string, dir: string, pki: string, until: Program['until'], ca: Pair): Promise<Etcd> {
  // Whoever can write to etcd is root on the node, so even on loopback it asks for a certificate.
  const pair = await issue(pki, 'etcd', { commonName: 'etcd', names: ['127.0.0.1'] });
  const [url, peer] = [`https://127.0.0.1:${await freePort('127.0.0.1')}`, `http://127.0.0.1:${await freePort('127.0.0.1')}`];
  const args = [
    '--name=e2e',
    `--data-dir=${join(dir, 'etcd')}`,
    `--listen-client-urls=${url}`,
    `--advertise-client-urls=${url}`,
    `--listen-peer-urls=${peer}`,
    `--initial-advertise-peer-urls=${peer}`,
    `--initial-cluster=e2e=${peer}`,
    `--cert-file=${pair.certificate}`,
    `--key-file=${pair.key}`,
    '--client-cert-auth',
    `--trusted-ca-file=${ca.certificate}`,
    '--unsafe-no-fsync',
    '--log-level=warn',
    ...(existsSync(join(dir, 'etcd')) ? ['--force-new-cluster'] : []),
  ];
  await start({ name: 'etcd', command, args, dir, until });
  const ask = await probe(ca.certificate, pair);
  await ready(dir, 'etcd', () => ask(`${url}/health`));
  return { url, ca: ca.certificate, client: pair };
}

async function apiServerArgs(pki: string, host: string, port: number, etcd: Etcd): Promise<string[]> {
  const ca = await authority(pki);
  const names = [host, '127.0.0.1', addresses().api, 'localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'];
  const serving = await issue(pki, 'kube-apiserver', { commonName: 'kube-apiserver', names: [...new Set(names)] });
  const kubelet = await issue(pki, 'kubelet-client', { commonName: 'kube-apiserver-kubelet-client', organizations: ['system:masters'] });
  const key = await tokenKey(pki);
  return [
    `--etcd-servers=${etcd.url}`,
    `--etcd-cafile=${etcd.ca}`,
    `--etcd-certfile=${etcd.client.certificate}`,
    `--etcd-keyfile=${etcd.client.key}`,
    `--bind-address=${host}`,
    `--secure-port=${port}`,
    `--tls-cert-file=${serving.certificate}`,
    `--tls-private-key-file=${serving.key}`,
    `--client-ca-file=${ca.certificate}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    `--service-cluster-ip-range=${host === '127.0.0.1' ? addresses().services.v4 : ranges(addresses().services)}`,
    `--service-account-issuer=${ISSUER}`,
    `--service-account-key-file=${key}`,
    `--service-account-signing-key-file=${key}`,
    `--kubelet-client-certificate=${kubelet.certificate}`,
    `--kubelet-client-key=${kubelet.key}`,
    `--kubelet-certificate-authority=${ca.certificate}`,
    '--profiling=false',
    // The node's name is in nobody's DNS.
    '--kubelet-preferred-address-types=InternalIP',
    // Loopback can't be an endpoint of the `kubernetes` Service: alone there is nobody who would ask it.
    ...(host === '127.0.0.1' ? ['--endpoint-reconciler-type=none', '--advertise-address=192.0.2.1'] : [`--advertise-address=${host}`]),
  ];
}

/** Named by the process that owns it, so that the next one can remove what a killed one left. */
async function temporaryFolder(): Promise<string> {
  for (const name of await readdir(tmpdir())) {
    const owner = name.startsWith(TEMPORARY) ? Number(name.slice(TEMPORARY.length).split('-')[0]) : 0;
    if (owner > 0 && startTimeOf(owner) === null) await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
  const dir = await mkdtemp(join(tmpdir(), `${TEMPORARY}${process.pid}-`));
  await mkdir(join(dir, 'pki'), { mode: 0o700 });
  return dir;
}
