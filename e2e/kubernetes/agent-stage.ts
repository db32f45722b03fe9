/** A target behind Chaperone with a bucket, and namespaces whose pods are agents of it: what the acceptance is played on. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { cliProgram } from '#e2e/cluster/config.ts';
import { waitFor } from '#e2e/cluster/ready.ts';
import type { S3 } from '#e2e/cluster/s3.ts';
import { apply, type TestCluster } from '#e2e/cluster/test-cluster.ts';
import { ROOT } from '#e2e/repo/tree.ts';
import { postgresUserOf, withOwnImages } from './examples.ts';
import { installChaperone, NAMESPACE, purgeChaperone } from './install.ts';

/** Of the target, its policies and its Secret. No agent runs there. */
export const SHOP = 'accept-shop';
export const HOST = `shop-db.${SHOP}.svc`;
const MODES = { 'accept-explicit': 'Explicit', 'accept-transparent': 'Transparent' } as const;
export type AgentNamespace = keyof typeof MODES;
export const AGENTS = Object.keys(MODES) as AgentNamespace[];

export interface Stage {
  readonly cluster: TestCluster;
  readonly s3: S3;
  readonly bucket: { readonly name: string; readonly url: string; readonly client: S3Client };
  /** Of the target's user: what no agent may see. */
  readonly password: string;
  close(): Promise<void>;
}

/** Installs by Helm, with a bucket that has Object Lock, and waits until everything says Ready. */
export async function startStage(cluster: TestCluster): Promise<Stage> {
  const { s3 } = cluster;
  assert.ok(s3, 'needs an S3 server');
  await clean(cluster);
  const bucket = await newBucket(s3);
  await cluster.kubectl(['create', 'namespace', NAMESPACE]);
  const { accessKeyId, secretAccessKey, endpoint, region } = s3;
  await apply(cluster, NAMESPACE, [secret('bucket', { 'access-key-id': accessKeyId, 'secret-access-key': secretAccessKey })]);
  await installChaperone(cluster, {
    clusterName: 'accept',
    secretAccess: { namespaces: [] },
    bucket: { url: bucket.url, endpoint, region, existingSecret: 'bucket', objectLockDays: 1 },
  });
  const password = randomBytes(24).toString('hex');
  await newShop(cluster, password);
  for (const namespace of AGENTS) await newAgents(cluster, namespace);
  return {
    cluster,
    s3,
    bucket,
    password,
    async close() {
      bucket.client.destroy();
      await clean(cluster);
    },
  };
}

async function clean(cluster: TestCluster): Promise<void> {
  await cluster.kubectl(['delete', 'namespace', ...AGENTS, SHOP, '--ignore-not-found'], { timeoutMs: 180_000 });
  await purgeChaperone(cluster);
}

async function newBucket({ endpoint, region, accessKeyId, secretAccessKey }: S3): Promise<Stage['bucket']> {
  const client = new S3Client({ endpoint, region, forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } });
  const name = `accept-${randomBytes(6).toString('hex')}`;
  await client.send(new CreateBucketCommand({ Bucket: name, ObjectLockEnabledForBucket: true }));
  return { name, url: `s3://${name}/recordings`, client };
}

async function newShop(cluster: TestCluster, password: string): Promise<void> {
  const { kubectl } = cluster;
  await kubectl(['create', 'namespace', SHOP]);
  await apply(cluster, SHOP, [secret('shop-db-app', { username: 'app', password })]);
  const target = await readFile(join(ROOT, 'examples/kubernetes-quickstart/target.yaml'), 'utf8');
  const input = withOwnImages(target.replaceAll('namespace: shop', `namespace: ${SHOP}`), cluster, await postgresUserOf(cluster));
  await kubectl(['apply', '-f', '-'], { input });
  const reader = ['--clusterrole=chaperone-secret-reader', `--serviceaccount=${NAMESPACE}:chaperone-operator`];
  await kubectl(['-n', SHOP, 'create', 'rolebinding', 'chaperone-secret-reader', ...reader]);
  await kubectl(['-n', SHOP, 'create', 'rolebinding', 'leads', '--clusterrole=chaperone-approver', '--group=leads']);
  await apply(cluster, SHOP, policies());
  await kubectl(['-n', SHOP, 'rollout', 'status', 'deployment/shop-db', '--timeout=180s'], { timeoutMs: 200_000 });
  const { stdout: address } = await kubectl(['-n', SHOP, 'get', 'service', 'shop-db', '-o', 'jsonpath={.spec.clusterIP}']);
  // kube-proxy has it a while after the Deployment says that it is available.
  await waitFor('the target by its Service', () => answers(address, 5432));
  const all = ['protectedresource/shop-db', 'accesspolicy/shop-agents', 'maskingrule/customer-data', 'approvalgate/change-approval'];
  await kubectl(['-n', SHOP, 'wait', '--for=condition=Ready', ...all, '--timeout=60s']);
}

function answers(host: string, port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2000 });
    const end = (answer: true | undefined) => {
      socket.destroy();
      resolve(answer);
    };
    socket
      .once('connect', () => end(true))
      .once('error', () => end(undefined))
      .once('timeout', () => end(undefined));
  });
}

async function newAgents(cluster: TestCluster, name: AgentNamespace): Promise<void> {
  const labels = {
    'chaperone.dev/injection': 'required',
    'chaperone.dev/mode': MODES[name],
    'pod-security.kubernetes.io/enforce': MODES[name] === 'Explicit' ? 'restricted' : 'privileged',
  };
  const namespace = { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
  await cluster.kubectl(['create', '-f', '-'], { input: JSON.stringify(namespace) });
  await apply(cluster, name, [{ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'agent' } }]);
}

