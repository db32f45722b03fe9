/** A target that logs every statement, two agents that never stop asking, and Chaperone with a bucket: what parts are taken away from. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { waitFor } from '#e2e/cluster/ready.ts';
import { apply, type OwnCluster, type TestCluster } from '#e2e/cluster/test-cluster.ts';
import { installChaperone, NAMESPACE, purgeChaperone } from './install.ts';

export const FAILURE = 'failure';
export const AGENTS = ['agent-0', 'agent-1'] as const;
const BUCKET = `failure-${randomBytes(4).toString('hex')}`;
const BUCKET_SECRET = 'failure-bucket';

export interface Stage {
  readonly cluster: TestCluster;
  readonly own: OwnCluster;
  /** What the CLI reads recordings with. */
  readonly bucket: { readonly url: string; readonly endpoint: string; readonly region: string };
  /** PEM of the operator's CA: `sessions verify --ca`. */
  readonly caFile: string;
  exec(pod: string, container: string, script: string): Promise<string>;
  get<T>(...args: readonly string[]): Promise<T>;
  close(): Promise<void>;
}

export interface PodObject {
  readonly metadata: { readonly name: string; readonly uid: string };
  readonly status: {
    readonly phase: string;
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
}

interface ContainerStatus {
  readonly name: string;
  readonly containerID?: string;
  readonly restartCount: number;
  readonly ready: boolean;
}

/** With a policy that holds for `ttlSeconds` when no operator confirms it. */
export async function startStage(cluster: TestCluster, own: OwnCluster, ttlSeconds: number): Promise<Stage> {
  const { kubectl } = cluster;
  const dir = await mkdtemp(join(tmpdir(), 'chaperone-failure-'));
  const purge = async () => {
    await kubectl(['delete', 'namespace', FAILURE, '--ignore-not-found'], { timeoutMs: 180_000 });
    await purgeChaperone(cluster);
  };
  await purge();
  const { endpoint, region, accessKeyId, secretAccessKey } = cluster.s3 ?? assert.fail('needs an S3 server');
  const s3 = new S3Client({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } });
  await s3.send(new CreateBucketCommand({ Bucket: BUCKET, ObjectLockEnabledForBucket: true }));
  s3.destroy();
  // The CLI takes what AWS's SDK finds.
  Object.assign(process.env, { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey });
  await kubectl(['create', 'namespace', NAMESPACE]);
  await apply(cluster, NAMESPACE, [secret(BUCKET_SECRET, { 'access-key-id': accessKeyId, 'secret-access-key': secretAccessKey })]);
  const url = `s3://${BUCKET}/e2e`;
  await installChaperone(cluster, {
    bucket: { url, endpoint, region, existingSecret: BUCKET_SECRET, objectLockDays: 1 },
    injection: { snapshotTtlSeconds: ttlSeconds },
  });
  const metadata = { name: FAILURE, labels: { 'chaperone.dev/injection': 'enabled' } };
  await kubectl(['create', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata }) });
  await apply(cluster, FAILURE, target(cluster));
  await kubectl(['-n', FAILURE, 'wait', '--for=condition=Ready', 'pod/db', '--timeout=120s']);
  await apply(cluster, FAILURE, policies());
  await kubectl(['-n', FAILURE, 'wait', '--for=condition=ResolvedRefs', 'protectedresource/db', '--timeout=60s']);
  await apply(cluster, FAILURE, [{ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'agent' } }]);
  await apply(
    cluster,
    FAILURE,
    AGENTS.map((name) => agent(cluster, name)),
  );
  for (const name of AGENTS) await kubectl(['-n', FAILURE, 'wait', '--for=condition=Ready', `pod/${name}`, '--timeout=120s']);
  const caFile = join(dir, 'ca.crt');
  const { stdout } = await kubectl(['-n', NAMESPACE, 'get', 'secret', 'chaperone-ca', '-o', 'jsonpath={.data.ca\\.crt}']);
  await writeFile(caFile, Buffer.from(stdout, 'base64'));
  return {
    cluster,
    own,
    bucket: { url, endpoint, region },
    caFile,
    exec: async (pod, container, script) =>
      (await kubectl(['-n', FAILURE, 'exec', pod, '-c', container, '--', 'bash', '-c', script])).stdout,
    get: async <T>(...args: readonly string[]) => JSON.parse((await kubectl(['get', ...args, '-o', 'json'])).stdout) as T,
    close: async () => {
      for (const part of ['containerd', 's3', 'kube-apiserver'] as const) await own.start(part);
      await waitFor('the API server', async () => (await kubectl(['get', '--raw', '/readyz'])).stdout === 'ok' || undefined);
      await purge();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Asks for ever: `one` with a connection for each statement, `long` with one for as long as it lasts. Every statement has a number, and every answer a time. */
const LOAD = `
export PGCONNECT_TIMEOUT=30 PGHOST=db.${FAILURE}.svc PGUSER=app PGDATABASE=app
one() {
  n=0
  while :; do
    n=$((n + 1))
    if out=$(psql -XAtqc "INSERT INTO work VALUES ('$POD/one/$n')" 2>&1); then out=ok; fi
    echo "$EPOCHREALTIME $POD/one/$n \${out//$'\\n'/ }" >>/load/one
    sleep 1
  done
}
long() {
  echo 0 >/load/n
  while :; do
    while :; do
      n=$(($(</load/n) + 1))
      echo $n >/load/n
      echo "SELECT '$POD/long/$n';"
      sleep 0.3
    done | psql -XAtq 2>&1 | while read -r line; do echo "$EPOCHREALTIME $line"; done >>/load/long
    sleep 0.5
  done
}
one & long & wait`;

const SECURITY = {
  allowPrivilegeEscalation: false,
  runAsNonRoot: true,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};

export function agent({ images, imagePullPolicy }: TestCluster, name: string) {
  const container = {
    name: 'agent',
    image: images.debian,
    imagePullPolicy,
    command: ['bash', '-c', LOAD],
    env: [{ name: 'POD', value: name }],
    securityContext: { ...SECURITY, runAsUser: 1000 },
    volumeMounts: [{ name: 'load', mountPath: '/load' }],
  };
  const spec = {
    serviceAccountName: 'agent',
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 5,
    containers: [container],
    volumes: [{ name: 'load', emptyDir: {} }],
  };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name, labels: { app: 'agent' } }, spec };
}

