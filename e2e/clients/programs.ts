import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/** Where a client connects. */
export interface Target {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const PATH = ['/usr/local/bin', '/usr/bin', '/bin', '/usr/lib/postgresql/15/bin'];
const PYTHON = '/usr/bin/python3';
const JDBC = '/usr/share/java/postgresql.jar';

/** CI installs every program, so a run there must not pass by skipping. */
export const EVERYTHING_IS_INSTALLED = process.env['CI'] !== undefined;

export function hasProgram(name: string): boolean {
  return PATH.some((folder) => existsSync(join(folder, name)));
}

/** Runs a client program against the target, with nothing of our own environment. `input` is its standard input. */
export function runClient(program: string, args: readonly string[], target: Target, input = ''): Promise<Ran> {
  const env = { ...environment(target), PATH: PATH.join(delimiter), LC_ALL: 'C.UTF-8', HOME: '/nonexistent', PSQLRC: '/dev/null' };
  return new Promise((resolve) => {
    const child = execFile(program, args, { env, maxBuffer: 1 << 28, cwd: '/' }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === 'number' ? error.code : -1, stdout, stderr });
    });
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

/** Of Debian's Python, which finds Debian's packages. */
export function runPython(script: string, args: readonly string[], target: Target): Promise<Ran> {
  return runClient(PYTHON, [here(script), ...args], target);
}

export function hasPythonModule(name: string): boolean {
  return spawnSync(PYTHON, ['-c', `import ${name}`], { stdio: 'ignore' }).status === 0;
}

export function runJava(args: readonly string[], target: Target): Promise<Ran> {
  return runClient('java', ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-cp', JDBC, here('Work.java'), ...args], target);
}

export function hasJdbc(): boolean {
  return existsSync(JDBC) && hasProgram('java');
}

export function hasGo(): boolean {
  return spawnSync('go', ['version'], { stdio: 'ignore' }).status === 0;
}

/** Builds the program of the folder `go` and returns its path. What it is made of is pinned in go.sum. */
export async function buildGo(into: string): Promise<string> {
  const path = join(into, 'pgx');
  await promisify(execFile)('go', ['build', '-trimpath', '-o', path, '.'], { cwd: here('go') });
  return path;
}

/** A file of this folder. */
export function here(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

function environment({ host, port, user, password, database }: Target): Record<string, string> {
  return { PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: database };
}
