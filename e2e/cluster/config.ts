import { homedir } from 'node:os';
import { join } from 'node:path';
import { ROOT } from '#e2e/repo/tree.ts';

/** Folder for what takes long to make: binaries, root file systems, images. It may be removed at any time that no cluster runs. */
export function cacheFolder(): string {
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'chaperone/e2e');
}

/** Which of the full clusters that may run side by side on this machine: 0 to 9. */
export function clusterNumber(): number {
  const text = process.env['CHAPERONE_CLUSTER'] || '0';
  if (!/^\d$/.test(text)) throw new Error(`CHAPERONE_CLUSTER is ${JSON.stringify(text)}: a digit is wanted`);
  return Number(text);
}

/** Folder of this full cluster: keys, data, logs, recorded process ids. Gone after `down`. */
export function stateFolder(n = clusterNumber()): string {
  return `/var/tmp/chaperone-cluster-${n}`;
}

/** The cluster that the user wants the tests to run on, instead of ours. */
export function foreignKubeconfig(): string | undefined {
  return process.env['KUBECONFIG'] || undefined;
}

/** The environment of somebody who has that cluster and no more: no S3, no registry. */
export function foreignEnvironment(kubeconfig: string): NodeJS.ProcessEnv {
  const { PATH, HOME, XDG_CACHE_HOME } = process.env;
  return { PATH, HOME, KUBECONFIG: kubeconfig, ...(XDG_CACHE_HOME === undefined ? {} : { XDG_CACHE_HOME }) };
}

/** Prefix of the image names on a cluster that isn't ours. */
export function foreignRegistry(): string | undefined {
  return process.env['CHAPERONE_REGISTRY'] || undefined;
}

/** An S3 server that both the pods of that cluster and the tests reach; versions and Object Lock are wanted of it. */
export function foreignS3(): { endpoint: string; region: string; accessKeyId: string; secretAccessKey: string } | undefined {
  const {
    CHAPERONE_S3: endpoint,
    AWS_REGION: region = 'us-east-1',
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
  } = process.env;
  if (!endpoint) return undefined;
  if (!accessKeyId || !secretAccessKey) throw new Error('CHAPERONE_S3 is set, but not AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY');
  return { endpoint, region, accessKeyId, secretAccessKey };
}

/** True where `npm run e2e` has just made `dist/` of this tree. */
export function isBuilt(): boolean {
  return Boolean(process.env['CHAPERONE_BUILT']);
}

/** The CLI as a program for Node: the bundle starts seven times as fast. */
export function cliProgram(): string {
  return join(ROOT, isBuilt() ? 'dist/chaperone.js' : 'cli/main.ts');
}
