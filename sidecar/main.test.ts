import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadFolder } from '#cli/folder/source.ts';

const MAIN = new URL('./main.ts', import.meta.url).pathname;
const root = mkdtempSync(join(tmpdir(), 'side-'));
after(() => rmSync(root, { recursive: true }));

test('wrong use is one line and 2', () => {
  for (const args of [
    [],
    ['--nonsense'],
    ['--snapshot', 'x', '--state', root, '--workload', 'agent'],
    ['--snapshot', 'x', '--state', root],
  ]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', timeout: 60_000 });
    assert.equal(status, 2, stderr);
    assert.equal(stdout, '');
    assert.equal(stderr.trim().split('\n').length, 1, stderr);
  }
});

test('it waits for a snapshot, keeps the last good one, and ends with 0', async () => {
  const read = loadFolder({ manifests: 'examples/quickstart', workload: { namespace: 'shop', serviceAccount: 'agent' } });
  assert.ok(read.ok);
  const file = join(root, 'snapshot.json');
  const args = [
    '--snapshot',
    file,
    '--state',
    join(root, 'state'),
    '--workload',
    'shop/agent',
    '--listen',
    'shop-db=127.0.0.1:0',
    '--listen',
    'billing-api=127.0.0.1:0',
  ];
  const child = spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  const exited = new Promise((resolve) => child.once('exit', resolve));
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  const says = async (pattern: RegExp) => {
    for (const end = Date.now() + 60_000; !pattern.test(log); await new Promise((resolve) => setTimeout(resolve, 20))) {
      if (child.exitCode !== null || Date.now() > end) throw new Error(`does not say ${pattern}:\n${log}`);
    }
  };
  try {
    await says(/ENOENT/);
    writeFileSync(file, JSON.stringify(read.state.snapshot));
    await says(/policy in force/);
    writeFileSync(file, readFileSync(file, 'utf8').replace('"agent"', '"admin"'));
    await says(/WrongWorkload.*the last good one stays/);
    writeFileSync(file, '{');
    await says(/is not JSON/);
    child.kill('SIGTERM');
    assert.equal(await exited, 0, log);
  } finally {
    child.kill('SIGKILL');
  }
});
