/** A Debian root file system from Debian's own packages, and what a program needs of it. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, copyFile, cp, mkdir, readlink, rename, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder } from './config.ts';
import { hashOf } from './layers.ts';
import { withLock } from './lock.ts';

const run = promisify(execFile);
const SUITE = 'bookworm';
/** The tests' targets and tools, and the libraries of Node and nft that the product's images take. */
const PACKAGES = [
  'bash',
  'ca-certificates',
  'curl',
  'iproute2',
  'libatomic1',
  'libstdc++6',
  'netcat-openbsd',
  'nftables',
  'postgresql-15',
  'postgresql-client-15',
  'procps',
  'python3',
];
/** Names the content; the packages move with Debian's point releases, which a removed cache picks up. */
export const DEBIAN_KEY = `debian-${hashOf([SUITE, ...PACKAGES].join(' ')).slice(0, 16)}`;
const EMPTIED = [
  'var/cache/apt',
  'var/lib/apt/lists',
  'usr/share/doc',
  'usr/share/man',
  'usr/share/locale',
  'usr/share/info',
  'dev',
  'proc',
  'sys',
];
/** PostgreSQL's compiler of queries: a third of the whole. */
const REMOVED = ['usr/lib/postgresql/15/lib/llvmjit.so', 'usr/lib/postgresql/15/lib/bitcode', 'usr/lib/x86_64-linux-gnu/libLLVM-14.so.1'];

/** The folder; made in about two minutes where the cache has none. Needs root: it holds files of other owners. */
export async function debianRoot(): Promise<string> {
  const place = join(cacheFolder(), 'rootfs', DEBIAN_KEY);
  if (existsSync(place)) return place;
  return withLock(join(cacheFolder(), 'debian.lock'), 'another debootstrap', async () => {
    if (existsSync(place)) return place;
    const [part, started] = [`${place}.part`, Date.now()];
    process.stderr.write(`e2e/cluster: a Debian ${SUITE} for the images by debootstrap: once, about 2 min\n`);
    await rm(part, { recursive: true, force: true });
    await mkdir(part, { recursive: true });
    const args = ['--variant=minbase', `--include=${PACKAGES.join(',')}`, SUITE, part];
    const child = spawn('debootstrap', args, { cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-4000)));
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`debootstrap ended with ${code}:\n${said}`);
    for (const path of [...REMOVED, ...EMPTIED]) await rm(join(part, path), { recursive: true, force: true });
    for (const path of EMPTIED) await mkdir(join(part, path), { recursive: true });
    await rename(part, place);
    process.stderr.write(`e2e/cluster: Debian made in ${((Date.now() - started) / 1000).toFixed(0)} s\n`);
    return place;
  });
}

/** Makes in `root` the folders and links of a merged /usr. */
export async function emptyRoot(root: string): Promise<void> {
  for (const folder of ['usr/bin', 'usr/sbin', 'usr/lib', 'usr/lib64', 'etc', 'proc', 'sys', 'dev', 'run', 'app'])
    await mkdir(join(root, folder), { recursive: true });
  await mkdir(join(root, 'tmp'));
  await chmod(join(root, 'tmp'), 0o1777);
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) await symlink(`usr/${name}`, join(root, name));
}

/** Copies a program of the machine or of the Debian root into `root`, with the libraries that it is linked to, which are Debian's. */
export async function copyProgram(debian: string, source: string, root: string, place: string): Promise<void> {
  const probe = join(debian, 'tmp', `probe-${process.pid}-${basename(source)}`);
  await copyFile(source, probe);
  try {
    const { stdout } = await run('chroot', [debian, 'ldd', `/tmp/${basename(probe)}`]);
    if (stdout.includes('not found')) throw new Error(`${source} needs what the Debian root does not have:\n${stdout}`);
    for (const [, library] of stdout.matchAll(/(?:=> |^\s*)(\/\S+) \(/gm)) if (library) await copyFollowing(debian, library, root);
  } finally {
    await rm(probe, { force: true });
  }
  await mkdir(dirname(join(root, place)), { recursive: true });
  await cp(source, join(root, place), { dereference: true });
}

/** Copies what the path leads to within the Debian root, under the path's own name. */
async function copyFollowing(debian: string, path: string, root: string): Promise<void> {
  const merged = path.startsWith('/usr/') ? path : `/usr${path}`;
  await mkdir(dirname(join(root, merged)), { recursive: true });
  const target = await readlink(join(debian, merged)).catch(() => undefined);
  const real = target === undefined ? merged : target.startsWith('/') ? target : join(dirname(merged), target);
  await copyFile(join(debian, real), join(root, merged));
}
