/**
 * `npm run regress`: PostgreSQL's own regression SQL, file by file as pg_regress runs it, on two fresh servers: on one directly, on the other through
 * a sidecar that allows all. What psql prints has to be the same, but for what by-design.ts lists.
 * `-- --only REGEX` runs the files that match (and those that all need), `--quick` leaves out those that take longest, `--postgres 18` takes the embedded server.
 * `--keep DIR` writes both outputs there.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compare } from './by-design.ts';
import { type Side, startSide } from './side.ts';
import { regressionSources } from './sources.ts';

/** Makes the tables that the others read. */
const FIRST = 'test_setup';

/** About half of the time of all, and nothing that the others build on. */
const SLOW: ReadonlySet<string> = new Set(
  `foreign_key alter_table publication partition_prune partition_join partition_aggregate indexing updatable_views join_hash insert foreign_data
  stats_ext stats tablespace select_parallel regex tsearch memoize tuplesort horology polygon`.split(/\s+/),
);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      postgres: { type: 'string', default: '15' },
      keep: { type: 'string' },
    },
  });
  if (values.postgres !== '15' && values.postgres !== '18') return wrong('--postgres is 15 or 18');
  const major = values.postgres === '15' ? 15 : 18;
  const sources = await regressionSources();
  const only = values.only === undefined ? null : new RegExp(values.only);
  const chosen = (file: string) => file === FIRST || ((only?.test(file) ?? true) && !(values.quick && SLOW.has(file)));
  const files = (await schedule(sources)).filter(chosen);
  const [direct, ours] = [await startSide(major, sources, 'direct'), await startSide(major, sources, 'sidecar')];
  const failed: string[] = [];
  const left = new Map<string, number>();
  try {
    for await (const { file, outputs } of both(direct, ours, files)) {
      if (values.keep !== undefined) await keep(values.keep, file, outputs);
      const { difference, stale, differing } = compare(file, ...outputs);
      for (const { why } of differing) left.set(why, (left.get(why) ?? 0) + 1);
      if (difference !== null) say(`  ${file} differs at ${difference}`);
      for (const { from } of stale) say(`  ${file} no longer differs at ${from}`);
      if (difference !== null || stale.length > 0) failed.push(file);
    }
  } finally {
    await Promise.all([direct.stop(), ours.stop()]);
  }
  for (const [why, places] of left) say(`${places} ${places === 1 ? 'place' : 'places'} by design: ${why}`);
  say(`${files.length - failed.length} files equal, ${failed.length} differ${failed.length > 0 ? `: ${failed.join(' ')}` : ''}`);
  say(`${files.length - failed.length} passed, ${failed.length} failed`);
  return failed.length > 0 ? 1 : 0;
}

/** Each side at its own pace: they share nothing. */
async function* both(direct: Side, ours: Side, files: readonly string[]) {
  const runs = [direct, ours].map((side) => {
    const outputs: Promise<string>[] = [];
    for (const [index, file] of files.entries()) {
      const before = outputs[index - 1] ?? Promise.resolve('');
      outputs.push(before.then(() => side.run(file)));
    }
    for (const output of outputs) output.catch(() => undefined);
    return outputs;
  });
  for (const [index, file] of files.entries()) {
    yield { file, outputs: [(await runs[0]?.[index]) ?? '', (await runs[1]?.[index]) ?? ''] as const };
  }
}

async function schedule(sources: string): Promise<string[]> {
  const lines = (await readFile(join(sources, 'parallel_schedule'), 'utf8')).split('\n');
  return lines.filter((line) => line.startsWith('test: ')).flatMap((line) => line.slice(6).trim().split(/\s+/));
}

async function keep(folder: string, file: string, outputs: readonly [string, string]): Promise<void> {
  for (const [index, side] of ['direct', 'sidecar'].entries()) {
    await mkdir(join(folder, side), { recursive: true });
    await writeFile(join(folder, side, file), outputs[index] ?? '', 'latin1');
  }
}

function wrong(message: string): number {
  process.stderr.write(`${message}\n`);
  return 2;
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

process.exitCode = await main();
