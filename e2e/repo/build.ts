/**
 * `npm run build`: dist/chaperone.js (the CLI), dist/sidecar.js and dist/operator.js, each with all that it imports, and beside them
 * the files that can't be bundled. `--no-smoke` doesn't run what it built.
 */
import { existsSync } from 'node:fs';
import { copyFile, cp, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type BuildOptions, build } from 'esbuild';
import { commitOf } from '#cli/version.ts';
import { smokeTest } from './smoke.ts';
import { ROOT } from './tree.ts';

const DIST = join(ROOT, 'dist');
/** Found by the bundled code in its own folder. */
const BESIDE = ['node_modules/libpg-query/wasm/libpg-query.wasm', 'charts/install.yaml'];
/** Addons of koffi: found where Node looks for packages. */
const ADDONS = '@koromix';
/** Its loader, beside them: the sidecar loads it only where it needs it. */
const KOFFI = ['package.json', 'LICENSE.txt', 'index.cjs', 'src/koffi/index.cjs', 'src/koffi/src/static.cjs'];
/** CommonJS parts of some packages expect these three. */
const BANNER = [
  "import { createRequire as __createRequire } from 'node:module';",
  'const require = __createRequire(import.meta.url), __filename = import.meta.filename, __dirname = import.meta.dirname;',
].join('\n');

const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
const commit = commitOf(ROOT);

await rm(DIST, { recursive: true, force: true });
await mkdir(DIST);
const options: BuildOptions = {
  absWorkingDir: ROOT,
  external: [`${ADDONS}/*`],
  outdir: DIST,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  banner: { js: BANNER },
  define: { CHAPERONE_BUILD: JSON.stringify({ version, commit }) },
  legalComments: 'linked',
  logLevel: 'warning',
};
await build({ ...options, entryPoints: { sidecar: 'sidecar/main.ts', confine: 'sidecar/confine/main.ts', operator: 'operator/main.ts' } });
// What only `install` needs is larger than all the rest, so it is a file of its own that no other command reads.
await build({ ...options, entryPoints: { chaperone: 'cli/main.ts' }, splitting: true, chunkNames: 'chaperone-[name]-[hash]' });
for (const path of KOFFI) await cp(join(ROOT, 'node_modules/koffi', path), join(DIST, 'node_modules/koffi', path), { recursive: true });
for (const path of BESIDE) await copyFile(join(ROOT, path), join(DIST, path.split('/').at(-1) ?? ''));
const addons = join(ROOT, 'node_modules', ADDONS);
for (const name of existsSync(addons) ? await readdir(addons) : [])
  await cp(join(addons, name), join(DIST, 'node_modules', ADDONS, name), { recursive: true });

if (!process.argv.includes('--no-smoke'))
  for (const line of await smokeTest(DIST, { version, commit })) process.stdout.write(`✔ ${line}\n`);
for (const name of ['chaperone.js', 'sidecar.js', 'confine.js', 'operator.js', 'libpg-query.wasm']) {
  process.stdout.write(`dist/${name.padEnd(18)} ${((await stat(join(DIST, name))).size / 1024).toFixed(0).padStart(6)} KiB\n`);
}
