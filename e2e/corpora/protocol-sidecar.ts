/** The sidecar of the protocol's cases: `db` is the real server, `bad` one that breaks the rules, and `badtls` the same over TLS. */
import { type CorpusSidecar, startCorpusSidecar } from './sidecar.ts';

export const ACCOUNT = { user: 'app', password: 'apppw' };
export const PROTOCOL_DATABASE = 'corpus';
export type ResourceName = 'db' | 'bad' | 'badtls';

/** Everything is allowed; of the real server a column is masked, of the bad one only detectors read what comes. */
function manifests(ports: Readonly<Record<ResourceName, number>>): string {
  const resource = (name: ResourceName, tls: string): string => `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: ${name}, namespace: corpus}
spec:
  protocol: PostgreSQL
  address: {host: 127.0.0.1, port: ${ports[name]}}
  tls: {mode: ${tls}}
  agentToken: Ignore
  postgresql: {database: ${PROTOCOL_DATABASE}, users: [{name: ${ACCOUNT.user}, secretRef: {name: login}}]}
---`;
  return `${resource('db', 'Disable')}${resource('bad', 'Disable')}${resource('badtls', 'VerifyFull')}
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: everything, namespace: corpus}
spec:
  targetRefs: [{name: db}, {name: bad}, {name: badtls}]
  subjects: [{serviceAccount: {namespace: corpus, name: agent}}]
  rules: [{name: everything, action: Allow}]
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: columns, namespace: corpus}
spec:
  targetRefs: [{name: db}]
  columns: [{column: public.customers.ssn, strategy: {type: Redact}}]
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: found, namespace: corpus}
spec:
  targetRefs: [{name: bad}, {name: badtls}]
  detectors: [{name: ssn, type: SSN, strategy: {type: Redact}}]
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: corpus}
stringData: {username: ${ACCOUNT.user}, password: ${ACCOUNT.password}}
`;
}

export interface ProtocolSidecar extends CorpusSidecar {
  /** What was allowed, as received. */
  readonly allowed: string[];
}

export async function startProtocolSidecar(ports: Readonly<Record<ResourceName, number>>): Promise<ProtocolSidecar> {
  const allowed: string[] = [];
  const sidecar = await startCorpusSidecar(
    manifests(ports),
    ({ verdict, summary }) => void (verdict.decision === 'Allow' && allowed.push(summary)),
  );
  return { ...sidecar, allowed };
}
