import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type QueryResult } from 'pg';
import { installation, type Major, type RunAs, unprivilegedUser } from './binaries.ts';

export { hasPostgres, type Major } from './binaries.ts';

export interface PostgresOptions {
  /** 18 is the embedded one (default), 15 is Debian's: ask `hasPostgres(15)` first. */
  readonly major?: Major;
  /** The server's certificate and key in PEM. Plain connections are still taken. */
  readonly tls?: { readonly certPem: string; readonly keyPem: string };
  /** Roles that may log in. */
  readonly roles?: readonly { readonly name: string; readonly password: string; readonly superuser?: boolean }[];
  /** Lines of postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Created where it isn't `postgres`, which is the default. */
  readonly database?: string;
  /** Run as the superuser in `database`. */
  readonly initSql?: string;
}

type Row = Record<string, unknown>;

export interface Postgres {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** For scram-sha-256 over TCP, like every role. */
  readonly superuser: { readonly user: string; readonly password: string };
  readonly database: string;
  /** Runs SQL as the superuser in `database` over a connection of its own; the rows of the last statement. */
  query(sql: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Stops the server and removes its folder. Safe to call twice. */
  stop(): Promise<void>;
}

/**
 * Starts a real PostgreSQL on 127.0.0.1 and a free port, with data in a folder of its own. It also ends, and its folder
 * goes, when this process ends without stop(), however it ends.
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const as = await unprivilegedUser();
  const { bin, template } = await installation(options.major ?? 18, as);
  const database = options.database ?? 'postgres';
  for (let attempt = 1; ; attempt++) {
    const server = await launch(bin, template, as, options);
    if (server === 'port taken' && attempt < 5) continue;
    if (server === 'port taken') throw new Error('no free port for PostgreSQL');
    const { folder, port, stop } = server;
    const password = generatePassword();
    const query: Postgres['query'] = (sql, values) => once({ host: folder, port, database, user: 'postgres' }, sql, values);
    try {
      if (database !== 'postgres')
        await once({ host: folder, port, database: 'postgres', user: 'postgres' }, `CREATE DATABASE ${identifier(database)}`);
      await query([`ALTER ROLE postgres PASSWORD ${literal(password)}`, ...(options.roles ?? []).map(createRole)].join('; '));
      if (options.initSql) await query(options.initSql);
    } catch (error) {
      await stop();
      throw error;
    }
    return { host: '127.0.0.1', port, superuser: { user: 'postgres', password }, database, query, stop };
  }
}

/** Letters and digits only, so that it can stand in any URL or file. */
export function generatePassword(): string {
  return randomBytes(18).toString('hex');
}

export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/**
 * Runs the server and outlives us by a moment: when our end of its standard input closes, it stops the server and
 * removes the folder. It is a shell, because a shell is small and everywhere; it has a session of its own, so that Ctrl-C is for us alone.
 */
const GUARD = `
exec 3<&0 </dev/null
folder=$1 template=$2 postgres=$3
cp -R "$template" "$folder/data" && chmod 700 "$folder/data" && {
  "$postgres" -D "$folder/data" -c config_file="$folder/postgresql.conf" -c hba_file="$folder/pg_hba.conf" 3<&- &
  server=$!
  ( read -r _ <&3; kill -QUIT $server ) 2>/dev/null &
  wait $server
  kill $! 2>/dev/null
}
cat <&3 >/dev/null
rm -rf "$folder"
`;

type Launched = { readonly folder: string; readonly port: number; readonly stop: () => Promise<void> };

async function launch(bin: string, template: string, as: RunAs | null, options: PostgresOptions): Promise<Launched | 'port taken'> {
  const folder = await mkdtemp(join(tmpdir(), 'chaperone-pg-'));
  const port = await freePort();
  await writeSettings(folder, port, as, options);
  if (as) await chown(folder, as.uid, as.gid);
  const log = join(folder, 'server.log');
  const command = ['-c', `exec >${shellQuoted(log)} 2>&1\n${GUARD}`, 'postgres-guard', folder, template, join(bin, 'postgres')];
  const guard = spawn('/bin/sh', command, {
    cwd: '/',
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    ...as,
  });
  guard.unref();
  (guard.stdin as unknown as { unref(): void }).unref();
  const stop = () => stopped(guard);
  for (const started = Date.now(); ; await sleep(15)) {
    const status = await readFile(join(folder, 'data/postmaster.pid'), 'utf8').catch(() => '');
    if (status.split('\n')[7]?.trim() === 'ready') return { folder, port, stop };
    const said = await readFile(log, 'utf8').catch(() => '');
    const late = Date.now() - started > 60_000;
    if (late || /FATAL|PANIC|cp: |not found/.test(said) || guard.exitCode !== null) {
      await stop();
      if (/could not bind|could not create any TCP/.test(said)) return 'port taken';
      throw new Error(`PostgreSQL did not start: ${said}`);
    }
  }
}

async function stopped(guard: ChildProcess): Promise<void> {
  if (guard.exitCode !== null || guard.signalCode !== null) return;
  guard.ref();
  const exit = new Promise((resolve) => guard.once('exit', resolve));
  guard.stdin?.end();
  await exit;
}

async function writeSettings(folder: string, port: number, as: RunAs | null, options: PostgresOptions): Promise<void> {
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    // Ours alone: the folder is 0700. The superuser's own queries come in here without a password.
    unix_socket_directories: folder,
    password_encryption: 'scram-sha-256',
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    ...(options.tls ? { ssl: 'on', ssl_cert_file: join(folder, 'server.crt'), ssl_key_file: join(folder, 'server.key') } : {}),
    ...options.settings,
  };
  const files: Record<string, string> = {
    'postgresql.conf': Object.entries(settings)
      .map(([name, value]) => `${name} = ${literal(value)}\n`)
      .join(''),
    'pg_hba.conf': 'local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n',
    ...(options.tls ? { 'server.crt': options.tls.certPem, 'server.key': options.tls.keyPem } : {}),
  };
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text, { mode: 0o600 });
    if (as) await chown(join(folder, name), as.uid, as.gid);
  }
}

async function once(config: { host: string; port: number; database: string; user: string }, sql: string, values?: readonly unknown[]) {
  const client = new Client(config);
  await client.connect();
  try {
    const result: QueryResult<Row> | QueryResult<Row>[] = await (values ? client.query<Row>(sql, [...values]) : client.query<Row>(sql));
    return [result].flat().at(-1)?.rows ?? [];
  } finally {
    await client.end();
  }
}

function createRole(role: { readonly name: string; readonly password: string; readonly superuser?: boolean }): string {
  return `CREATE ROLE ${identifier(role.name)} LOGIN ${role.superuser ? 'SUPERUSER ' : ''}PASSWORD ${literal(role.password)}`;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
