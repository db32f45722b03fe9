/** A sidecar as `chaperone run` starts it, on manifests that are given as text. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadFolder } from '#cli/folder/source.ts';
import { type SidecarOptions, startSidecar } from '#sidecar/start.ts';

/** Whom the policies of the corpora name. */
const WORKLOAD = { namespace: 'corpus', serviceAccount: 'agent' };

const nothing = (): void => {};

export interface CorpusSidecar {
  /** Where a resource of the namespace `corpus` is served. */
  readonly portOf: (resource: string) => number;
  stop(): Promise<void>;
}

export interface CorpusDatabase {
  readonly port: number;
  readonly database: string;
  readonly accounts: readonly { readonly user: string; readonly password: string }[];
  /** In YAML's flow style; where absent everything is allowed. */
  readonly rules?: string;
}

/** The resource `db`, a policy of the rules for the agent, and the accounts' Secrets. Ends without a line end. */
export function databaseManifests({ port, database, accounts, rules = '[{name: everything, action: Allow}]' }: CorpusDatabase): string {
  const secrets = accounts.map(
    ({ user, password }) => `
---
apiVersion: v1
kind: Secret
metadata: {name: ${user}, namespace: corpus}
stringData: {username: ${user}, password: ${password}}`,
  );
  return `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: db, namespace: corpus}
spec:
  protocol: PostgreSQL
  address: {host: 127.0.0.1, port: ${port}}
  tls: {mode: Disable}
  agentToken: Ignore
  postgresql: {database: ${database}, users: [${accounts.map(({ user }) => `{name: ${user}, secretRef: {name: ${user}}}`).join(', ')}]}
---
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: everything, namespace: corpus}
spec:
  targetRefs: [{name: db}]
  subjects: [{serviceAccount: {namespace: corpus, name: agent}}]
  rules: ${rules}
${secrets.join('')}`.trimEnd();
}

export async function startCorpusSidecar(
  manifests: string,
  onVerdict?: SidecarOptions['onVerdict'],
  onError: (fields: object, message: string) => void = nothing,
): Promise<CorpusSidecar> {
  const folder = await mkdtemp(join(tmpdir(), 'chaperone-corpus-'));
  try {
    await mkdir(join(folder, 'manifests'));
    await writeFile(join(folder, 'manifests/all.yaml'), manifests, { mode: 0o600 });
    const read = loadFolder({ manifests: join(folder, 'manifests'), workload: WORKLOAD });
    if (!read.ok) throw new Error(read.problems.map(({ line, message }) => `line ${line}: ${message}`).join('\n'));
    const state = join(folder, 'state');
    const sidecar = await startSidecar({
      state,
      workload: WORKLOAD,
      log: { info: nothing, warn: nothing, error: onError },
      ...(onVerdict && { onVerdict }),
    });
    const published = await sidecar.publish(read.state.snapshot, read.state.secrets);
    if (!published.ok) throw new Error(`the policies are not taken: ${JSON.stringify(published)}`);
    return {
      portOf: (resource) => sidecar.addresses.get(`corpus/${resource}`)?.port ?? 0,
      stop: async () => {
        await sidecar.close();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error: unknown) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}
