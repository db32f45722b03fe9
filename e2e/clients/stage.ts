import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { chaperone, startSidecar } from '#e2e/demo/chaperone.ts';
import { generatePassword, type Major, type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { here, runClient, type Target } from './programs.ts';

/** A PostgreSQL, and the sidecar before three of its databases: `open` allows all, `masked` too but masks, `guarded` allows reads, masks, denies and holds. */
export interface Stage {
  readonly postgres: Postgres;
  /** Database `open`, without the sidecar. */
  readonly direct: Target;
  readonly open: Target;
  readonly masked: Target;
  readonly guarded: Target;
  /** The names of the approvals that wait. */
  waiting(): Promise<string[]>;
  /** By somebody who may. */
  approve(name: string): Promise<void>;
  /** What the sidecar printed. */
  output(): string;
  stop(): Promise<void>;
}

const API = 'chaperone.dev/v1alpha1';
const SUBJECTS = [{ serviceAccount: { namespace: 'e2e', name: 'agent' } }, { group: 'sre' }];

export async function startStage(major: Major = 18): Promise<Stage> {
  const password = generatePassword();
  const postgres = await startPostgres({
    major,
    roles: [{ name: 'app', password }],
    database: 'open',
    initSql: 'GRANT ALL ON DATABASE open TO app; GRANT ALL ON SCHEMA public TO app',
  });
  for (const database of ['masked', 'guarded']) await postgres.query(`CREATE DATABASE ${database} OWNER app`);
  const direct: Target = { host: postgres.host, port: postgres.port, user: 'app', password, database: 'open' };
  for (const database of ['open', 'masked', 'guarded'])
    await runClient('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', here('schema.sql')], { ...direct, database });

  const folder = await mkdtemp(join(tmpdir(), 'chaperone-clients-'));
  const manifests = join(folder, 'manifests');
  const state = join(folder, 'state');
  await mkdir(manifests);
  await writeFile(
    join(manifests, 'all.yaml'),
    manifestsFor(postgres.port, password)
      .map((manifest) => stringify(manifest, { aliasDuplicateObjects: false }))
      .join('---\n'),
    { mode: 0o600 },
  );
  const [openPort, maskedPort, guardedPort] = [await freePort(), await freePort(), await freePort()];
  const ports = { open: openPort, masked: maskedPort, guarded: guardedPort };
  const listen = Object.entries(ports).flatMap(([name, port]) => ['--listen', `${name}=127.0.0.1:${port}`]);
  const sidecar = await startSidecar(
    ['--manifests', manifests, '--state', state, '--workload', 'e2e/agent', ...listen],
    [openPort, maskedPort, guardedPort],
    () => undefined,
  );

  const tokenOf = async (subject: string, group: string) => {
    const { code, stdout, stderr } = await chaperone(['token', '--state', state, '--subject', subject, '--group', group]);
    if (code !== 0) throw new Error(`chaperone token: ${stderr}`);
    return stdout.trim();
  };
  const alice = await tokenOf('alice', 'sre');
  const token = join(folder, 'bob.jwt');
  await writeFile(token, await tokenOf('bob', 'leads'), { mode: 0o600 });
  const approvals = async (...args: string[]) => {
    const done = await chaperone(['approvals', ...args, '--state', state, '--token-file', token]);
    if (done.code !== 0) throw new Error(`chaperone approvals ${args.join(' ')}: ${done.stderr}`);
    return done.stdout;
  };
  // The sidecar logs in with a credential of its own: a password that is no token is not looked at. A hold needs to know who asks.
  const through = (at: number, database: string, secret: string): Target => ({
    host: '127.0.0.1',
    port: at,
    user: 'app',
    password: secret,
    database,
  });
  return {
    postgres,
    direct,
    open: through(openPort, 'open', 'unused'),
    masked: through(maskedPort, 'masked', 'unused'),
    guarded: through(guardedPort, 'guarded', alice),
    waiting: async () => namesIn(await approvals('ls', '-o', 'json')),
    approve: async (name) => void (await approvals('approve', name, '--reason', 'looked at it')),
    output: sidecar.output,
    stop: async () => {
      await sidecar.stop();
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

function manifestsFor(port: number, password: string): object[] {
  const resource = (name: string) => ({
    apiVersion: API,
    kind: 'ProtectedResource',
    metadata: { name, namespace: 'e2e' },
    spec: {
      protocol: 'PostgreSQL',
      address: { host: '127.0.0.1', port },
      tls: { mode: 'Disable' },
      postgresql: { database: name, users: [{ name: 'app', secretRef: { name: 'login' } }] },
    },
  });
  const policy = (name: string, rules: object[]) => ({
    apiVersion: API,
    kind: 'AccessPolicy',
    metadata: { name, namespace: 'e2e' },
    spec: { targetRefs: [{ name }], subjects: SUBJECTS, rules },
  });
  return [
    { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'login', namespace: 'e2e' }, stringData: { username: 'app', password } },
    resource('open'),
    resource('masked'),
    resource('guarded'),
    policy('open', [{ name: 'all', action: 'Allow' }]),
    policy('masked', [{ name: 'all', action: 'Allow' }]),
    policy('guarded', [
      { name: 'read', action: 'Allow', sql: { access: 'Read' } },
      { name: 'no-drop', action: 'Deny', sql: { statements: ['Drop'] } },
      { name: 'ask', action: 'RequireApproval', sql: { statements: ['Update'] }, gateRefs: [{ name: 'leads' }] },
    ]),
    {
      apiVersion: API,
      kind: 'ApprovalGate',
      metadata: { name: 'leads', namespace: 'e2e' },
      spec: { approvers: [{ group: 'leads' }], timeoutSeconds: 60 },
    },
    {
      apiVersion: API,
      kind: 'MaskingRule',
      metadata: { name: 'customers', namespace: 'e2e' },
      spec: {
        targetRefs: [{ name: 'masked' }, { name: 'guarded' }],
        columns: [{ column: 'public.customers.email', strategy: { type: 'Partial', keepStart: 1 } }],
      },
    },
  ];
}

/** Names in what `approvals ls -o json` prints: a list, or an object that holds one. */
function namesIn(json: string): string[] {
  const value: unknown = JSON.parse(json);
  const list = Array.isArray(value) ? value : Object.values(value as object).find(Array.isArray);
  return ((list ?? []) as { name: string }[]).map(({ name }) => name);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
