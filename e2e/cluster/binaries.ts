import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cacheFolder } from './config.ts';
import { withLock } from './lock.ts';
import { type BinaryName, KUBERNETES, RECIPES, type Recipe } from './versions.ts';

const run = promisify(execFile);
const MODULE = fileURLToPath(new URL('go', import.meta.url));
const GO_PLACES = ['/usr/local/go/bin/go', '/usr/lib/go/bin/go'];

/** Path of a program of the cluster. Built where it isn't in the cache, which takes minutes and is told on standard error. */
export async function binary(name: BinaryName): Promise<string> {
  const go = await findGo();
  const recipe: Recipe = RECIPES[name];
  const folder = join(cacheFolder(), 'bin', await keyOf(recipe, go));
  const path = join(folder, name);
  if (existsSync(path)) return path;
  await mkdir(folder, { recursive: true });
  // One build at a time: each takes all cores, and they share most of their packages.
  await withLock(join(cacheFolder(), 'build.lock'), 'another build of the cluster', async () => {
    if (!existsSync(path)) await build(go, name, recipe, folder);
  });
  return path;
}

async function build(go: string, name: BinaryName, recipe: Recipe, folder: string): Promise<void> {
  const started = Date.now();
  say(`building ${name} ${recipe.kind === 'install' ? recipe.version : `of ${MODULE}`}: once, about ${recipe.minutes} min on two cores`);
  const part = await mkdtemp(join(folder, 'part-'));
  const own = recipe.kind === 'module' ? [`-mod=readonly`, '-o', join(part, name), recipe.path] : [`${recipe.path}@${recipe.version}`];
  const command = [recipe.kind === 'module' ? 'build' : 'install', '-buildvcs=false', '-trimpath', '-ldflags', linkerFlags(), ...own];
  const child = spawn('nice', ['-n', '5', 'env', 'CGO_ENABLED=0', `GOBIN=${part}`, go, ...command], {
    cwd: MODULE,
    stdio: ['ignore', 2, 2],
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code === 0) await rename(join(part, name), join(folder, name));
  await rm(part, { recursive: true, force: true });
  if (code !== 0) throw new Error(`building ${name} failed: ${go} ${command.join(' ')}`);
  say(`built ${name} in ${((Date.now() - started) / 1000).toFixed(0)} s`);
}

/** Without these every component says that it is v0.0.0, and charts that ask for a version refuse it. */
function linkerFlags(): string {
  const [major, minor] = KUBERNETES.split('.');
  const fields = { gitVersion: `v${KUBERNETES}`, gitMajor: major, gitMinor: minor };
  const sets = Object.entries(fields).map(([field, value]) => `-X k8s.io/component-base/version.${field}=${value}`);
  return ['-s -w', ...sets].join(' ');
}

async function keyOf(recipe: Recipe, go: string): Promise<string> {
  const { stdout } = await run(go, ['env', 'GOVERSION', 'GOOS', 'GOARCH'], { cwd: MODULE });
  const hash = createHash('sha256').update(stdout);
  if (recipe.kind === 'install') hash.update(`${recipe.path}@${recipe.version}`);
  else for (const file of ['go.mod', 'go.sum']) hash.update(await readFile(join(MODULE, file)));
  return hash.digest('hex').slice(0, 16);
}

let found: Promise<string> | undefined;

/** A Go that can build the module: the newest that is on the machine, or, from an older one, the toolchain that the module proxy has. */
function findGo(): Promise<string> {
  found ??= searchGo();
  return found;
}

async function searchGo(): Promise<string> {
  const wanted = /^go (\d+)\.(\d+)/m.exec(await readFile(join(MODULE, 'go.mod'), 'utf8'));
  let newest = 'none';
  for (const go of ['go', ...GO_PLACES]) {
    const { stdout } = await run(go, ['version'], { cwd: '/' }).catch(() => ({ stdout: '' }));
    const version = /go(\d+)\.(\d+)/.exec(stdout);
    if (version === null) continue;
    newest = version[0];
    if (Number(version[1]) > Number(wanted?.[1]) || (version[1] === wanted?.[1] && Number(version[2]) >= Number(wanted?.[2]))) return go;
  }
  throw new Error(
    `Go ${wanted?.[1]}.${wanted?.[2]} or later is needed to build the cluster; found: ${newest}. .ci/run shows how to have one`,
  );
}

function say(text: string): void {
  process.stderr.write(`e2e/cluster: ${text}\n`);
}
