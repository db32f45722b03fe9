/** One of the two sides: a fresh server, and psql running one file of the suite after another in it, as pg_regress does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Major, type Postgres, startPostgres } from '../postgres/server.ts';
import { DATABASE, startAllowAll } from './sidecar.ts';

/** What pg_regress sets in its database. */
const SETTINGS = {
  lc_messages: 'C',
  lc_monetary: 'C',
  lc_numeric: 'C',
  lc_time: 'C',
  bytea_output: 'hex',
  timezone_abbreviations: 'Default',
};

export interface Side {
  /** All that psql prints for a file. */
  run(file: string): Promise<string>;
  stop(): Promise<void>;
}

export async function startSide(major: Major, sources: string, through: 'direct' | 'sidecar'): Promise<Side> {
  const settings = { autovacuum: 'off', max_prepared_transactions: '2', max_connections: '40' };
  const server = await startPostgres({ major, settings, database: DATABASE });
  for (const [name, value] of Object.entries(SETTINGS)) await server.query(`ALTER DATABASE ${DATABASE} SET ${name} TO '${value}'`);
  const sidecar = through === 'sidecar' ? await startAllowAll(server) : null;
  const results = await mkdtemp(join(tmpdir(), 'chaperone-regress-'));
  await chmod(results, 0o777);
  // The server reads it, as a user who may not look into our home.
  await cp(join(sources, 'data'), join(results, 'data'), { recursive: true });
  await mkdir(join(results, 'results'));
  await chmod(join(results, 'results'), 0o777);
  const env = environment(server, sidecar?.portOf('db') ?? server.port, results);
  return {
    // Where a file that it writes is said to be is not the same on both sides.
    run: async (file) => (await psql(join(sources, 'sql', `${file}.sql`), env, results)).replaceAll(results, '/results'),
    stop: async () => {
      await sidecar?.stop();
      await server.stop();
      await rm(results, { recursive: true, force: true });
    },
  };
}

function environment(server: Postgres, port: number, results: string): Record<string, string> {
  return {
    PATH: '/usr/bin:/bin',
    HOME: '/nonexistent',
    LC_ALL: 'C',
    PGHOST: '127.0.0.1',
    PGPORT: String(port),
    PGUSER: server.superuser.user,
    PGPASSWORD: server.superuser.password,
    PGDATABASE: DATABASE,
    PGTZ: 'PST8PDT',
    PGDATESTYLE: 'Postgres, MDY',
    PGOPTIONS: '-c intervalstyle=postgres_verbose',
    PG_ABS_SRCDIR: results,
    PG_ABS_BUILDDIR: results,
    PG_LIBDIR: '/nonexistent',
    PG_DLSUFFIX: '.so',
  };
}

async function psql(file: string, env: Record<string, string>, cwd: string): Promise<string> {
  const options = ['-X', '-a', '-q', '-v', 'HIDE_TABLEAM=on', '-v', 'HIDE_TOAST_COMPRESSION=on'];
  const child = spawn('/bin/sh', ['-c', 'file=$1; shift; exec psql "$@" <"$file" 2>&1', 'psql', file, ...options], {
    env,
    cwd,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const timer = setTimeout(() => child.kill(), 300_000);
  await once(child, 'close');
  clearTimeout(timer);
  return Buffer.concat(chunks).toString('latin1');
}
