import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
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
  /** The command is one that starts the real program as its only child (unshare, nsenter): that one is recorded. */
  readonly leaf?: boolean;
}

/** Starts a program that goes on in the background, and records its process id with its start time, so that no other process is ever stopped in its place. */
export async function start(program: Program): Promise<void> {
  const { name, command, args, dir, until, environment = {}, leaf = false } = program;
  mkdirSync(join(dir, 'run'), { recursive: true, mode: 0o700 });
  mkdirSync(join(dir, 'logs'), { recursive: true });
  const log = openSync(logFile(dir, name), 'a', 0o600);
  const whole = [...(until === 'us' ? ['setpriv', '--pdeathsig', 'KILL'] : []), command, ...args];
  // An environment of its own: no KUBECONFIG, no proxy, no credentials of whoever runs the tests.
  const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...environment };
  const child = spawn(whole[0] ?? '', whole.slice(1), { cwd: '/', env, stdio: ['ignore', log, log], detached: true });
  closeSync(log);
  await once(child, 'spawn');
  child.unref();
  const pid = leaf ? await onlyChildOf(child.pid ?? 0) : child.pid;
  if (pid === undefined) throw new Error(`${name} did not start:\n${lastWords(dir, name)}`);
  writeFileSync(recordFile(dir, name), `${pid} ${startTimeOf(pid)}`);
  writeFileSync(`${recordFile(dir, name)}.json`, JSON.stringify(program), { mode: 0o600 });
}

/** Starts what ran under this name, as it was started. */
export async function startAgain(dir: string, name: string): Promise<void> {
  if (!isRunning(dir, name)) await start(JSON.parse(readFileSync(`${recordFile(dir, name)}.json`, 'utf8')) as Program);
}

async function onlyChildOf(parent: number): Promise<number | undefined> {
  while (startTimeOf(parent) !== null) {
    const [child] = readText(`/proc/${parent}/task/${parent}/children`).split(' ');
    if (child) return Number(child);
    await sleep(5);
  }
  return undefined;
}

/** True while the program that was recorded under this name lives. */
export function isRunning(dir: string, name: string): boolean {
  return processIdOf(dir, name) !== null;
}

/** SIGTERM, and SIGKILL where that isn't enough. Does nothing where it doesn't run. `startAgain` works afterwards. */
export async function stop(dir: string, name: string, graceMs = 10_000): Promise<void> {
  signal(dir, name, 'SIGTERM');
  const deadline = Date.now() + graceMs;
  while (isRunning(dir, name) && Date.now() < deadline) await sleep(20);
  signal(dir, name, 'SIGKILL');
  while (isRunning(dir, name)) await sleep(20);
}

export function signal(dir: string, name: string, which: NodeJS.Signals): void {
  const pid = processIdOf(dir, name);
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

/** Its process id as this machine sees it. */
export function processIdOf(dir: string, name: string): number | null {
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
