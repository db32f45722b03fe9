import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { FileProblem } from './documents.ts';

const MAX_FILES = 1000;
const MAX_FILE_BYTES = 1024 * 1024;
const MAX_TOTAL_BYTES = 16 * 1024 * 1024;

/** `*.yaml`, `*.yml` and `*.json`; hidden files are an editor's. */
export const isManifest = (name: string): boolean => /\.(ya?ml|json)$/.test(name) && !name.startsWith('.');

export interface ReadFiles {
  readonly files: readonly { readonly file: string; readonly text: string }[];
  readonly problems: readonly FileProblem[];
}

/** The manifests of a folder, without those of folders in it, sorted by name. */
export function readFiles(dir: string): ReadFiles {
  const problem = (file: string, message: string): FileProblem => ({ file, line: 0, field: '', message });
  let names: string[];
  try {
    names = readdirSync(dir).filter(isManifest).sort();
  } catch {
    return { files: [], problems: [problem(dir, 'can not be read as a folder')] };
  }
  if (names.length > MAX_FILES) return { files: [], problems: [problem(dir, `has more than ${MAX_FILES} manifests`)] };
  const files: { file: string; text: string }[] = [];
  const problems: FileProblem[] = [];
  let total = 0;
  for (const name of names) {
    const file = join(dir, name);
    try {
      const stat = statSync(file);
      if (!stat.isFile()) continue;
      total += stat.size;
      if (stat.size > MAX_FILE_BYTES) problems.push(problem(file, 'is larger than 1 MiB'));
      else files.push({ file, text: new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file)) });
    } catch (error) {
      problems.push(problem(file, error instanceof TypeError ? 'is not UTF-8' : 'can not be read'));
    }
    if (total > MAX_TOTAL_BYTES) return { files: [], problems: [problem(dir, 'has more than 16 MiB of manifests')] };
  }
  return { files, problems };
}
