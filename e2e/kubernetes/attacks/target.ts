/** The objects of the target's namespace. */
import type { TestCluster } from '#e2e/cluster/test-cluster.ts';
import { OUTSIDE } from './tries.ts';

/** A PostgreSQL that lets in who knows the password, and nobody else. */
export function targetObjects(cluster: TestCluster, password: string, ssn: string) {
  const start = `set -eu
    export PGDATA=/tmp/data
    initdb --username postgres --auth-local trust --auth-host scram-sha-256 >/dev/null
    pg_ctl start --wait --silent --options "-c listen_addresses='' -c unix_socket_directories=/tmp" >/dev/null
    psql -h /tmp -U postgres -v ON_ERROR_STOP=1 -v password="$PASSWORD" <<SQL
      CREATE DATABASE shop; CREATE ROLE app LOGIN PASSWORD :'password';
      \\c shop
      CREATE TABLE customers (id int, ssn text); INSERT INTO customers VALUES (1, '${ssn}'); GRANT SELECT ON customers TO app;
SQL
    pg_ctl stop --wait --silent
    printf 'host shop app 0.0.0.0/0 scram-sha-256\\nhost shop app ::/0 scram-sha-256\\n' >>$PGDATA/pg_hba.conf
    exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp`;
  const container = {
    ...debian(cluster, 'db', ['bash', '-c', start]),
    // initdb wants a user that has a name.
    command: ['bash', '-c', 'exec setpriv --reuid postgres --regid postgres --clear-groups bash -c "$1"', '-', start],
    env: [{ name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'db-app', key: 'password' } } }],
    readinessProbe: {
      exec: { command: ['psql', '-h', '/tmp', '-U', 'postgres', '-d', 'shop', '-c', 'SELECT FROM customers'] },
      periodSeconds: 1,
    },
  };
  const service = (name: string) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { selector: { app: 'db' }, ports: [{ port: 5432 }] },
  });
  return [
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'db-app' }, stringData: { username: 'app', password } },
    service('db'),
    // The same server by a name that no ProtectedResource has.
    service('alias'),
    pod('db', container),
  ];
}

/** Reached by whoever can send a packet to it. */
export function outsidePod(cluster: TestCluster, ...ports: readonly number[]) {
  const command = ['python3', '-c', OUTSIDE, ...ports.map(String)];
  return pod('outside', { ...debian(cluster, 'outside', command), readinessProbe: { tcpSocket: { port: ports[0] }, periodSeconds: 1 } });
}

export function policies(shop: string, agentNamespaces: readonly string[]) {
  const of = (kind: string, name: string, spec: unknown) => ({ apiVersion: 'chaperone.dev/v1alpha1', kind, metadata: { name }, spec });
  return [
    of('ProtectedResource', 'db', {
      protocol: 'PostgreSQL',
      agentToken: 'Ignore',
      address: { host: `db.${shop}.svc`, port: 5432 },
      tls: { mode: 'Disable' },
      postgresql: { database: 'shop', users: [{ name: 'app', secretRef: { name: 'db-app' } }] },
    }),
    of('AccessPolicy', 'agents', {
      targetRefs: [{ name: 'db' }],
      subjects: agentNamespaces.map((namespace) => ({ serviceAccount: { namespace, name: 'agent' } })),
      rules: [{ name: 'read', action: 'Allow', sql: { access: 'Read', relations: ['public.*'] } }],
    }),
    of('MaskingRule', 'ssn', { targetRefs: [{ name: 'db' }], columns: [{ column: 'public.customers.ssn', strategy: { type: 'Redact' } }] }),
  ];
}

function debian({ images, imagePullPolicy }: TestCluster, name: string, command: readonly string[]) {
  return { name, image: images.debian, imagePullPolicy, command };
}

function pod(name: string, container: Readonly<Record<string, unknown>>) {
  const spec = { terminationGracePeriodSeconds: 0, automountServiceAccountToken: false, containers: [container] };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: name } }, spec };
}
