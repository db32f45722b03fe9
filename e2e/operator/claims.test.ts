import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { kubectlOf } from '#e2e/cluster/kubectl.ts';
import { startIndex } from '#operator/index/start.ts';
import { connect } from '#operator/kube/client.ts';
import { openStage, type Stage } from './admission-stage.ts';
import { collectLog, until } from './testing.ts';

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

test('a host outside of the cluster is for pods of its own namespace, until an admin gives it to the namespace, and again when it is taken back', async () => {
  const kube = connect(stage.plane.kubeconfig);
  const index = startIndex(kube, collectLog());
  const hostsIn = (namespace: string) =>
    index.snapshots.current({ namespace, serviceAccount: 'agent' })?.snapshot.resources.map(({ address }) => address.host);
  const annotate = (kubectl: typeof stage.kubectl, value: string) =>
    kubectl(['annotate', 'namespace', 'team', '--overwrite', `chaperone.dev/external-hosts${value}`]);
  try {
    await index.synced;
    const carol = kubectlOf(await stage.plane.kubeconfigOf('carol', []));
    const host = 'db.outside.example.com';
    const { stderr } = await carol(['apply', '-f', '-'], {
      input: JSON.stringify({
        apiVersion: 'chaperone.dev/v1alpha1',
        kind: 'ProtectedResource',
        metadata: { name: 'outside', namespace: 'team' },
        spec: { protocol: 'HTTP', address: { host, port: 443 } },
      }),
    });
    assert.match(stderr, /Warning: spec\.address\.host: db\.outside\.example\.com is outside of the cluster: only pods of team have it/);
    await until('the resource', () => hostsIn('team')?.includes(host));
    assert.equal(hostsIn('shop')?.includes(host), false);
    await assert.rejects(annotate(carol, '=*'), /forbidden/, 'who writes there does not give it');
    const changedAt = performance.now();
    await annotate(stage.kubectl, '=*.example.com');
    await until('the grant', () => hostsIn('shop')?.includes(host));
    assert.ok(performance.now() - changedAt < 2000);
    await annotate(stage.kubectl, '-');
    await until('its end', () => hostsIn('shop')?.includes(host) === false);
    assert.equal(hostsIn('team')?.includes(host), true);
  } finally {
    await index.stop();
    kube.close();
  }
});
