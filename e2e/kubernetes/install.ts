/** Chaperone on the tests' cluster, installed as a user does it: by Helm. */
import { join } from 'node:path';
import type { TestCluster } from '#e2e/cluster/test-cluster.ts';
import { ROOT } from '#e2e/repo/tree.ts';

export const NAMESPACE = 'chaperone-system';
const CHARTS = { crds: join(ROOT, 'charts/chaperone-crds'), operator: join(ROOT, 'charts/chaperone') };

/** The values without which the charts' images are not found. */
export function imageValues({ images, imagePullPolicy }: TestCluster): { readonly image: Readonly<Record<string, unknown>> } {
  const [operator, sidecar] = [partsOf(images.operator), partsOf(images.sidecar)];
  return {
    image: {
      registry: operator.registry,
      pullPolicy: imagePullPolicy,
      operator: { name: operator.name, tag: operator.tag },
      sidecar: { name: sidecar.name, tag: sidecar.tag },
    },
  };
}

/** Installs both charts, or upgrades to these values, and waits until the webhook answers. Values are merged over those of the images. */
export async function installChaperone(cluster: TestCluster, values: Readonly<Record<string, unknown>> = {}): Promise<void> {
  const release = (name: string, chart: string, more: readonly string[]) =>
    ['upgrade', '--install', name, chart, '--namespace', NAMESPACE, '--create-namespace', '--wait', '--timeout', '5m', ...more] as const;
  await cluster.helm(release('chaperone-crds', CHARTS.crds, []), { timeoutMs: 320_000 });
  const input = JSON.stringify({ ...imageValues(cluster), ...values });
  await cluster.helm(release('chaperone', CHARTS.operator, ['--values', '-']), { input, timeoutMs: 320_000 });
}

/** The CRDs, and what was written of their kinds, are left. */
export async function uninstallChaperone({ helm }: TestCluster): Promise<void> {
  await helm(['uninstall', 'chaperone', '--namespace', NAMESPACE, '--wait', '--ignore-not-found'], { timeoutMs: 180_000 });
}

/** And they as well, with the namespace. */
export async function purgeChaperone(cluster: TestCluster): Promise<void> {
  await uninstallChaperone(cluster);
  const { stdout } = await cluster.kubectl(['get', 'crds', '-o', 'name']);
  const ours = stdout.split('\n').filter((name) => name.endsWith('.chaperone.dev'));
  if (ours.length > 0) await cluster.kubectl(['delete', ...ours]);
  await cluster.helm(['uninstall', 'chaperone-crds', '--namespace', NAMESPACE, '--ignore-not-found']);
  await cluster.kubectl(['delete', 'namespace', NAMESPACE, '--ignore-not-found'], { timeoutMs: 180_000 });
}

function partsOf(image: string): { readonly registry: string; readonly name: string; readonly tag: string } {
  const [, registry, name, tag] = /^(.+)\/([^/:]+):([^/:]+)$/.exec(image) ?? [];
  if (registry === undefined || name === undefined || tag === undefined) throw new Error(`not REGISTRY/NAME:TAG: ${image}`);
  return { registry, name, tag };
}
