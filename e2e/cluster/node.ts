import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { addresses, hasIpv6, ranges } from './addresses.ts';
import { binary } from './binaries.ts';
import { authority, issue } from './certificates.ts';
import { groupOf, makeGroups } from './cgroups.ts';
import { clusterNumber } from './config.ts';
import { ready, userKubeconfig } from './control-plane.ts';
import { PAUSE_IMAGE } from './images.ts';
import { inNode, startInNode } from './namespace.ts';
import { probe } from './ready.ts';

export const NODE_NAME = 'e2e-node';
const KUBELET_PORT = 10250;

/** Starts containerd on the node. Killed and started again, it finds the pods that lived on. */
export async function startContainerd(dir: string): Promise<void> {
  await mkdir(join(dir, 'cni'), { recursive: true });
  await writeFile(join(dir, 'cni/10-e2e.conflist'), JSON.stringify(network(dir), null, 2));
  await writeFile(join(dir, 'containerd.toml'), containerdConfig(dir));
  await startInNode(dir, 'containerd', 'containerd', ['--config', join(dir, 'containerd.toml')]);
  await ready(dir, 'containerd', async () => (await ctr(dir, ['version'])) !== '' || undefined);
}

/** `ctr` in the namespace of Kubernetes' images. */
export function ctr(dir: string, args: readonly string[], input = ''): Promise<string> {
  return inNode(dir, ['ctr', '--address', socket(dir), '--namespace', 'k8s.io', ...args], input);
}

/** Where containerd looks, at each pull, how this registry is reached (`hosts.toml`). */
export function registryFolder(dir: string, registry: string): string {
  return join(dir, 'registries', registry);
}

export async function startKubelet(dir: string, url: string): Promise<void> {
  const pki = join(dir, 'pki');
  const ca = await authority(pki);
  const user = `system:node:${NODE_NAME}`;
  const kubeconfig = await userKubeconfig(dir, url, user, ['system:nodes']);
  const serving = await issue(pki, 'kubelet', {
    commonName: user,
    organizations: ['system:nodes'],
    names: [addresses().node.v4, NODE_NAME],
  });
  await writeFile(join(dir, 'resolv.conf'), `nameserver ${addresses().host.v4}\n`);
  const config = join(dir, 'kubelet.json');
  await writeFile(config, JSON.stringify(kubeletConfig(dir, ca.certificate, serving), null, 2));
  await makeGroups(groupOf(clusterNumber()));
  await startInNode(dir, 'kubelet', await binary('kubelet'), [
    `--config=${config}`,
    `--kubeconfig=${kubeconfig}`,
    `--root-dir=${join(dir, 'kubelet')}`,
    `--hostname-override=${NODE_NAME}`,
    `--node-ip=${ranges(addresses().node)}`,
  ]);
  const admin = { certificate: join(pki, 'admin.crt'), key: join(pki, 'admin.key') };
  const ask = await probe(ca.certificate, admin);
  await ready(dir, 'kubelet', () => ask(`https://${addresses().node.v4}:${KUBELET_PORT}/healthz`));
}

export async function startKubeProxy(dir: string, url: string): Promise<void> {
  const kubeconfig = await userKubeconfig(dir, url, 'system:kube-proxy', []);
  const config = join(dir, 'kube-proxy.json');
  await writeFile(config, JSON.stringify(kubeProxyConfig(kubeconfig), null, 2));
  await startInNode(dir, 'kube-proxy', await binary('kube-proxy'), [`--config=${config}`]);
}

function socket(dir: string): string {
  return join(dir, 'containerd.sock');
}

function containerdConfig(dir: string): string {
  const noAppArmor = !existsSync('/sys/module/apparmor');
  return `version = 2
root = "${join(dir, 'containerd')}"
state = "/run/containerd-state"
# It would make a folder in /opt.
disabled_plugins = ["io.containerd.internal.v1.opt"]
[grpc]
  address = "${socket(dir)}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${PAUSE_IMAGE}"
  # Lowering a score needs CAP_SYS_RESOURCE, which not every host of ours has.
  restrict_oom_score_adj = true
  disable_apparmor = ${noAppArmor}
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "${join(dir, 'registries')}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${join(dir, 'cni')}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`;
}

/** A route for each pod and no bridge: then a Service's answer comes back through the node without br_netfilter. */
function network(dir: string): unknown {
  const subnets = [[{ subnet: addresses().pods.v4 }], ...(hasIpv6() ? [[{ subnet: addresses().pods.v6 }]] : [])];
  const routes = [{ dst: '0.0.0.0/0' }, ...(hasIpv6() ? [{ dst: '::/0' }] : [])];
  const ipam = { type: 'host-local', dataDir: join(dir, 'cni/addresses'), ranges: subnets, routes };
  return { cniVersion: '1.0.0', name: 'e2e', plugins: [{ type: 'ptp', ipMasq: false, ipam }] };
}

function kubeletConfig(dir: string, clientCa: string, serving: { certificate: string; key: string }): unknown {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: '0.0.0.0',
    port: KUBELET_PORT,
    readOnlyPort: 0,
    healthzPort: 0,
    tlsCertFile: serving.certificate,
    tlsPrivateKeyFile: serving.key,
    authentication: { anonymous: { enabled: false }, webhook: { enabled: true }, x509: { clientCAFile: clientCa } },
    authorization: { mode: 'Webhook' },
    containerRuntimeEndpoint: `unix://${socket(dir)}`,
    cgroupDriver: 'cgroupfs',
    cgroupRoot: groupOf(clusterNumber()),
    failCgroupV1: false,
    failSwapOn: false,
    clusterDNS: [addresses().dns],
    clusterDomain: 'cluster.local',
    resolvConf: join(dir, 'resolv.conf'),
    podLogsDir: join(dir, 'pod-logs'),
    oomScoreAdj: 0,
    enforceNodeAllocatable: [],
    // The machine is shared: its full disk is not the test's business, and images that nobody uses now are used next.
    evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '1%', 'nodefs.inodesFree': '1%', 'imagefs.available': '1%' },
    imageGCHighThresholdPercent: 100,
    shutdownGracePeriod: '0s',
    maxPods: 200,
  };
}

function kubeProxyConfig(kubeconfig: string): unknown {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'nftables',
    hostnameOverride: NODE_NAME,
    clientConnection: { kubeconfig },
    clusterCIDR: ranges(addresses().pods),
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
    oomScoreAdj: 0,
    // Left as they are: they are the machine's.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  };
}
