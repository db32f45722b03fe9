import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { after, test } from 'node:test';
import { type ControlPlane, startControlPlane } from './control-plane.ts';
import { kubectlOf } from './kubectl.ts';
import { startTimeOf } from './processes.ts';
import { waitFor } from './ready.ts';

const running: ControlPlane[] = [];
after(() => Promise.all(running.map((plane) => plane.stop())));

test('two control planes run side by side; users have only what RBAC gives them; what is stored outlives the API server', async () => {
  const [one, two] = await Promise.all([startControlPlane({ controllers: true }), startControlPlane()]);
  running.push(one, two);
  const [admin, other] = [kubectlOf(one.kubeconfig), kubectlOf(two.kubeconfig)];
  assert.match((await admin(['version', '-o', 'json'])).stdout, /"serverVersion"[^}]*"v1\.36\.3"/s);
  await admin(['create', 'namespace', 'shop']);
  await waitFor('the default ServiceAccount', async () => (await admin(['-n', 'shop', 'get', 'serviceaccount', 'default'])) && true);
  await assert.rejects(other(['get', 'namespace', 'shop']), /NotFound/);

  const ana = kubectlOf(await one.kubeconfigOf('ana', ['approvers']));
  await assert.rejects(ana(['-n', 'shop', 'get', 'secrets']), /User "ana" cannot list resource "secrets"/);
  await admin(['-n', 'shop', 'create', 'rolebinding', 'readers', '--clusterrole=admin', '--group=approvers']);
  await waitFor('the binding', async () => (await ana(['-n', 'shop', 'get', 'secrets'])) && true);

  await one.stopApiServer();
  await assert.rejects(admin(['get', 'namespace', 'shop']), /refused/);
  await one.startApiServer();
  await admin(['get', 'namespace', 'shop']);
});

test('it dies with the process that started it, and the next one removes what was left', async () => {
  const script = `
    const { startControlPlane } = await import(${JSON.stringify(new URL('./control-plane.ts', import.meta.url).href)});
    const { readFileSync } = await import('node:fs');
    const { dir } = await startControlPlane();
    console.log(dir, ...['etcd', 'kube-apiserver'].map((name) => readFileSync(dir + '/run/' + name, 'utf8').split(' ')[0]));
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const [dir = '', ...pids] = line.toString().trim().split(' ');
  assert.equal(pids.length, 2);
  assert.ok(pids.every((pid) => startTimeOf(Number(pid)) !== null));
  child.kill('SIGKILL');
  await once(child, 'exit');
  await waitFor('the end of both', async () => pids.every((pid) => startTimeOf(Number(pid)) === null) || undefined, 5000);
  running.push(await startControlPlane());
  assert.equal(existsSync(dir), false);
});
