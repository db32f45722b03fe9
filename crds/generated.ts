/** What the generators have in common: writing files, and telling what on disk is not what they would write. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Path from the root of the repository to content. */
export type GeneratedFiles = ReadonlyMap<string, string>;

/** What is on disk and not what it should be, in words; empty where there is no drift. `folder` holds nothing but generated files. */
export function driftOf(root: string, files: GeneratedFiles, folder: string): readonly string[] {
  const changed = [...files].filter(([path, content]) => read(join(root, path)) !== content).map(([path]) => `${path} is out of date`);
  const stray = readdirSync(join(root, folder))
    .map((name) => `${folder}/${name}`)
    .filter((path) => !files.has(path))
    .map((path) => `${path} is not generated`);
  return [...changed, ...stray];
}

/** The exit code: 1 where there is drift, which is told. */
export function tellDrift(problems: readonly string[]): number {
  for (const problem of problems) console.error(`${problem}: run \`npm run generate\``);
  return problems.length === 0 ? 0 : 1;
}

export function writeGenerated(root: string, files: GeneratedFiles): void {
  for (const [path, content] of files) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
    console.log(`wrote ${path}`);
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
