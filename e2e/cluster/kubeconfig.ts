import { readFile, writeFile } from 'node:fs/promises';
import type { Pair } from './certificates.ts';

export interface Access {
  readonly url: string;
  readonly caFile: string;
  readonly client: Pair;
}

/** Writes a kubeconfig that holds its keys itself. JSON, which is YAML too. */
export async function writeKubeconfig(path: string, { url, caFile, client }: Access): Promise<string> {
  const [ca, certificate, key] = await Promise.all([caFile, client.certificate, client.key].map((file) => readFile(file, 'base64')));
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'e2e', cluster: { server: url, 'certificate-authority-data': ca } }],
    users: [{ name: 'e2e', user: { 'client-certificate-data': certificate, 'client-key-data': key } }],
    contexts: [{ name: 'e2e', context: { cluster: 'e2e', user: 'e2e' } }],
    'current-context': 'e2e',
  };
  await writeFile(path, JSON.stringify(config, null, 2), { mode: 0o600 });
  return path;
}
