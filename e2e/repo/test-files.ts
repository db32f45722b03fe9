import { pathsInTree } from './tree.ts';

/** What `npm run check` runs: the tests of the parts, beside the parts. */
export const UNIT_TESTS = ['crds', 'charts', 'sidecar', 'operator', 'cli', 'e2e/repo', 'e2e/postgres'];
/** What `npm test` runs: all that needs nothing but the locked dependencies. */
export const ALL_TESTS = ['crds', 'charts', 'sidecar', 'operator', 'cli', 'examples', 'e2e', 'bench'];
/** What needs programs of the system (psql, psycopg2, pgbench) or a Kubernetes: `npm run e2e`. */
export const NEEDS_SYSTEM = ['e2e/clients', 'e2e/charts', 'e2e/cluster', 'e2e/operator', 'e2e/kubernetes', 'e2e/records'];

/** What takes minutes, and the memory of the process is looked at meanwhile: `npm run resources`. */
const LONG = ['e2e/resources'];

/** The test files under the folders; those that need programs of the system, or take minutes, only where they are asked for. */
export async function testFiles(folders: readonly string[]): Promise<string[]> {
  const asked = (path: string) => folders.some((folder) => path === folder || path.startsWith(`${folder.replace(/\/$/, '')}/`));
  const tests = (await pathsInTree()).filter((path) => path.endsWith('.test.ts') && asked(path));
  const skipped = [...NEEDS_SYSTEM, ...LONG].filter((folder) => !folders.some((wanted) => wanted.startsWith(folder)));
  return tests.filter((path) => !skipped.some((folder) => path.startsWith(`${folder}/`)));
}
