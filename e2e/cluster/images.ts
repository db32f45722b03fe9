import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '#e2e/repo/tree.ts';
import { binary } from './binaries.ts';
import { isBuilt } from './config.ts';
import { copyProgram, DEBIAN_KEY, debianRoot, emptyRoot } from './debian.ts';
import { hashOf, image, type Layer, layer } from './layers.ts';

const run = promisify(execFile);

/** A registry that can't exist: whoever forgets `imagePullPolicy: Never` finds out. */
const nameOf = (what: string) => `registry.local/chaperone/${what}:e2e`;
export const PAUSE_IMAGE = nameOf('pause');
export const COREDNS_IMAGE = nameOf('coredns');
export const IMAGES = {
  operator: nameOf('operator'),
  sidecar: nameOf('sidecar'),
  /** A Debian with bash, psql, PostgreSQL 15, curl, python3, nc, ip, nft and ps: agents and targets of the tests. */
  debian: nameOf('debian'),
} as const;

/** The name that an image has in a registry, `HOST/PATH`. */
export function nameIn(registry: string, name: string): string {
  return `${registry}/${name.slice(name.lastIndexOf('/') + 1)}`;
}

/** Same as in the Dockerfiles: distroless' `nonroot`. */
const USER = 65532;
const PASSWD = `root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:${USER}:${USER}:nonroot:/home/nonroot:/sbin/nologin\n`;
const GROUP = `root:x:0:\nnonroot:x:${USER}:\n`;

export interface Built {
  readonly name: string;
  readonly tar: string;
}

/** What the node itself needs. */
export async function buildNodeImages(): Promise<Built[]> {
  return Promise.all([single('pause'), single('coredns')]);
}

/** `dist/`, of this tree. */
export async function build(): Promise<void> {
  await run(process.execPath, [join(ROOT, 'e2e/repo/build.ts'), '--no-smoke'], { cwd: ROOT });
}

/** The product's images and the tests' Debian. Cached by content: after a change of the code only the bundle's layer is made anew. */
export async function buildImages(): Promise<Built[]> {
  if (!isBuilt()) await build();
  const debian = await debianRoot();
  const [node, nft] = [await nodeLayer(debian), await nftLayer(debian)];
  const [operator, sidecar] = [await bundleLayer('operator'), await bundleLayer('sidecar')];
  const whole = await layer(DEBIAN_KEY, async () => debian, 'keep');
  const config = (entrypoint: readonly string[]) => ({ entrypoint, user: `${USER}:${USER}`, environment: { NODE_ENV: 'production' } });
  const path = { PATH: '/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' };
  const program = (name: string) => ['/usr/bin/node', '--disable-sigusr1', `/app/${name}.js`];
  return Promise.all([
    built(IMAGES.operator, [node, ...operator], config(program('operator'))),
    built(IMAGES.sidecar, [node, nft, ...sidecar], config(program('sidecar'))),
    built(IMAGES.debian, [whole], { entrypoint: [], user: '0', environment: path }),
  ]);
}

async function built(name: string, layers: readonly Layer[], config: Parameters<typeof image>[2]): Promise<Built> {
  return { name, tar: await image(name, layers, config) };
}

/** An image that is one static program. */
async function single(name: 'pause' | 'coredns'): Promise<Built> {
  const program = await binary(name);
  const made = await layer(`${name}-${hashOf(await readFile(program)).slice(0, 16)}`, async (root) => {
    await mkdir(root);
    await copyFile(program, join(root, name));
    return undefined;
  });
  return built(nameOf(name), [made], { entrypoint: [`/${name}`], user: `${USER}:${USER}` });
}

/** The pinned Node with the libraries that it is linked to, a user and the public authorities: no shell, no package manager. */
async function nodeLayer(debian: string): Promise<Layer> {
  return layer(`node-${process.version}-${DEBIAN_KEY}`, async (root) => {
    await emptyRoot(root);
    await copyProgram(debian, process.execPath, root, 'usr/bin/node');
    await mkdir(join(root, 'etc/ssl/certs'), { recursive: true });
    await copyFile(join(debian, 'etc/ssl/certs/ca-certificates.crt'), join(root, 'etc/ssl/certs/ca-certificates.crt'));
    await writeFile(join(root, 'etc/passwd'), PASSWD);
    await writeFile(join(root, 'etc/group'), GROUP);
    return undefined;
  });
}

async function nftLayer(debian: string): Promise<Layer> {
  return layer(`nft-${DEBIAN_KEY}`, async (root) => {
    await copyProgram(debian, join(debian, 'usr/sbin/nft'), root, 'usr/sbin/nft');
    return undefined;
  });
}

/** `dist/NAME.js` and what lies beside it, in /app. */
async function bundleLayer(name: 'operator' | 'sidecar'): Promise<Layer[]> {
  const dist = join(ROOT, 'dist');
  if (!existsSync(join(dist, `${name}.js`))) return [];
  const beside = (await readdir(dist)).filter((file) => file.endsWith('.wasm') || file === 'node_modules');
  const programs = name === 'sidecar' ? ['sidecar.js', 'confine.js'] : [`${name}.js`];
  const files = (await Promise.all([...programs, ...beside].map((file) => filesUnder(dist, file)))).flat().sort();
  const hashes = await Promise.all(files.map(async (file) => `${file} ${hashOf(await readFile(join(dist, file)))}`));
  const made = await layer(`${name}-${hashOf(hashes.join('\n')).slice(0, 24)}`, async (root) => {
    for (const file of files) await cp(join(dist, file), join(root, 'app', file));
    await writeFile(join(root, 'app/package.json'), '{"type":"module"}\n');
    return undefined;
  });
  return [made];
}

async function filesUnder(folder: string, path: string): Promise<string[]> {
  const entries = await readdir(join(folder, path), { recursive: true, withFileTypes: true }).catch(() => null);
  if (entries === null) return [path];
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}