/** The log lies in a file: what writes to the container's output waits while containerd is away. */
const START = `
export PGDATA=/run/db/data
initdb --username postgres --auth-local trust --auth-host scram-sha-256 >/dev/null
pg_ctl start --wait --silent --options "-c listen_addresses='' -c unix_socket_directories=/run/db" >/dev/null
psql -h /run/db -U postgres -v ON_ERROR_STOP=1 -v password="$(cat /credential/password)" --quiet <<'SQL'
CREATE ROLE app LOGIN PASSWORD :'password';
CREATE DATABASE app;
\\c app
CREATE TABLE work (id text PRIMARY KEY);
CREATE TABLE extra (id text PRIMARY KEY);
GRANT SELECT, INSERT ON work, extra TO app;
SQL
pg_ctl stop --wait --silent
echo 'host app app all scram-sha-256' >>"$PGDATA/pg_hba.conf"
exec postgres -c listen_addresses='*' -c unix_socket_directories=/run/db -c log_statement=all -c log_line_prefix='%u ' 2>>/run/db/statements.log`;

function target({ images, imagePullPolicy }: TestCluster) {
  const container = {
    name: 'db',
    image: images.debian,
    imagePullPolicy,
    command: ['bash', '-euc', START],
    readinessProbe: {
      exec: { command: ['psql', '-h', '/run/db', '-U', 'postgres', '-d', 'app', '-c', 'SELECT FROM work'] },
      periodSeconds: 1,
      timeoutSeconds: 10,
    },
    // initdb wants a user that has a name.
    securityContext: { ...SECURITY, runAsUser: 65534, runAsGroup: 65534 },
    volumeMounts: [
      { name: 'data', mountPath: '/run/db' },
      { name: 'credential', mountPath: '/credential', readOnly: true },
    ],
  };
  const spec = {
    automountServiceAccountToken: false,
    securityContext: { fsGroup: 65534 },
    containers: [container],
    volumes: [
      { name: 'data', emptyDir: {} },
      { name: 'credential', secret: { secretName: 'db-app', defaultMode: 0o440 } },
    ],
  };
  return [
    secret('db-app', { username: 'app', password: randomBytes(24).toString('hex') }),
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'db' }, spec: { selector: { app: 'db' }, ports: [{ port: 5432 }] } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'db', labels: { app: 'db' }, annotations: { 'chaperone.dev/inject': 'false' } },
      spec,
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'chaperone-secret-reader' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'chaperone-secret-reader' },
      subjects: [{ kind: 'ServiceAccount', name: 'chaperone-operator', namespace: NAMESPACE }],
    },
  ];
}

function policies() {
  const of = (kind: string, name: string, spec: unknown) => ({ apiVersion: 'chaperone.dev/v1alpha1', kind, metadata: { name }, spec });
  const resource = {
    protocol: 'PostgreSQL',
    address: { host: `db.${FAILURE}.svc`, port: 5432 },
    tls: { mode: 'Disable' },
    // Then no client is asked for a password.
    agentToken: 'Ignore',
    postgresql: { database: 'app', users: [{ name: 'app', secretRef: { name: 'db-app' } }] },
  };
  return [of('ProtectedResource', 'db', resource), policy('load', ['public.work']), policy('extra', ['public.extra'])];
}

/** Lets the agents read and fill these tables. */
export function policy(name: string, relations: readonly string[]) {
  const spec = {
    targetRefs: [{ name: 'db' }],
    subjects: [{ serviceAccount: { namespace: FAILURE, name: 'agent' } }],
    rules: [{ name: 'work', action: 'Allow', sql: { statements: ['Select', 'Insert'], relations } }],
  };
  return { apiVersion: 'chaperone.dev/v1alpha1', kind: 'AccessPolicy', metadata: { name, namespace: FAILURE }, spec };
}

function secret(name: string, stringData: Readonly<Record<string, string>>) {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, type: 'Opaque', stringData };
}
