import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { ControlPlane } from '#e2e/cluster/control-plane.ts';
import { connect, type KubeClient } from '#operator/kube/client.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import { CRDS } from './resources.ts';
import { startTcpProxy, type TcpProxy } from './tcp-proxy.ts';

/** What a test's part of the operator warns of. */
export function collectLog() {
  const lines: string[] = [];
  const line = (fields: object, message: string) => void lines.push(`${JSON.stringify(fields)} ${message}`);
  return { lines, debug: line, info: line, warn: line, error: line };
}

export async function until<T>(what: string, look: () => T | undefined | false | Promise<T | undefined | false>, ms = 20_000): Promise<T> {
  for (const end = Date.now() + ms; ; await new Promise((done) => setTimeout(done, 20))) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
  }
}

/** A client whose line to the API server a test can break. */
export async function clientThroughProxy(plane: ControlPlane): Promise<{ readonly kube: KubeClient; readonly proxy: TcpProxy }> {
  const proxy = await startTcpProxy(new URL(plane.url));
  const file = join(plane.dir, `proxy-${proxy.port}.kubeconfig`);
  const text = await readFile(plane.kubeconfig, 'utf8');
  await writeFile(file, text.replace(plane.url, `https://127.0.0.1:${proxy.port}`), { mode: 0o600 });
  return { kube: connect(file), proxy };
}

/** Chaperone's own kinds, served. */
export async function installCrds(kube: KubeClient): Promise<void> {
  const folder = new URL('../../crds/manifests/', import.meta.url);
  const names: string[] = [];
  for (const file of await readdir(folder)) {
    const crd = parse(await readFile(new URL(file, folder), 'utf8')) as KubeObject;
    names.push(crd.metadata.name);
    await kube.apply(CRDS, crd, { force: true });
  }
  for (const name of names) {
    await until(`${name}`, async () => {
      const { status } = await kube.get<KubeObject & { status?: { conditions?: { type: string; status: string }[] } }>(CRDS, { name });
      return status?.conditions?.some((condition) => condition.type === 'Established' && condition.status === 'True');
    });
  }
}
