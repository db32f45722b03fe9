/** The sidecar under the very flags that the injector gives it: Node's permission model, and an inspector that no signal opens (4.3). */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PATHS } from '#crds/control/names.ts';
import { injectedContainers } from '#operator/admission/inject/containers.ts';
import { DEFAULT_RESOURCES } from '#operator/admission/inject/context.ts';
import { SETTINGS } from '#operator/admission/inject/testing.ts';

const ROOT = join(import.meta.dirname, '../..');
const [sidecar] = injectedContainers({ mode: 'Explicit', egress: 'Deny', settings: SETTINGS, resources: DEFAULT_RESOURCES, listens: [] });
const command = sidecar?.['command'] as readonly string[] | undefined;
const flags = command?.slice(1, -1) ?? [];

const opens = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.on('connect', () => (socket.destroy(), resolve(true))).on('error', () => resolve(false));
  });

test("starts, listens and writes its keys under the injector's flags; SIGUSR1 opens nothing", async () => {
  const folder = mkdtempSync(join(tmpdir(), 'chaperone-permission-'));
  const [identity, state] = [join(folder, 'identity'), join(folder, 'state')];
  for (const one of [identity, state]) mkdirSync(one);
  const snapshot = { schemaVersion: 1, workload: { namespace: 'shop', serviceAccount: 'agent' }, sources: [], resources: [] };
  writeFileSync(join(identity, 'snapshot.json'), JSON.stringify(snapshot));
  const mapped = flags.map((flag) =>
    flag
      .replace(PATHS.identity, identity)
      .replace(PATHS.state, state)
      .replace(/=\/app$/, `=${ROOT}`),
  );
  const args = [
    'sidecar/main.ts',
    '--snapshot',
    join(identity, 'snapshot.json'),
    '--state',
    state,
    '--workload',
    'shop/agent',
    '--metrics-port',
    '0',
  ];
  const child = spawn(process.execPath, [...mapped, ...args], { cwd: ROOT, stdio: ['ignore', 'ignore', 'pipe'], env: {} });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  try {
    for (let i = 0; !said.includes('policy in force'); i++) {
      assert.ok(i < 600 && child.exitCode === null && child.signalCode === null, said);
      await sleep(50);
    }
    child.kill('SIGUSR1');
    await sleep(300);
    assert.equal(await opens(9229), false);
    assert.equal(child.exitCode, null);
    assert.ok(readdirSync(join(state, 'keys')).length > 0);
    assert.ok(existsSync(join(state, 'run')));
  } finally {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    rmSync(folder, { recursive: true });
  }
  assert.equal(child.exitCode, 0, said);
  assert.doesNotMatch(said, /ERR_ACCESS_DENIED|Permission Model/);
});
