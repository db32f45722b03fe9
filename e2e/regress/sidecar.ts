/** A sidecar that allows all, before a server whose superuser the agent is: whatever fails there is refused by us. */
import { type CorpusSidecar, startCorpusSidecar } from '../corpora/sidecar.ts';
import type { Postgres } from '../postgres/server.ts';

export const DATABASE = 'regression';

export function startAllowAll({ port, superuser }: Postgres): Promise<CorpusSidecar> {
  return startCorpusSidecar(`
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: db, namespace: corpus}
spec:
  protocol: PostgreSQL
  address: {host: 127.0.0.1, port: ${port}}
  tls: {mode: Disable}
  agentToken: Ignore
  postgresql: {database: ${DATABASE}, users: [{name: ${superuser.user}, secretRef: {name: login}}]}
---
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: everything, namespace: corpus}
spec:
  targetRefs: [{name: db}]
  subjects: [{serviceAccount: {namespace: corpus, name: agent}}]
  rules: [{name: everything, action: Allow}]
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: corpus}
stringData: {username: ${superuser.user}, password: ${superuser.password}}
`);
}
