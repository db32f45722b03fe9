/**
 * `npm run mutate`: small changes to the files that decide, one at a time, each of which a test has to notice. `-- --file PATTERN` takes the files whose
 * path matches, `--only PATTERN` the mutants whose line in this report does, `--minutes N` stops after so long (`--from N` goes on there), `--list` only lists. Prints the survivors and a score. Exits 1 where
 * there is a survivor that equivalent.json does not explain.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from '../repo/tree.ts';
import { type Described, described, keyOf, readEquivalents } from './equivalent.ts';
import { type Subject, subjects } from './files.ts';
import { applied, type Mutant, mutantsOf } from './mutants.ts';
import { isRun, type Observed, Runner } from './run.ts';

/** Of a test file on a tree that nobody changed. */
const BASE_LIMIT_MS = 5 * 60_000;
/** A mutant may run in circles. */
const limitOf = (tookMs: number): number => 20_000 + 5 * tookMs;

const { values } = parseArgs({
  options: {
    file: { type: 'string', default: '.' },
    only: { type: 'string', default: '' },
    minutes: { type: 'string', default: '30' },
    from: { type: 'string', default: '0' },
    list: { type: 'boolean', default: false },
  },
});

interface Task {
  readonly subject: Subject;
  readonly source: string;
  readonly mutant: Mutant;
  readonly told: Described;
}

interface Score {
  killed: number;
  survived: number;
  equivalent: number;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

async function tasksOf(chosen: readonly Subject[]): Promise<Task[]> {
  const tasks: Task[] = [];
  for (const subject of chosen) {
    const source = await readFile(join(ROOT, subject.file), 'utf8');
    for (const mutant of mutantsOf(subject.file, source))
      tasks.push({ subject, source, mutant, told: described(subject.file, source, mutant) });
  }
  return tasks;
}

async function main(): Promise<number> {
  const pattern = new RegExp(values.file);
  const chosen = (await subjects()).filter(({ file }) => pattern.test(file));
  const only = new RegExp(values.only);
  const tasks = (await tasksOf(chosen)).filter((task) => only.test(lineOf(task)));
  if (tasks.length === 0) {
    say('nothing matches');
    return 2;
  }
  if (values.list) {
    for (const [index, task] of tasks.entries()) say(`${index} ${lineOf(task)}`);
    return 0;
  }
  const runner = await Runner.start();
  process.once('SIGINT', () => void runner.stop().then(() => process.exit(130)));
  try {
    return await judge(tasks, chosen, runner, Date.now() + Number(values.minutes) * 60_000);
  } finally {
    await runner.stop();
  }
}

async function judge(tasks: readonly Task[], chosen: readonly Subject[], runner: Runner, deadline: number): Promise<number> {
  const explained = new Map((await readEquivalents()).map((item) => [keyOf(item), item.reason]));
  const observed = await baseline(chosen, runner);
  const scores = new Map<string, Score>();
  const survivors: Task[] = [];
  let index = Number(values.from);
  for (; index < tasks.length && Date.now() < deadline; index++) {
    const task = tasks[index] as Task;
    const { file } = task.subject;
    const score = scores.get(file) ?? { killed: 0, survived: 0, equivalent: 0 };
    scores.set(file, score);
    if (explained.has(keyOf(task.told))) score.equivalent++;
    else if (await isNoticed(task, observed, runner)) score.killed++;
    else {
      score.survived++;
      survivors.push(task);
      say(`  survives: ${lineOf(task)}`);
    }
  }
  tell(scores);
  if (index < tasks.length) say(`the time is over: go on with --from ${index} of ${tasks.length}`);
  return survivors.length > 0 ? 1 : 0;
}

/** Which test file runs what, and how long it takes. */
async function baseline(chosen: readonly Subject[], runner: Runner): Promise<ReadonlyMap<string, Observed>> {
  const observed = new Map<string, Observed>();
  const files = chosen.map(({ file }) => file);
  for (const test of [...new Set(chosen.flatMap(({ tests }) => tests))]) {
    const seen = await runner.observe(test, files, BASE_LIMIT_MS);
    if (!seen.passed) throw new Error(`${test} fails by itself`);
    observed.set(test, seen);
  }
  return observed;
}

/** By the quickest tests first, and only by those that run what was changed. */
async function isNoticed({ subject, source, mutant }: Task, observed: ReadonlyMap<string, Observed>, runner: Runner): Promise<boolean> {
  const changed = applied(source, mutant);
  const able = subject.tests
    .flatMap((test) => {
      const seen = observed.get(test);
      return seen !== undefined && isRun(seen.ranges.get(subject.file) ?? [], mutant.start) ? [{ test, tookMs: seen.tookMs }] : [];
    })
    .sort((a, b) => a.tookMs - b.tookMs);
  for (const { test, tookMs } of able) if ((await runner.mutant(test, subject.file, changed, limitOf(tookMs))) !== 'passed') return true;
  return false;
}

function lineOf({ subject, source, mutant, told }: Task): string {
  const line = source.slice(0, mutant.start).split('\n').length;
  return `${subject.file}:${line}: ${mutant.what}\n      ${told.before}\n    → ${told.after}`;
}

function tell(scores: ReadonlyMap<string, Score>): void {
  const all: Score = { killed: 0, survived: 0, equivalent: 0 };
  for (const [file, score] of scores) {
    say(`${file}: ${wordsOf(score)}`);
    for (const key of ['killed', 'survived', 'equivalent'] as const) all[key] += score[key];
  }
  say(`all: ${wordsOf(all)}`);
}

function wordsOf({ killed, survived, equivalent }: Score): string {
  const of = killed + survived;
  const rate = of === 0 ? 100 : Math.floor((1000 * killed) / of) / 10;
  return `${killed} of ${of} mutants noticed (${rate} %), ${equivalent} explained as equivalent`;
}

process.exitCode = await main();