function policies(): unknown[] {
  const of = (kind: string, name: string, spec: unknown) => ({ apiVersion: 'chaperone.dev/v1alpha1', kind, metadata: { name }, spec });
  const targetRefs = [{ name: 'shop-db' }];
  const relations = ['public.*'];
  return [
    resource('shop-db', HOST),
    of('ApprovalGate', 'change-approval', { approvers: [{ group: 'leads' }], timeoutSeconds: 120 }),
    of('AccessPolicy', 'shop-agents', {
      targetRefs,
      subjects: AGENTS.map((namespace) => ({ serviceAccount: { namespace, name: 'agent' } })),
      rules: [
        { name: 'read', action: 'Allow', sql: { access: 'Read', relations } },
        { name: 'changes', action: 'RequireApproval', sql: { statements: ['Update'], relations }, gateRefs: [{ name: 'change-approval' }] },
        { name: 'no-drop', action: 'Deny', sql: { statements: ['Drop'] } },
      ],
    }),
    of('MaskingRule', 'customer-data', {
      targetRefs,
      columns: [
        { column: 'public.customers.email', strategy: { type: 'Partial', keepStart: 1 } },
        { column: 'public.customers.card', strategy: { type: 'Partial', keepEnd: 4 } },
        { column: 'public.customers.ssn', strategy: { type: 'Redact' } },
      ],
    }),
  ];
}

export function resource(name: string, host: string) {
  const postgresql = { database: 'shop', users: [{ name: 'app', secretRef: { name: 'shop-db-app' } }] };
  const recording = { results: 'Sample', sampleRows: 5 };
  const spec = { protocol: 'PostgreSQL', address: { host, port: 5432 }, tls: { mode: 'Disable' }, postgresql, recording };
  return { apiVersion: 'chaperone.dev/v1alpha1', kind: 'ProtectedResource', metadata: { name }, spec };
}

function secret(name: string, stringData: Readonly<Record<string, string>>) {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name }, stringData };
}

/** The pod of an agent as its author writes it: nothing of Chaperone's in it. */
function agentPod({ images, imagePullPolicy }: TestCluster, script: string) {
  const securityContext = { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } };
  const container = { name: 'agent', image: images.debian, imagePullPolicy, command: ['bash', '-c', script], securityContext };
  return {
    restartPolicy: 'Never',
    serviceAccountName: 'agent',
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 5,
    securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [{ ...container, env: [{ name: 'MARK', value: 'mark-of-the-agent' }] }],
  };
}

/** psql as an agent has it: no password, no option of ours. */
export const PSQL = `psql -X -h ${HOST} -U app -d shop -v VERBOSITY=verbose`;

/** Only starts it. */
export async function startJob({ cluster }: Stage, namespace: AgentNamespace, name: string, script: string): Promise<void> {
  const spec = { backoffLimit: 0, template: { spec: agentPod(cluster, script) } };
  await apply(cluster, namespace, [{ apiVersion: 'batch/v1', kind: 'Job', metadata: { name }, spec }]);
}

/** What the agent of a Job printed, when the Job has ended. */
export async function endOfJob({ cluster: { kubectl } }: Stage, namespace: AgentNamespace, name: string): Promise<string> {
  const logs = () => kubectl(['-n', namespace, 'logs', `job/${name}`, '--all-containers', '--prefix']).then(({ stdout }) => stdout, String);
  const wait = ['wait', '--for=condition=Complete', `job/${name}`, '--timeout=90s'];
  await kubectl(['-n', namespace, ...wait]).catch(async (error: unknown) => assert.fail(`${String(error)}\n${await logs()}`));
  return (await kubectl(['-n', namespace, 'logs', `job/${name}`, '-c', 'agent'])).stdout;
}

/** A pod that stays; resolves when it is ready. */
export async function startPod({ cluster }: Stage, namespace: AgentNamespace, name: string, script: string): Promise<void> {
  const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: agentPod(cluster, script) };
  await apply(cluster, namespace, [pod]);
  await cluster.kubectl(['-n', namespace, 'wait', '--for=condition=Ready', `pod/${name}`, '--timeout=90s']);
}

/** The one request that waits. */
export function pendingRequest({ cluster: { kubectl } }: Stage): Promise<string> {
  return waitFor(
    'an ApprovalRequest that is pending',
    async () => {
      const { stdout } = await kubectl(['-n', SHOP, 'get', 'approvalrequests', '--no-headers']);
      const [name] =
        stdout
          .split('\n')
          .find((line) => / Pending /.test(line))
          ?.split(/ +/) ?? [];
      return name;
    },
    60_000,
  );
}

/** `chaperone …` on this machine, with the bucket's credentials as AWS's SDK finds them and no way to the cluster. */
export function chaperone(
  { s3, bucket }: Stage,
  args: readonly string[],
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const { endpoint, region, accessKeyId, secretAccessKey } = s3;
  const where = ['--bucket', bucket.url, '--endpoint', endpoint, '--region', region];
  const env = { PATH: process.env['PATH'], AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
  return new Promise((resolve) => {
    execFile(process.execPath, [cliProgram(), ...args, ...where], { cwd: ROOT, env, maxBuffer: 1 << 26 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr });
    });
  });
}
