/** A sidecar with a resource for each rule set; nothing but the rule set denies anything there. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadFolder } from '#cli/folder/source.ts';
import { startSidecar } from '#sidecar/start.ts';
import { RULE_SETS_DATABASE } from './blocking-database.ts';

/** What a rule of the corpus is called in an AccessPolicy. */
export const RULE_SET_OF: { readonly [rule: string]: string } = {
  'no-drop': 'noDrop',
  'no-delete-without-where': 'noDeleteWithoutWhere',
  'read-only': 'readOnly',
  'no-ddl': 'noDDL',
  'no-privilege-change': 'noPrivilegeChange',
  'no-program': 'noProgram',
};

const WORKLOAD = { namespace: 'corpus', serviceAccount: 'agent' };
const USERS = { app: 'apppw', appadm: 'admpw' } as const;

function manifests(serverPort: number): string {
  const users = Object.keys(USERS).map((user) => `{name: ${user}, secretRef: {name: ${user}}}`);
  const resources = Object.entries(RULE_SET_OF).map(
    ([name, set]) => `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: ${name}, namespace: corpus}
spec:
  protocol: PostgreSQL
  address: {host: 127.0.0.1, port: ${serverPort}}
  tls: {mode: Disable}
  agentToken: Ignore
  postgresql: {database: ${RULE_SETS_DATABASE}, users: [${users.join(', ')}]}
---
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ${name}, namespace: corpus}
spec:
  targetRefs: [{name: ${name}}]
  subjects: [{serviceAccount: {namespace: corpus, name: agent}}]
  ruleSets: [${set}]
  rules: [{name: everything-else, action: Allow}]`,
  );
  const secrets = Object.entries(USERS).map(
    ([user, password]) => `
apiVersion: v1
kind: Secret
metadata: {name: ${user}, namespace: corpus}
stringData: {username: ${user}, password: ${password}}`,
  );
  return [...resources, ...secrets].join('\n---');
}

export interface RuleSetsSidecar {
  readonly portOf: (rule: string) => number;
  stop(): Promise<void>;
}

export async function startRuleSets(serverPort: number): Promise<RuleSetsSidecar> {
  const folder = await mkdtemp(join(tmpdir(), 'chaperone-corpus-'));
  try {
    await mkdir(join(folder, 'manifests'));
    await writeFile(join(folder, 'manifests/all.yaml'), manifests(serverPort), { mode: 0o600 });
    const read = loadFolder({ manifests: join(folder, 'manifests'), workload: WORKLOAD });
    if (!read.ok) throw new Error(read.problems.map(({ line, message }) => `line ${line}: ${message}`).join('\n'));
    const sidecar = await startSidecar({ state: join(folder, 'state'), workload: WORKLOAD, log: SILENT });
    const published = await sidecar.publish(read.state.snapshot, read.state.secrets);
    if (!published.ok) throw new Error(`the policies are not taken: ${JSON.stringify(published)}`);
    return {
      portOf: (rule) => sidecar.addresses.get(`corpus/${rule}`)?.port ?? 0,
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

const nothing = (): void => {};
const SILENT = { info: nothing, warn: nothing, error: nothing };
