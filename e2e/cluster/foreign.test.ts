/** Our cluster as one that isn't ours: its kubeconfig alone, and images that its node pulls from a registry. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from '#e2e/repo/tree.ts';
import { addresses } from './addresses.ts';
import { current } from './cluster.ts';
import { foreignEnvironment, foreignKubeconfig } from './config.ts';
import { buildImages } from './images.ts';
import { ctr, registryFolder } from './node.ts';
import { push, startRegistry } from './registry.ts';

const skip = foreignKubeconfig() !== undefined && 'it is one already';

test('KUBECONFIG and --registry: the node pulls, the tests pass, and those that need more say what they need', { skip }, async () => {
  const cluster = await current();
  assert.ok(cluster, 'no cluster is up');
  const dir = await mkdtemp(join(tmpdir(), 'chaperone-registry-'));
  const registry = await startRegistry(dir, addresses().host.v4);
  const trust = registryFolder(cluster.dir, registry.address);
  try {
    await mkdir(trust, { recursive: true });
    const url = `http://${registry.address}`;
    await writeFile(join(trust, 'hosts.toml'), `server = "${url}"\n[host."${url}"]\n`);
    const prefix = `${registry.address}/chaperone`;
    for (const image of await buildImages()) await push(prefix, image);
    const files = ['e2e/kubernetes/cluster.test.ts', 'e2e/kubernetes/agent.test.ts', 'e2e/kubernetes/failure.test.ts'];
    const { code, said } = await e2e(cluster.kubeconfig, ['--registry', prefix, ...files]);
    assert.equal(code, 0, said);
    assert.match(said, /a Job that has a native sidecar ends/);
    assert.match(said, /an agent in a cluster .*# needs an S3 server that the pods reach/);
    assert.match(said, /parts that fail under load .*# needs a cluster whose parts can be killed/);
    const images = await ctr(cluster.dir, ['images', 'list', '--quiet']);
    for (const name of ['sidecar', 'debian']) assert.ok(images.includes(`${prefix}/${name}:e2e\n`), images);
  } finally {
    const pulled = (await ctr(cluster.dir, ['images', 'list', '--quiet'])).split('\n').filter((name) => name.startsWith(registry.address));
    if (pulled.length > 0) await ctr(cluster.dir, ['images', 'rm', ...pulled]);
    await registry.stop();
    await rm(trust, { recursive: true, force: true });
    await rm(dir, { recursive: true, force: true });
  }
});

function e2e(kubeconfig: string, args: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
  const env = foreignEnvironment(kubeconfig);
  return new Promise((resolve) => {
    execFile(process.execPath, ['e2e/main.ts', ...args], { cwd: ROOT, env, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), said: stdout + stderr });
    });
  });
}
