/** The examples, as they run on the tests' cluster: with images that it has. */
import type { TestCluster } from '#e2e/cluster/test-cluster.ts';

/** Text of a manifest of examples/kubernetes-quickstart. `postgresUser` is what `postgresUserOf` says. */
export function withOwnImages(text: string, { images, imagePullPolicy }: TestCluster, postgresUser: string): string {
  const image = `image: ${images.debian}\n          imagePullPolicy: ${imagePullPolicy}`;
  return text.replaceAll('image: postgres:18', image).replaceAll(': 999\n', `: ${postgresUser}\n`);
}

/** The official image's postgres is 999; initdb wants a user that has a name. */
export async function postgresUserOf(cluster: TestCluster): Promise<string> {
  const run = ['run', 'who', '--image', cluster.images.debian, '--image-pull-policy', cluster.imagePullPolicy, '--restart', 'Never'];
  const { stdout } = await cluster.kubectl(
    [...run, '--rm', '--attach', '--quiet', '--pod-running-timeout=3m', '--command', '--', 'id', '-u', 'postgres'],
    { timeoutMs: 200_000 },
  );
  return /^\d+/.exec(stdout)?.[0] ?? '999';
}
