import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from './tree.ts';

interface Entry {
  readonly version?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const readJson = async (path: string): Promise<unknown> => JSON.parse(await readFile(join(ROOT, path), 'utf8'));
const { packages } = (await readJson('package-lock.json')) as { packages: Record<string, Entry> };

test('the lockfile has every dependency of every package, also those of other platforms', () => {
  // Where one is missing, `npm ci` refuses the whole file. npm leaves out what a registry doesn't have while it writes the file.
  const missing = Object.entries(packages).flatMap(([path, entry]) =>
    Object.keys({ ...entry.dependencies, ...entry.optionalDependencies })
      .filter((name) => !placesOf(path, name).some((place) => place in packages))
      .map((name) => `${path} needs ${name}`),
  );
  assert.deepEqual(missing, []);
});

test('the lockfile names no registry, and is that of package.json', async () => {
  assert.deepEqual(
    Object.entries(packages).filter(([, { resolved }]) => resolved?.startsWith('http')),
    [],
  );
  const own = (await readJson('package.json')) as Entry;
  for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies'] as const)
    assert.deepEqual(packages['']?.[kind], own[kind]);
});

test('our own dependencies are pinned', async () => {
  const own = (await readJson('package.json')) as Entry;
  const all = { ...own.dependencies, ...own.devDependencies, ...own.optionalDependencies };
  assert.deepEqual(
    Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version)),
    [],
  );
});

/** Where Node would look for `name` from the package at `path`, nearest first. */
function placesOf(path: string, name: string): string[] {
  const parts = path.split('/node_modules/');
  const folders = parts.map((_, i) => parts.slice(0, parts.length - i).join('/node_modules/'));
  return [...folders.map((folder) => (folder === '' ? '' : `${folder}/node_modules/${name}`)), `node_modules/${name}`];
}
