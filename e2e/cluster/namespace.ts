/**
 * The node lives in namespaces of its own (mounts, processes, network), held by one small process: its mounts, its pods,
 * nftables tables, routes and sysctls can't touch the machine's, and when that one process ends, the kernel removes them all.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { addresses, hasIpv6 } from './addresses.ts';
import { binary } from './binaries.ts';
import { clusterNumber } from './config.ts';
import { processIdOf, start } from './processes.ts';
import { waitFor } from './ready.ts';

const run = promisify(execFile);
/** Name of the process with which everything on the node ends. */
export const HOLDER = 'node-holder';

/** What the node changes of the whole kernel, not of its namespaces. */
export const SYSCTLS = [
  'vm/overcommit_memory',
  'vm/panic_on_oom',
  'kernel/panic',
  'kernel/panic_on_oops',
  'kernel/keys/root_maxkeys',
  'kernel/keys/root_maxbytes',
];

/** Makes the namespaces and the link to them. From here on the host has the address that the API server listens on. */
export async function startNamespaces(dir: string): Promise<void> {
  const args = ['--mount', '--net', '--pid', '--fork', '--kill-child=KILL', '--mount-proc', await binary('pause')];
  await start({ name: HOLDER, command: 'unshare', args, dir, until: 'stop', leaf: true });
  const holder = processIdOf(dir, HOLDER);
  // Until then its /proc is still the machine's.
  await waitFor('the namespaces', async () => readFileSync(`/proc/${holder}/comm`, 'utf8').startsWith('pause') || undefined, 5000, 5);
  // Kubelet, containerd and the CNI plugins have folders there that can't be set otherwise.
  for (const folder of ['/run', '/var/lib', '/var/log']) await inNode(dir, ['mount', '-t', 'tmpfs', 'tmpfs', folder]);
  await inNode(dir, ['mount', '--make-rshared', '/']);
  const { host, node, pods, services } = addresses();
  const link = `chaperone-e2e-${clusterNumber()}`;
  await run('ip', ['link', 'add', link, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(holder)]);
  await run('ip', ['address', 'add', `${host.v4}/30`, 'dev', link]);
  await run('ip', ['link', 'set', link, 'up']);
  await inNode(dir, ['ip', 'address', 'add', `${node.v4}/30`, 'dev', 'eth0']);
  for (const name of ['lo', 'eth0']) await inNode(dir, ['ip', 'link', 'set', name, 'up']);
  await inNode(dir, ['ip', 'route', 'add', 'default', 'via', host.v4]);
  for (const range of [pods.v4, services.v4]) await run('ip', ['route', 'add', range, 'via', node.v4]);
  if (!hasIpv6()) return;
  await run('ip', ['address', 'add', `${host.v6}/64`, 'dev', link, 'nodad']);
  await inNode(dir, ['ip', 'address', 'add', `${node.v6}/64`, 'dev', 'eth0', 'nodad']);
  await inNode(dir, ['ip', '-6', 'route', 'add', 'default', 'via', host.v6]);
  for (const range of [pods.v6, services.v6]) await run('ip', ['-6', 'route', 'add', range, 'via', node.v6]);
}

/** Runs a program on the node and waits for it. */
export async function inNode(dir: string, command: readonly string[], input = ''): Promise<string> {
  const running = run('nsenter', [...enter(dir), ...command], { maxBuffer: 1 << 26 });
  // A program that has ended before it was written to does not read: what counts is its exit code.
  running.child.stdin?.on('error', () => undefined);
  running.child.stdin?.end(input);
  return (await running).stdout;
}

/** Starts a program on the node that goes on in the background. */
export async function startInNode(dir: string, name: string, command: string, args: readonly string[]): Promise<void> {
  await start({ name, command: 'nsenter', args: [...enter(dir), command, ...args], dir, until: 'stop', leaf: true });
}

function enter(dir: string): string[] {
  const holder = processIdOf(dir, HOLDER);
  if (holder === null) throw new Error('the node is not up: npm run e2e:cluster -- up');
  return ['--target', String(holder), '--mount', '--net', '--pid', '--'];
}
