/** PostgreSQL's own regression SQL, out of Debian's source package: it is fetched where it is run, and no part of this repository. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder } from '../cluster/config.ts';

const run = promisify(execFile);
const PACKAGE = 'postgresql-15';
const LIST = `deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main\n`;

/** The folder with `sql`, `data` and `parallel_schedule`. Fetched once for a user of the machine; apt checks what it fetches by Debian's keys. */
export async function regressionSources(): Promise<string> {
  const cache = join(cacheFolder(), `${PACKAGE}-regress`);
  if (existsSync(join(cache, 'parallel_schedule'))) return cache;
  await mkdir(join(cache, '..'), { recursive: true });
  const work = await mkdtemp(`${cache}-`);
  try {
    await fetchInto(work);
    const tree = join(work, 'src/test/regress');
    for (const folder of [work, tree]) await chmod(folder, 0o755);
    await rename(tree, cache);
    return cache;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** With lists of apt's own, so that the machine's stay as they are. */
async function fetchInto(work: string): Promise<void> {
  for (const folder of ['lists/partial', 'cache/archives/partial']) await mkdir(join(work, folder), { recursive: true });
  await writeFile(join(work, 'sources.list'), LIST);
  const settings = [
    `Dir::Etc::sourcelist=${join(work, 'sources.list')}`,
    'Dir::Etc::sourceparts=/dev/null',
    `Dir::State::lists=${join(work, 'lists')}`,
    `Dir::Cache=${join(work, 'cache')}`,
    'APT::Sandbox::User=root',
  ].flatMap((setting) => ['-o', setting]);
  await run('apt-get', [...settings, '-qq', 'update'], { cwd: work });
  await run('apt-get', [...settings, '-qq', 'source', '--download-only', PACKAGE], { cwd: work });
  const archive = (await readdir(work)).find((name) => name.includes('.orig.tar.'));
  if (archive === undefined) throw new Error(`no sources of ${PACKAGE} in ${work}`);
  await run('tar', ['-xf', archive, '--strip-components=1', '--wildcards', '*/src/test/regress/*'], { cwd: work });
}
