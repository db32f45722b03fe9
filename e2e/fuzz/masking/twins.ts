/** Two databases of one server that differ in their secrets alone, and a sidecar before both. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ACCOUNTS, open, statementsOf } from '../../corpora/databases.ts';
import { type CorpusSidecar, startCorpusSidecar } from '../../corpora/sidecar.ts';
import { type Major, type Postgres, startPostgres } from '../../postgres/server.ts';
import { CALLABLE_TYPES, type ServerFunction } from './expressions.ts';
import { MASKED_COLUMNS, MORE_SCHEMA, OTHER_SECRETS } from './schema.ts';

const CORPORA = join(import.meta.dirname, '../../corpora');
const SIDES = ['left', 'right'] as const;
export type Side = (typeof SIDES)[number];
const MODES = ['SourceMasked', 'Strict'] as const;
export type Mode = (typeof MODES)[number];

export interface Twins {
  readonly server: Postgres;
  readonly functions: readonly ServerFunction[];
  portOf(side: Side, mode: Mode): number;
  stop(): Promise<void>;
}

/** Answers of these are others from run to run, or take long, or end what others use. */
const RESTLESS =
  /(random|uuid|clock|timeofday|now$|_timestamp|sleep|pg_backend|txid|xid|_time$|_size$|wal|lsn|snapshot|cancel|terminate|advisory|stat_|reload|rotate|shutdown|promote|backup|checkpoint|pg_log|control_|tablespace|current_logfile|conf_load|inet_client|inet_server|pg_trigger_depth|getpgusername|pg_export|pg_switch|salt|gen_|setseed|statement_|transaction_|pg_notification|safe_snapshot|blocking_pids|age$)/;

export async function startTwins(major: Major): Promise<Twins> {
  const server = await startPostgres({ major, settings: { autovacuum: 'off', max_parallel_workers_per_gather: '0' } });
  let sidecar: CorpusSidecar | null = null;
  try {
    await server.query('CREATE DATABASE "left"');
    await run(server, 'left', statementsOf(await readFile(join(CORPORA, 'pg-corpus-schema.sql'), 'utf8')));
    await run(server, 'left', ['SET ROLE app', ...statementsOf(MORE_SCHEMA), 'RESET ROLE', 'ANALYZE']);
    // A copy, so that the OIDs are the same.
    await server.query('CREATE DATABASE "right" TEMPLATE "left"');
    await run(server, 'right', statementsOf(OTHER_SECRETS));
    sidecar = await startCorpusSidecar(manifests(server.port));
    const started = sidecar;
    return {
      server,
      functions: await functionsOf(server, 'left'),
      portOf: (side, mode) => started.portOf(`${side}-${mode.toLowerCase()}`),
      stop: async () => {
        await started.stop();
        await server.stop();
      },
    };
  } catch (error: unknown) {
    await sidecar?.stop();
    await server.stop();
    throw error;
  }
}

async function run(server: Postgres, database: string, statements: readonly string[]): Promise<void> {
  const client = await open(server, database);
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

/** Those that can be called with what the grammar makes. */
export async function functionsOf(server: Postgres, database: string): Promise<readonly ServerFunction[]> {
  const client = await open(server, database);
  try {
    const sql = `SELECT DISTINCT p.proname AS name, (SELECT coalesce(array_agg(t.typname ORDER BY a.n), '{}') FROM unnest(p.proargtypes) WITH ORDINALITY a(oid, n)
      JOIN pg_type t ON t.oid = a.oid)::text[] AS arguments FROM pg_proc p WHERE p.prokind IN ('f', 'a') AND p.pronargs BETWEEN 1 AND 4 ORDER BY 1, 2`;
    const { rows } = await client.query<{ name: string; arguments: string[] }>(sql);
    return rows.filter(({ name, arguments: types }) => !RESTLESS.test(name) && types.every((type) => CALLABLE_TYPES.includes(type)));
  } finally {
    await client.end();
  }
}

function manifests(port: number): string {
  const { user, password } = ACCOUNTS.app;
  const columns = MASKED_COLUMNS.map((column) => `{column: ${column}, strategy: {type: Redact}}`).join(', ');
  const of = (side: Side, mode: Mode): string => `
---
apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: ${side}-${mode.toLowerCase()}, namespace: corpus}
spec:
  protocol: PostgreSQL
  address: {host: 127.0.0.1, port: ${port}}
  tls: {mode: Disable}
  agentToken: Ignore
  postgresql: {database: "${side}", users: [{name: ${user}, secretRef: {name: ${user}}}]}
---
apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: ${side}-${mode.toLowerCase()}, namespace: corpus}
spec:
  targetRefs: [{name: ${side}-${mode.toLowerCase()}}]
  subjects: [{serviceAccount: {namespace: corpus, name: agent}}]
  rules: [{name: everything, action: Allow}]
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: ${side}-${mode.toLowerCase()}, namespace: corpus}
spec:
  targetRefs: [{name: ${side}-${mode.toLowerCase()}}]
  predicates: ${mode}
  columns: [${columns}]`;
  return `${SIDES.flatMap((side) => MODES.map((mode) => of(side, mode))).join('\n')}
---
apiVersion: v1
kind: Secret
metadata: {name: ${user}, namespace: corpus}
stringData: {username: ${user}, password: ${password}}
`;
}
