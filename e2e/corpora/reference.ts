/** The sidecar under test: the reference policy at the head of pg-corpus-schema.sql, before one server. */
import { randomBytes } from 'node:crypto';
import type { MaskingOptions } from './case.ts';
import { ACCOUNTS, DATABASE, type Databases } from './databases.ts';
import { type CorpusSidecar, databaseManifests, startCorpusSidecar } from './sidecar.ts';

const COLUMNS = [
  ...['email', 'ssn', 'card_number', 'notes', 'avatar'].map((name) => `public.customers.${name}`),
  'public.employees.salary',
  'public.payments.card_number',
];

type Policy = Pick<MaskingOptions, 'predicates' | 'strategy'>;

/** It only counts orders: the one function of the schema that may be called. */
const VETTED = 'order_count(integer)';

/** Everything is allowed: what holds here holds by the masks alone. */
function manifests(port: number, { predicates, strategy }: Policy, definition: string): string {
  return `${databaseManifests({ port, database: DATABASE, accounts: Object.values(ACCOUNTS) })}
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: reference, namespace: corpus}
spec:
  targetRefs: [{name: db}]
  predicates: ${predicates}
  functions: [{name: order_count(integer), definitionSha256: ${definition}}]
  columns: [${COLUMNS.map((column) => `{column: ${column}, strategy: {type: ${strategy}}}`).join(', ')}]
  keySecretRef: {name: masking}
  detectors:
    - {name: ssn, type: SSN, strategy: {type: Redact}}
    - {name: card, type: Card, strategy: {type: Redact}}
    - {name: email, type: Email, strategy: {type: Redact}}
---
apiVersion: v1
kind: Secret
metadata: {name: masking, namespace: corpus}
stringData: {key: "${randomBytes(32).toString('hex')}"}
`;
}

export async function startReference(databases: Databases, policy: Policy): Promise<CorpusSidecar> {
  return startCorpusSidecar(manifests(databases.server.port, policy, await databases.definitionOf(VETTED)));
}
