import { chmodSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runClient } from '#e2e/clients/programs.ts';
import { generatePassword, startPostgres } from '#e2e/postgres/server.ts';
import { readBulk } from './bulk.ts';
import { type Load, runPgbench } from './pgbench.ts';
import { residentMb } from './process.ts';
import type { Measurement } from './report.ts';
import { startChaperone, startHaproxy, startPgbouncer, type Target } from './targets.ts';

export interface Options {
  /** Of load on each target, with each protocol, before anything is counted: the same for all. */
  readonly warmUpSeconds: number;
  readonly rounds: number;
  /** Of each run of pgbench. */
  readonly seconds: number;
  readonly loads: readonly Pick<Load, 'protocol' | 'clients'>[];
  readonly bulkRounds: number;
  readonly bulkRows: number;
  /** Of pgbench's tables: 100,000 accounts each. */
  readonly scale: number;
}

/** Ours, three times: with a mask on another table, on the table that is read, and with detectors over every row as well. */
const GUARDS = [
  { title: 'chaperone, mask elsewhere', name: 'elsewhere', columns: ['public.other.secret'], detectors: false },
  {
    title: 'chaperone, table masked',
    name: 'masked',
    columns: ['public.pgbench_accounts.abalance', 'public.bulk.email'],
    detectors: false,
  },
  {
    title: 'chaperone, and detectors',
    name: 'detectors',
    columns: ['public.pgbench_accounts.abalance', 'public.bulk.email'],
    detectors: true,
  },
] as const;

/** Starts the server and all the ways to it, measures, and stops them. */
export async function measure(options: Options, say: (text: string) => void): Promise<Measurement[]> {
  const folder = mkdtempSync(join(tmpdir(), 'chaperone-bench-'));
  chmodSync(folder, 0o755);
  const login = { user: 'bench', password: generatePassword(), database: 'bench' };
  const undo: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })];
  try {
    const postgres = await startPostgres({
      database: login.database,
      roles: [{ name: login.user, password: login.password }],
      settings: { max_connections: '300', shared_buffers: '512MB', max_wal_size: '4GB', autovacuum: 'off' },
      initSql: 'GRANT ALL ON DATABASE bench TO bench; GRANT ALL ON SCHEMA public TO bench',
    });
    undo.push(() => postgres.stop());
    const direct: Target = { ...login, name: 'direct', port: postgres.port, pid: null };
    const targets = [direct];
    await fill(direct, options);
    for (const start of [startHaproxy, startPgbouncer]) {
      const proxy = await start(folder, postgres.port, login);
      if (proxy === null) say(`${start.name.slice(5).toLowerCase()} is not on this machine: left out`);
      else undo.push(() => proxy.stop());
      targets.push(...(proxy?.targets ?? []));
    }
    for (const { title, ...guard } of GUARDS) {
      const proxy = await startChaperone(join(folder, guard.name), postgres.port, login, [guard]);
      undo.push(() => proxy.stop());
      targets.push(...proxy.targets.map((target) => ({ ...target, name: title })));
    }
    const series = new Series(targets);
    for (const target of targets) series.add('idle', target, { [MEMORY]: residentMb(target.pid) });
    await measurePgbench(series, options, say);
    await measureBulk(series, options, say);
    return series.measurements();
  } finally {
    for (const step of undo.toReversed()) await step();
  }
}

export const MEMORY = 'MB of memory';
const BULK_SQL = 'SELECT id, name, email, note, at FROM bulk';

async function fill(direct: Target, { scale, bulkRows }: Options): Promise<void> {
  const run = async (program: string, ...args: string[]) => {
    const { code, stderr } = await runClient(program, args, { ...direct, host: '127.0.0.1' });
    if (code !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
  };
  await run('pgbench', '-i', '-q', '-s', String(scale));
  const columns = "i AS id, 'name ' || i AS name, 'user' || i || '@example.com' AS email, repeat('note ', 10) AS note, now() AS at";
  await run('psql', '-X', '-q', '-c', 'CREATE TABLE other (id int, secret text)');
  await run('psql', '-X', '-q', '-c', `CREATE TABLE bulk AS SELECT ${columns} FROM generate_series(1, ${bulkRows}) AS i`);
  await run('psql', '-X', '-q', '-c', 'VACUUM ANALYZE');
}

async function measurePgbench(
  series: Series,
  { warmUpSeconds, rounds, seconds, loads }: Options,
  say: (text: string) => void,
): Promise<void> {
  for (const protocol of new Set(loads.map((load) => load.protocol))) {
    say(`warm-up, ${protocol}`);
    for (const target of series.targets) await runPgbench(target, { protocol, clients: 2, seconds: warmUpSeconds });
  }
  for (const { protocol, clients } of loads) {
    const name = `${protocol}, ${clients} ${clients === 1 ? 'client' : 'clients'}`;
    say(`pgbench -S, ${name}`);
    for (const target of series.inTurns(rounds)) {
      const { tps, latencyMs, cpuUs, memoryMb } = await runPgbench(target, { protocol, clients, seconds });
      series.add(name, target, { 'transactions/s': tps, 'ms of latency': latencyMs, 'µs of CPU a query': cpuUs, [MEMORY]: memoryMb });
    }
  }
}

async function measureBulk(series: Series, { bulkRounds, bulkRows }: Options, say: (text: string) => void): Promise<void> {
  const name = `bulk read, ${bulkRows} rows`;
  say(name);
  for (const target of series.inTurns(bulkRounds)) {
    const { rows, rowsPerSecond, megabytesPerSecond, cpuMsPerMb, memoryMb } = await readBulk(target, BULK_SQL);
    if (rows !== bulkRows) throw new Error(`${target.name} gave ${rows} rows instead of ${bulkRows}`);
    series.add(name, target, { 'rows/s': rowsPerSecond, 'MB/s': megabytesPerSecond, 'ms of CPU a MB': cpuMsPerMb, [MEMORY]: memoryMb });
  }
}

class Series {
  readonly targets: readonly Target[];
  readonly #values = new Map<string, { case: string; unit: string; target: string; values: number[] }>();

  constructor(targets: readonly Target[]) {
    this.targets = targets;
  }

  /** Each round has every target once, in an order that turns: a slow minute of the machine is shared by all. */
  *inTurns(rounds: number): Generator<Target> {
    for (let round = 0; round < rounds; round++) {
      yield* this.targets.map((_, i) => this.targets[(i + round) % this.targets.length]).filter((target) => target !== undefined);
    }
  }

  add(name: string, target: Target, numbers: Readonly<Record<string, number | null>>): void {
    for (const [unit, value] of Object.entries(numbers)) {
      if (value === null) continue;
      const key = `${name}\n${unit}\n${target.name}`;
      const entry = this.#values.get(key) ?? { case: name, unit, target: target.name, values: [] };
      entry.values.push(value);
      this.#values.set(key, entry);
    }
  }

  /** In the order in which targets were started, not in which they were first measured. */
  measurements(): Measurement[] {
    const order = this.targets.map(({ name }) => name);
    return [...this.#values.values()].sort((a, b) => order.indexOf(a.target) - order.indexOf(b.target));
  }
}
