/** Runs test files in a process of their own, on the tree as it is or with one file changed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ROOT } from '../repo/tree.ts';
import type { Range } from './hook.ts';

const HERE = import.meta.dirname;
const NICE = 10;

export interface Observed {
  readonly passed: boolean;
  readonly tookMs: number;
  /** By path in the tree. */
  readonly ranges: ReadonlyMap<string, readonly Range[]>;
}

export class Runner {
  readonly #folder: string;
  #child: ChildProcess | null = null;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  static async start(): Promise<Runner> {
    return new Runner(await mkdtemp(join(tmpdir(), 'chaperone-mutate-')));
  }

  async stop(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Which parts of the files a test file runs, and whether it passes at all. */
  async observe(test: string, files: readonly string[], limitMs: number): Promise<Observed> {
    const to = join(this.#folder, 'coverage.json');
    const began = Date.now();
    const ended = await this.#run(test, `observe(${JSON.stringify(files.map(urlOf))}, ${JSON.stringify(to)})`, limitMs, false);
    const tookMs = Date.now() - began;
    const text = ended === 'passed' ? await readFile(to, 'utf8') : '{}';
    const byUrl = JSON.parse(text) as Record<string, Range[]>;
    return { passed: ended === 'passed', tookMs, ranges: new Map(files.map((file) => [file, byUrl[urlOf(file)] ?? []])) };
  }

  /** `late`: it had not ended after `limitMs`. */
  async mutant(test: string, file: string, source: string, limitMs: number): Promise<'passed' | 'failed' | 'late'> {
    return this.#run(test, `swap(${JSON.stringify(urlOf(file))}, ${JSON.stringify(source)})`, limitMs, true);
  }

  async #run(test: string, call: string, limitMs: number, bails: boolean): Promise<'passed' | 'failed' | 'late'> {
    const start = join(this.#folder, 'start.mjs');
    const hook = pathToFileURL(join(HERE, 'hook.ts')).href;
    await writeFile(start, `import { observe, swap } from ${JSON.stringify(hook)};\n${call};\n`);
    const reporter = bails ? ['--test-reporter', join(HERE, 'bail.ts')] : ['--test-reporter', 'dot'];
    const child = spawn(process.execPath, ['--no-warnings', '--import', start, ...reporter, join(ROOT, test)], {
      cwd: ROOT,
      stdio: 'ignore',
    });
    this.#child = child;
    if (child.pid !== undefined) setPriority(child.pid, NICE);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        resolve('late');
        child.kill('SIGKILL');
      }, limitMs);
      child.once('error', reject);
      child.once('exit', (code) => {
        clearTimeout(timer);
        resolve(code === 0 ? 'passed' : 'failed');
      });
    });
  }
}

/** The innermost range decides. */
export function isRun(ranges: readonly Range[], at: number): boolean {
  let inner: Range | null = null;
  for (const range of ranges) {
    if (range.start > at || at >= range.end) continue;
    if (inner === null || range.end - range.start <= inner.end - inner.start) inner = range;
  }
  return inner?.run === true;
}

function urlOf(file: string): string {
  return pathToFileURL(join(ROOT, file)).href;
}
