/** Images without a daemon: a layer is a tar in the cache, an image a tar of layers in `docker save`'s format, which `ctr images import` reads. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { arch } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { cacheFolder } from './config.ts';

const run = promisify(execFile);
/** Sorted and without times or owners of ours, so that the same files make the same digest. */
const REPRODUCIBLE = ['--sort=name', '--mtime=@0', '--numeric-owner', '--format=gnu'];

export interface Layer {
  readonly tar: string;
  /** `sha256:…` of the tar. */
  readonly digest: string;
}

export interface ImageConfig {
  readonly entrypoint: readonly string[];
  /** Numeric, so that `runAsNonRoot` can be proven. */
  readonly user: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** The layer of this key; where the cache has none, `fill` puts its files into a folder. `owners: keep` keeps who owns them; otherwise root does. */
export async function layer(
  key: string,
  fill: (folder: string) => Promise<string | undefined>,
  owners: 'keep' | 'root' = 'root',
): Promise<Layer> {
  const folder = join(cacheFolder(), 'layers');
  const [tar, digestFile] = [join(folder, `${key}.tar`), join(folder, `${key}.digest`)];
  if (!existsSync(digestFile) || !existsSync(tar)) {
    await mkdir(folder, { recursive: true });
    const part = await mkdtemp(join(folder, 'part-'));
    try {
      const made = (await fill(join(part, 'root'))) ?? join(part, 'root');
      await run('tar', [
        ...REPRODUCIBLE,
        ...(owners === 'root' ? ['--owner=0', '--group=0'] : []),
        '-C',
        made,
        '-cf',
        join(part, 'tar'),
        '.',
      ]);
      await writeFile(join(part, 'digest'), await digestOf(join(part, 'tar')));
      await rename(join(part, 'tar'), tar);
      await rename(join(part, 'digest'), digestFile);
    } finally {
      await rm(part, { recursive: true, force: true });
    }
  }
  return { tar, digest: await readFile(digestFile, 'utf8') };
}

/** Writes the image's tar, named by its content, and gives its path. */
export async function image(name: string, layers: readonly Layer[], { entrypoint, user, environment = {} }: ImageConfig): Promise<string> {
  const config = JSON.stringify({
    architecture: arch() === 'x64' ? 'amd64' : arch(),
    os: 'linux',
    config: {
      Entrypoint: entrypoint,
      User: user,
      Env: Object.entries(environment).map(([key, value]) => `${key}=${value}`),
      WorkingDir: '/',
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ digest }) => digest) },
  });
  const id = hashOf(config);
  const folder = join(cacheFolder(), 'images');
  const path = join(folder, `${hashOf(name + id).slice(0, 32)}.tar`);
  if (existsSync(path)) return path;
  await mkdir(folder, { recursive: true });
  const part = await mkdtemp(join(folder, 'part-'));
  try {
    const names = layers.map((_, i) => `${i}.tar`);
    await writeFile(join(part, `${id}.json`), config);
    await writeFile(join(part, 'manifest.json'), JSON.stringify([{ Config: `${id}.json`, RepoTags: [name], Layers: names }]));
    await Promise.all(layers.map(({ tar }, i) => symlink(tar, join(part, `${i}.tar`))));
    await run('tar', [...REPRODUCIBLE, '--dereference', '-C', part, '-cf', join(part, 'image'), 'manifest.json', `${id}.json`, ...names]);
    await rename(join(part, 'image'), path);
  } finally {
    await rm(part, { recursive: true, force: true });
  }
  return path;
}

export function hashOf(text: string | Buffer): string {
  return createHash('sha256').update(text).digest('hex');
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return `sha256:${hash.digest('hex')}`;
}
