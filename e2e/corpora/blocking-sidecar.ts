/** A sidecar with a resource for each rule set; nothing but the rule set denies anything there. */
import { RULE_SETS_DATABASE } from './blocking-database.ts';
import { type CorpusSidecar, startCorpusSidecar } from './sidecar.ts';

/** What a rule of the corpus is called in an AccessPolicy. */
export const RULE_SET_OF: { readonly [rule: string]: string } = {
  'no-drop': 'noDrop',
  'no-delete-without-where': 'noDeleteWithoutWhere',
  'read-only': 'readOnly',
  'no-ddl': 'noDDL',
  'no-privilege-change': 'noPrivilegeChange',
  'no-program': 'noProgram',
};

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

export function startRuleSets(serverPort: number): Promise<CorpusSidecar> {
  return startCorpusSidecar(manifests(serverPort));
}
