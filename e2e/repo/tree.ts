import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const SKIPPED = new Set(['node_modules', 'dist', '.git', '.chaperone']);

/** Paths under the root, with slashes and sorted, without what is installed or built. */
export async function pathsInTree(root = ROOT): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true });
  const nested = await Promise.all(
    entries.map(async (entry) => {
      if (SKIPPED.has(entry.name)) return [];
      if (!entry.isDirectory()) return [entry.name];
      return (await pathsInTree(join(root, entry.name))).map((path) => `${entry.name}/${path}`);
    }),
  );
  return nested.flat().sort();
}

/** The TypeScript files of the tree by path, without those that a program wrote. */
export async function sourceFiles(): Promise<Map<string, string>> {
  const paths = (await pathsInTree()).filter((path) => /\.m?ts$/.test(path) && !path.startsWith('crds/gen/'));
  const texts = await Promise.all(paths.map((path) => readFile(join(ROOT, path), 'utf8')));
  return new Map(paths.map((path, i) => [path, texts[i] ?? '']));
}

/** Tests and what only they use (a contract is a suite that several tests run): product code may not import it. */
export function isTest(path: string): boolean {
  return /\.(test|testdata|child)\.ts$|(^|\/)testdata\/|(^|\/)testing(\/|\.ts$)|(^|\/)contract\.ts$/.test(path);
}
