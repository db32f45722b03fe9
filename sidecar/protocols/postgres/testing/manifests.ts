/** Parts of the manifests that the driver's tests share: resource `db` of namespace `shop`, and policies for the workload `shop/agent`. */

/** `more` are further lines of the spec, indented by two. */
export function resourceOn(port: number, more = ''): string {
  return `
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: db, namespace: shop}
spec:
  protocol: PostgreSQL
  address: {host: 127.0.0.1, port: ${port}}
  tls: {mode: Disable}
  postgresql: {database: shop, users: [{name: app, secretRef: {name: creds}}]}
${more}`;
}

/** Group `leads` decides. */
export function gate(timeoutSeconds: number): string {
  return `
---
apiVersion: chaperone.dev/v1alpha1
kind: ApprovalGate
metadata: {name: gate, namespace: shop}
spec: {approvers: [{group: leads}], timeoutSeconds: ${timeoutSeconds}}
`;
}

/** Up to its rules: the lines of a YAML list, indented by four, follow. */
export const POLICY = `
---
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: agents, namespace: shop}
spec:
  targetRefs: [{name: db}]
  subjects: [{serviceAccount: {namespace: shop, name: agent}}]
  rules:
`;
