/**
 * `npm run fuzz`: coverage-guided, for a minute. `-- --seconds N` for longer, `--target NAME` one of them, `--seed N` to tell a run again.
 * Inputs that run new code are kept in corpus/ with `--keep`; one that breaks an invariant is kept in corpus/findings and makes it exit 1.
 * `--target session` plays messages of client and server in any order through a sidecar. `--target masking` makes SQL in place of bytes: statements over the corpora's schema, against two databases that differ in their secrets alone. `--target differential` compares our
 * reading of SQL with that of real servers: which texts they take, how many statements of which kind, and whether what we call reading writes.
 */
import { parseArgs } from 'node:util';
import { loadParser } from '#sidecar/wire/postgres/sql/parse.ts';
import { readCorpus, writeCorpus, writeFinding } from './corpus.ts';
import { Coverage } from './coverage.ts';
import { fuzzDifferential } from './differential/fuzz.ts';
import { fuzzMasking } from './masking/fuzz.ts';
import { Dice, mutate } from './mutate.ts';
import { SessionFuzz } from './session.ts';
import { TARGETS, type Target } from './targets.ts';

/** Between two looks at the coverage, which cost as much. */
const BATCH_MS = 200;
const MAX_BATCH = 4096;
const MAX_RUN_MS = 2000;
const MAX_GROWTH_BYTES = 512 * 1024 * 1024;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    target: { type: 'string' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    keep: { type: 'boolean', default: false },
  },
});
const dice = new Dice(Number(values.seed));
/** Those that make SQL, and need servers. */
const SQL = { masking: fuzzMasking, differential: fuzzDifferential } as const;
const withServers = Object.entries(SQL).filter(([name]) => values.target === undefined || name === values.target);
const session = values.target === undefined || values.target === 'session' ? await SessionFuzz.start() : null;
const targets = [
  ...TARGETS.filter(({ name }) => values.target === undefined || name === values.target),
  ...(session === null ? [] : [session.target]),
];
const shareMs = (Number(values.seconds) * 1000) / (targets.length + withServers.length);
await loadParser();
const coverage = new Coverage();
await coverage.start();
let findings = 0;
process.stdout.write(`seed ${values.seed}\n`);
for (const target of targets) findings += await fuzz(target, shareMs);
coverage.stop();
await session?.stop();
for (const [, run] of withServers) findings += await run(Number(values.seed), shareMs);
process.stdout.write(`${findings} findings\n`);
process.exitCode = findings > 0 || targets.length + withServers.length === 0 ? 1 : 0;

async function fuzz(target: Target, forMs: number): Promise<number> {
  const corpus: Buffer[] = [];
  const broken = new Map<string, Buffer>();
  let runs = 0;
  const attempt = async (input: Buffer): Promise<void> => {
    runs++;
    const problem = await problemOf(target, input);
    if (problem !== null && !broken.has(problem)) broken.set(problem, input);
  };
  // Each of these is small and was worth keeping: what it runs is known already.
  const known = [...target.seeds, ...(await readCorpus(target.name))];
  for (const input of known) await attempt(input);
  coverage.keep(await coverage.fresh());
  corpus.push(...known);
  const deadline = Date.now() + forMs;
  while (Date.now() < deadline) {
    const batch: Buffer[] = [];
    for (const until = Date.now() + BATCH_MS; Date.now() < until && batch.length < MAX_BATCH; ) {
      const input = mutate(dice, dice.pick(corpus), dice.pick(corpus));
      batch.push(input);
      await attempt(input);
    }
    const fresh = await coverage.fresh();
    coverage.keep(fresh);
    corpus.push(...(await causesOf(fresh, batch, attempt)));
  }
  if (values.keep) await writeCorpus(target.name, corpus);
  process.stdout.write(`${target.name}: ${runs} runs, ${corpus.length} inputs kept, ${coverage.size} blocks seen in all\n`);
  for (const [problem, input] of broken) process.stdout.write(`  ${await writeFinding(target.name, input)}: ${problem}\n`);
  return broken.size;
}

/** The inputs that run the fresh blocks, found by halves. */
async function causesOf(
  fresh: ReadonlySet<string>,
  batch: readonly Buffer[],
  attempt: (input: Buffer) => Promise<void>,
): Promise<readonly Buffer[]> {
  if (fresh.size === 0 || batch.length === 0) return [];
  if (batch.length === 1) return batch;
  const middle = batch.length >> 1;
  const [left, right] = [batch.slice(0, middle), batch.slice(middle)];
  for (const input of left) await attempt(input);
  const inLeft = await coverage.among(fresh);
  const rest = new Set([...fresh].filter((block) => !inLeft.has(block)));
  return [...(await causesOf(inLeft, left, attempt)), ...(await causesOf(rest, right, attempt))];
}

async function problemOf({ run, maxRunMs = MAX_RUN_MS }: Target, input: Buffer): Promise<string | null> {
  const before = process.memoryUsage.rss();
  const started = performance.now();
  try {
    const running = run(input);
    if (running !== undefined) await running;
  } catch (error: unknown) {
    return error instanceof Error ? `${error.name}: ${error.message}`.split('\n', 1).join('') : 'something was thrown';
  }
  if (performance.now() - started > maxRunMs) return 'it takes too long';
  return process.memoryUsage.rss() - before > MAX_GROWTH_BYTES ? 'it takes too much memory' : null;
}
