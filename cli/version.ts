import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Version {
  readonly version: string;
  /** The commit that it was built from, or of the source tree that it runs from; null where neither is known. */
  readonly commit: string | null;
}

/** Put in by `npm run build`; not there in a source tree. */
declare const CHAPERONE_BUILD: Version | undefined;

/** Whether this runs from dist/, where what the bundle reads lies beside it. */
export function isBundled(): boolean {
  return typeof CHAPERONE_BUILD !== 'undefined';
}

export function versionAndCommit(): Version {
  if (typeof CHAPERONE_BUILD !== 'undefined') return CHAPERONE_BUILD;
  const root = fileURLToPath(new URL('..', import.meta.url));
  const { version } = JSON.parse(readFileSync(`${root}/package.json`, 'utf8')) as { version: string };
  return { version, commit: commitOf(root) };
}

/** Short, with `+` where the tree has changes that are not committed. */
export function commitOf(root: string): string | null {
  try {
    const args = ['describe', '--always', '--abbrev=12', '--exclude=*', '--dirty=+'];
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return null;
  }
}
