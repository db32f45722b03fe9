/**
 * `npm run bench`: ratios between a direct connection, haproxy, pgbouncer and ours with everything on, on this machine.
 * `-- --quick` takes under a minute and is no more than a smoke test; `--json` prints the measurements; `--write` writes bench/RESULTS.md.
 * `--load simple,1` (again for more) measures that load alone, without the bulk read, and `--rounds 21` so many times.
 */
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { versionAndCommit } from '#cli/version.ts';
import { hasProgram } from '#e2e/clients/programs.ts';
import { MEMORY, measure, type Options } from './measure.ts';
import { type Summary, summarise, tableOf } from './report.ts';

const FULL: Options = {
  warmUpSeconds: 6,
  rounds: 7,
  seconds: 1,
  loads: (['simple', 'prepared'] as const).flatMap((protocol) => [1, 8, 32].map((clients) => ({ protocol, clients }))),
  bulkRounds: 3,
  bulkRows: 500_000,
  scale: 10,
};
const QUICK: Options = {
  warmUpSeconds: 1,
  rounds: 2,
  seconds: 1,
  loads: [
    { protocol: 'simple', clients: 1 },
    { protocol: 'prepared', clients: 8 },
  ],
  bulkRounds: 1,
  bulkRows: 100_000,
  scale: 1,
};

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      quick: { type: 'boolean' },
      json: { type: 'boolean' },
      write: { type: 'boolean' },
      load: { type: 'string', multiple: true },
      rounds: { type: 'string' },
    },
  });
  if (!hasProgram('pgbench')) {
    process.stderr.write('pgbench is not on this machine: Debian has it in the package postgresql-15\n');
    return 1;
  }
  const built = spawnSync(process.execPath, [fileURLToPath(new URL('../e2e/repo/build.ts', import.meta.url))], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  if (built.status !== 0) return 1;
  const options = asked(values.quick ? QUICK : FULL, values);
  const started = Date.now();
  const [loadBefore = 0] = loadavg();
  const summaries = summarise(await measure(options, (text) => process.stderr.write(`${text}\n`)));
  const report = reportOf(summaries, options, Math.round((Date.now() - started) / 1000), loadBefore);
  process.stdout.write(values.json ? `${JSON.stringify({ machine: machine(), options, summaries }, null, 2)}\n` : report);
  if (values.write) await writeFile(new URL('RESULTS.md', import.meta.url), report);
  return 0;
}

function asked(
  options: Options,
  { load, rounds }: { readonly load?: string[] | undefined; readonly rounds?: string | undefined },
): Options {
  const loads = load?.map((text) => {
    const [, protocol, clients] = /^(simple|prepared),([1-9]\d{0,2})$/.exec(text) ?? [];
    if (protocol !== 'simple' && protocol !== 'prepared') throw new Error(`--load ${text}: write simple,1 or prepared,8`);
    return { protocol, clients: Number(clients) } as const;
  });
  return {
    ...options,
    ...(loads !== undefined && { loads, bulkRounds: 0, bulkRows: 1 }),
    ...(rounds !== undefined && { rounds: Number(rounds) }),
  };
}

function reportOf(
  summaries: readonly Summary[],
  { warmUpSeconds, rounds, seconds }: Options,
  tookSeconds: number,
  loadBefore: number,
): string {
  const spread = Math.max(...summaries.filter((s) => s.unit === 'transactions/s').map((s) => s.spread));
  return `# What the sidecar costs

Written by \`npm run bench -- --write\` in ${tookSeconds} s. Medians of ${rounds} interleaved rounds of ${seconds} s: every target once in each round,
with client, proxy and server on one machine; a ratio is the median of the rounds' ratios. Before they are counted all targets serve each protocol
for ${warmUpSeconds} s: what is compared is the steady state, and a runtime that compiles as it goes needs a while to reach it. Ratios carry over to another machine, the numbers themselves don't; neither carries over from a machine that was busy. Here the load was
${loadBefore.toFixed(1)} before the start, and rounds differed by up to ±${Math.round(spread * 100)} %.

${machine()
  .map((line) => `- ${line}`)
  .join('\n')}
- haproxy with one thread in TCP mode; pgbouncer with session pooling; ours, as bundled, with policy, masking and recording on, one process
- *mask elsewhere*: a MaskingRule on another table; *table masked*: on the table that is read; *and detectors*: two detectors over every row as well

## One SELECT by primary key (\`pgbench -S\`)

In brackets: as part of direct.

${tableOf(summaries, 'transactions/s', 'direct')}

In brackets: as part of haproxy.

${tableOf(summaries, 'ms of latency', 'haproxy')}

${tableOf(summaries, 'µs of CPU a query', 'haproxy')}

## A bulk read of five columns, one of them masked

In brackets: as part of direct.

${tableOf(summaries, 'rows/s', 'direct')}

${tableOf(summaries, 'MB/s', 'direct')}

${tableOf(summaries, 'ms of CPU a MB', 'haproxy')}

## Memory of the proxy

${tableOf(summaries, MEMORY)}
`;
}

function machine(): string[] {
  const { version, commit } = versionAndCommit();
  const gigabytes = Math.round(totalmem() / 2 ** 30);
  return [
    `chaperone ${version} (${commit ?? 'no commit'}), Node ${process.versions.node}, PostgreSQL 18`,
    `${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${availableParallelism()} cores, ${gigabytes} GiB, ${type()} ${release()}`,
  ];
}

process.exitCode = await main();
