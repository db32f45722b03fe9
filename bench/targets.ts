import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chown, mkdir, writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { unprivilegedUser } from '#e2e/postgres/binaries.ts';

export interface Login {
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** One way to the database. */
export interface Target extends Login {
  readonly name: string;
  readonly port: number;
  /** Of the proxy; null where there is none. */
  readonly pid: number | null;
}

export interface Proxy {
  readonly targets: readonly Target[];
  stop(): Promise<void>;
}

/** What is shipped, not the sources: `npm run bench` builds it first. */
const CLI = fileURLToPath(new URL('../dist/chaperone.js', import.meta.url));

export async function startHaproxy(folder: string, server: number, login: Login): Promise<Proxy | null> {
  const program = ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy', '/usr/bin/haproxy'].find(existsSync);
  if (program === undefined) return null;
  const port = await freePort();
  const config = join(folder, 'haproxy.cfg');
  await writeFile(
    config,
    `global\n  nbthread 1\n  maxconn 500\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\nlisten postgres\n  bind 127.0.0.1:${port}\n  server one 127.0.0.1:${server}\n`,
  );
  return proxy(spawn(program, ['-db', '-f', config], { stdio: 'ignore' }), [{ ...login, name: 'haproxy', port }]);
}

/** It doesn't run as root, so it gets the user that PostgreSQL gets. */
export async function startPgbouncer(folder: string, server: number, login: Login): Promise<Proxy | null> {
  const program = ['/usr/sbin/pgbouncer', '/usr/local/bin/pgbouncer', '/usr/bin/pgbouncer'].find(existsSync);
  if (program === undefined) return null;
  const as = await unprivilegedUser();
  const port = await freePort();
  const own = join(folder, 'pgbouncer');
  await mkdir(own);
  const files = {
    'users.txt': `"${login.user}" "${login.password}"\n`,
    'pgbouncer.ini': [
      '[databases]',
      `${login.database} = host=127.0.0.1 port=${server}`,
      '[pgbouncer]',
      'listen_addr = 127.0.0.1',
      `listen_port = ${port}`,
      'unix_socket_dir =',
      'pool_mode = session',
      'default_pool_size = 100',
      'max_client_conn = 500',
      'auth_type = scram-sha-256',
      `auth_file = ${own}/users.txt`,
      'ignore_startup_parameters = extra_float_digits',
      '',
    ].join('\n'),
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(own, name), text, { mode: 0o600 });
  if (as) for (const path of [own, ...Object.keys(files).map((name) => join(own, name))]) await chown(path, as.uid, as.gid);
  return proxy(spawn(program, ['-q', join(own, 'pgbouncer.ini')], { stdio: 'ignore', ...as }), [{ ...login, name: 'pgbouncer', port }]);
}

/** A column to mask, and how, for each resource that is put before the same database. */
export interface Guard {
  readonly name: string;
  readonly columns: readonly string[];
  readonly detectors: boolean;
}

/** Ours with everything on: policy, masking and recording. One process serves all the guards, each on a port of its own. */
export async function startChaperone(folder: string, server: number, login: Login, guards: readonly Guard[]): Promise<Proxy> {
  const manifests = join(folder, 'manifests');
  await mkdir(manifests, { recursive: true });
  await writeFile(
    join(manifests, 'all.yaml'),
    manifestsFor(server, login, guards)
      .map((m) => stringify(m, { aliasDuplicateObjects: false }))
      .join('---\n'),
    { mode: 0o600 },
  );
  const ports = await Promise.all(guards.map(freePort));
  const listen = guards.flatMap(({ name }, i) => ['--listen', `${name}=127.0.0.1:${ports[i]}`]);
  const args = [
    '--disable-sigusr1',
    CLI,
    'run',
    '--manifests',
    manifests,
    '--state',
    join(folder, 'state'),
    '--workload',
    'bench/agent',
    ...listen,
  ];
  // Its lines, one for each verdict, go where a service manager would take them.
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  return proxy(
    child,
    guards.map(({ name }, i) => ({ ...login, password: 'unused', name: `chaperone ${name}`, port: ports[i] ?? 0 })),
  );
}

function manifestsFor(port: number, login: Login, guards: readonly Guard[]): object[] {
  const of = (kind: string, name: string, spec: object) => ({
    apiVersion: 'chaperone.dev/v1alpha1',
    kind,
    metadata: { name, namespace: 'bench' },
    spec,
  });
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'login', namespace: 'bench' },
    stringData: { username: login.user, password: login.password },
  };
  const postgresql = { database: login.database, users: [{ name: login.user, secretRef: { name: 'login' } }] };
  const resources = guards.map(({ name }) =>
    of('ProtectedResource', name, { protocol: 'PostgreSQL', address: { host: '127.0.0.1', port }, tls: { mode: 'Disable' }, postgresql }),
  );
  const rules = [
    { name: 'no-drop', action: 'Deny', sql: { statements: ['Drop', 'Truncate'] } },
    {
      name: 'tables',
      action: 'Allow',
      sql: { statements: ['Select', 'Insert', 'Update', 'Delete', 'Transaction', 'Set', 'Show', 'CopyTo'], relations: ['public.*'] },
    },
    { name: 'read', action: 'Allow', sql: { access: 'Read' } },
  ];
  const subjects = [{ serviceAccount: { namespace: 'bench', name: 'agent' } }];
  const policies = guards.map(({ name }) => of('AccessPolicy', name, { targetRefs: [{ name }], subjects, rules }));
  const strategy = { type: 'Null' };
  const detectors = [
    { name: 'card', type: 'Card', strategy: { type: 'Redact' } },
    { name: 'ssn', type: 'SSN', strategy: { type: 'Redact' } },
  ];
  const masks = guards.map((guard) =>
    of('MaskingRule', guard.name, {
      targetRefs: [{ name: guard.name }],
      columns: guard.columns.map((column) => ({ column, strategy })),
      ...(guard.detectors ? { detectors } : {}),
    }),
  );
  return [secret, ...resources, ...policies, ...masks];
}

async function proxy(child: ChildProcess, targets: readonly Omit<Target, 'pid'>[]): Promise<Proxy> {
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
  const stop = async () => {
    child.kill('SIGTERM');
    await Promise.race([ended, sleep(5000)]);
    kill();
    process.off('exit', kill);
  };
  for (const { name, port } of targets) {
    for (let i = 0; !(await accepts(port)); i++) {
      if (i < 400 && child.exitCode === null) await sleep(25);
      else {
        await stop();
        throw new Error(`${name} does not listen on port ${port}: ${said}`);
      }
    }
  }
  return { targets: targets.map((target) => ({ ...target, pid: child.pid ?? null })), stop };
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    }).once('error', () => resolve(false));
  });
}
