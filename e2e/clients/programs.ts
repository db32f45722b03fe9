import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';

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

/** A file of this folder. */
export function here(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url));
}

function environment({ host, port, user, password, database }: Target): Record<string, string> {
  return { PGHOST: host, PGPORT: String(port), PGUSER: user, PGPASSWORD: password, PGDATABASE: database };
}
