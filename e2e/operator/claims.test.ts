import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { kubectlOf } from '#e2e/cluster/kubectl.ts';
import { openStage, type Stage } from './admission-stage.ts';

let stage: Stage;
before(async () => {
  stage = await openStage();
  for (const name of ['shop', 'team']) {
    await stage.kubectl(['create', 'namespace', name]);
    await stage.kubectl([
      '-n',
      name,
      'create',
      'role',
      'author',
      '--verb=create,update,get,patch',
      '--resource=protectedresources.chaperone.dev',
    ]);
  }
  await stage.kubectl(['-n', 'team', 'create', 'rolebinding', 'author', '--role=author', '--user=carol']);
});
after(() => stage.close());

test('who writes in one namespace does not take the name of a Service of another', async () => {
  const carol = kubectlOf(await stage.plane.kubeconfigOf('carol', []));
  const apply = (host: string) =>
    carol(['apply', '-f', '-'], {
      input: JSON.stringify({
        apiVersion: 'chaperone.dev/v1alpha1',
        kind: 'ProtectedResource',
        metadata: { name: 'api', namespace: 'team' },
        spec: { protocol: 'HTTP', address: { host, port: 443 } },
      }),
    }).then(
      () => '',
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
  assert.equal(await apply('api.team.svc'), '');
  assert.equal(await apply('api.example.com'), '');
  for (const host of ['kubernetes.default.svc', 'api.shop']) {
    assert.match(await apply(host), /validate\.chaperone\.dev.*carol may not create ProtectedResources there/s, host);
  }
  await stage.kubectl(['-n', 'shop', 'create', 'rolebinding', 'author', '--role=author', '--user=carol']);
  assert.equal(await apply('api.shop'), '');
});
