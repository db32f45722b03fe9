import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { ROOT } from './tree.ts';

export interface Step {
  readonly name: string;
  /** A program of node_modules/.bin, `node` for the one that runs us, or a path. */
  readonly command: readonly [program: string, ...args: string[]];
  /** Shown as it comes, not only on failure. */
  readonly live?: boolean;
}

/** Runs the steps one after the other, a line for each with its time, and what a failed one said. Resolves with the number that failed. */
export async function runSteps(steps: readonly Step[]): Promise<number> {
  const started = Date.now();
  let failed = 0;
  for (const step of steps) {
    const before = Date.now();
    const { code, said } = await run(step);
    if (code !== 0) failed++;
    if (code !== 0) process.stdout.write(`${said.trimEnd()}\n`);
    process.stdout.write(`${code === 0 ? '✔' : '✖'} ${step.name.padEnd(22)} ${seconds(Date.now() - before)}\n`);
  }
  process.stdout.write(`\n${steps.length - failed} passed, ${failed} failed in ${seconds(Date.now() - started).trim()}\n`);
  return failed;
}

async function run({ command: [program, ...args], live }: Step): Promise<{ code: number | null; said: string }> {
  const path = program === 'node' ? process.execPath : join(ROOT, 'node_modules/.bin', program);
  // Some of these programs are scripts that start with `env node`: they get ours, not the machine's.
  const command = program === 'node' ? [path, ...args] : [process.execPath, path, ...args];
  const child = spawn(command[0] ?? '', command.slice(1), {
    cwd: ROOT,
    stdio: ['ignore', live ? 'inherit' : 'pipe', live ? 'inherit' : 'pipe'],
  });
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, said };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1).padStart(6)} s`;
}
