import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Program {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  /** Folder that gets `run/NAME` (who it is) and `logs/NAME.log` (all that it says). */
  readonly dir: string;
  /** `us`: it dies with the process that started it, however that ends. `stop`: it lives until it is stopped. */
  readonly until: 'us' | 'stop';
  readonly environment?: Readonly<Record<string, string>>;
}

/** Starts a program that goes on in the background, and records its process id with its start time, so that no other process is ever stopped in its place. */
export async function start({ name, command, args, dir, until, environment = {} }: Program): Promise<void> {
  mkdirSync(join(dir, 'run'), { recursive: true });
  mkdirSync(join(dir, 'logs'), { recursive: true });
  const log = openSync(logFile(dir, name), 'a', 0o600);
  const own = Object.entries(environment).map(([key, value]) => `${key}=${value}`);
  const whole = [...(until === 'us' ? ['setpriv', '--pdeathsig', 'KILL'] : []), 'env', '-u', 'KUBECONFIG', ...own, command, ...args];
  const child = spawn(whole[0] ?? '', whole.slice(1), { cwd: '/', stdio: ['ignore', log, log], detached: true });
  closeSync(log);
  await once(child, 'spawn');
  child.unref();
  writeFileSync(recordFile(dir, name), `${child.pid} ${startTimeOf(child.pid ?? 0)}`);
}

/** True while the program that was recorded under this name lives. */
export function isRunning(dir: string, name: string): boolean {
  return recorded(dir, name) !== null;
}

/** SIGTERM, and SIGKILL where that isn't enough. Does nothing where it doesn't run. */
export async function stop(dir: string, name: string, graceMs = 10_000): Promise<void> {
  signal(dir, name, 'SIGTERM');
  const deadline = Date.now() + graceMs;
  while (isRunning(dir, name) && Date.now() < deadline) await sleep(20);
  signal(dir, name, 'SIGKILL');
  while (isRunning(dir, name)) await sleep(20);
  rmSync(recordFile(dir, name), { force: true });
}

export function signal(dir: string, name: string, which: NodeJS.Signals): void {
  const pid = recorded(dir, name);
  if (pid === null) return;
  try {
    process.kill(pid, which);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** The end of what it said, for an error message. */
export function lastWords(dir: string, name: string): string {
  return readText(logFile(dir, name)).split('\n').slice(-15).join('\n');
}

/** When a process began, in the kernel's ticks; null for one that is gone or only waits to be reaped. */
export function startTimeOf(pid: number): string | null {
  const text = readText(`/proc/${pid}/stat`);
  // The second field, the program's name, may hold spaces and brackets.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' || fields[0] === '' ? null : (fields[19] ?? null);
}

function recorded(dir: string, name: string): number | null {
  const [pid, started] = readText(recordFile(dir, name)).split(' ');
  return pid && startTimeOf(Number(pid)) === started ? Number(pid) : null;
}

function recordFile(dir: string, name: string): string {
  return join(dir, 'run', name);
}

function logFile(dir: string, name: string): string {
  return join(dir, 'logs', `${name}.log`);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
