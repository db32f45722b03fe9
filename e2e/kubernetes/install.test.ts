/** Install, upgrade, rollback and uninstall by Helm on a whole cluster, and what they leave. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { waitFor } from '#e2e/cluster/ready.ts';
import { type TestCluster, testCluster } from '#e2e/cluster/test-cluster.ts';
import { installChaperone, NAMESPACE, purgeChaperone, uninstallChaperone } from './install.ts';

const AGENTS = 'install-agents';

describe('the charts on a cluster', { timeout: 1_200_000 }, () => {
  let cluster: TestCluster;

  before(async () => {
    cluster = await testCluster();
    await clean();
  });
  after(async () => clean());
  const clean = async () => {
    await cluster.kubectl(['delete', 'namespace', AGENTS, '--ignore-not-found'], { timeoutMs: 180_000 });
    await purgeChaperone(cluster);
  };
  const read = async (...args: string[]) => (await cluster.kubectl(['get', ...args, '-o', 'json'])).stdout;
  const objects = async (...args: string[]) => (JSON.parse(await read(...args)) as { items: KubeObject[] }).items;

  it('install ends with two replicas that are ready, after the webhook has refused what only it refuses', async () => {
    await installChaperone(cluster);
    const pods = await objects('pods', '-n', NAMESPACE, '-l', 'app.kubernetes.io/component=operator');
    assert.equal(pods.length, 2);
    for (const { status } of pods) assert.ok(status?.conditions?.some(({ type, status: holds }) => type === 'Ready' && holds === 'True'));
  });

  it('helm test', async () => {
    const { stdout } = await cluster.helm(['test', 'chaperone', '-n', NAMESPACE], { timeoutMs: 300_000 });
    assert.match(stdout, /Phase:\s+Succeeded/);
  });

  it('its service account may do what the operator does, and read no Secret of a namespace that did not let it', async () => {
    const can = async (...args: string[]) => {
      const as = `system:serviceaccount:${NAMESPACE}:chaperone-operator`;
      return cluster.kubectl(['auth', 'can-i', '--as', as, ...args]).then(
        () => true,
        () => false,
      );
    };
    assert.equal(await can('watch', 'accesspolicies.chaperone.dev', '--all-namespaces'), true);
    assert.equal(await can('get', 'secrets', '-n', 'default'), false);
    assert.equal(await can('list', 'secrets', '--all-namespaces'), false);
    assert.equal(await can('update', 'accesspolicies.chaperone.dev', '-n', 'default'), false);
    assert.equal(await can('delete', 'pods', '-n', 'default'), false);
  });

  it('an opted-in pod gets its sidecar; nothing else does', async () => {
    await cluster.kubectl(['create', 'namespace', AGENTS]);
    await cluster.kubectl(['label', 'namespace', AGENTS, 'chaperone.dev/injection=enabled']);
    await run(cluster, 'before');
    assert.deepEqual(await initContainers(cluster, 'before'), ['chaperone']);
  });

  it('an upgrade under way never leaves the webhooks unanswered', async () => {
    const [stopped, tries] = [new AbortController(), { failed: [] as string[], count: 0 }];
    const asking = (async () => {
      while (!stopped.signal.aborted) {
        tries.count++;
        await cluster
          .kubectl([
            'run',
            `dry-${tries.count}`,
            '-n',
            AGENTS,
            '--image',
            cluster.images.debian,
            '--dry-run=server',
            '--overrides',
            overrides(cluster),
          ])
          .catch((error: unknown) => tries.failed.push(String(error)));
      }
    })();
    await installChaperone(cluster, { operator: { podAnnotations: { upgraded: 'yes' } } });
    stopped.abort();
    await asking;
    assert.ok(tries.count > 3, `${tries.count} tries`);
    assert.deepEqual(tries.failed, []);
    const [pod] = await objects('pods', '-n', NAMESPACE, '-l', 'app.kubernetes.io/component=operator');
    assert.equal(pod?.metadata.annotations?.['upgraded'], 'yes');
  });

  it('rollback', async () => {
    await cluster.helm(['rollback', 'chaperone', '1', '-n', NAMESPACE, '--wait', '--timeout', '5m'], { timeoutMs: 320_000 });
    const deployment = JSON.parse(await read('deployment', 'chaperone-operator', '-n', NAMESPACE)) as KubeObject;
    assert.equal(deployment.spec?.template?.metadata?.annotations?.['upgraded'], undefined);
    await run(cluster, 'rolled-back');
    assert.deepEqual(await initContainers(cluster, 'rolled-back'), ['chaperone']);
  });

  it('uninstall strands no pod: what runs goes on, what starts afterwards starts, and namespaces end', async () => {
    await cluster.kubectl(['apply', '-f', '-'], { input: JSON.stringify(policy()) });
    await uninstallChaperone(cluster);
    assert.deepEqual((await objects('validatingwebhookconfigurations,mutatingwebhookconfigurations')).filter(isOurs), []);
    assert.deepEqual((await objects('clusterroles,clusterrolebindings')).filter(isOurs), []);
    const before = JSON.parse(await read('pod', 'before', '-n', AGENTS)) as KubeObject;
    assert.equal(before.status?.phase, 'Running');
    await run(cluster, 'afterwards');
    assert.deepEqual(await initContainers(cluster, 'afterwards'), []);
    assert.equal((await objects('accesspolicies.chaperone.dev', '-n', AGENTS)).length, 1, 'what people wrote is kept');
    await cluster.kubectl(['delete', 'namespace', AGENTS], { timeoutMs: 120_000 });
  });
});

interface KubeObject {
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  readonly spec?: {
    readonly template?: { readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> } };
    readonly initContainers?: readonly { readonly name: string }[];
  };
  readonly status?: { readonly phase?: string; readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

const isOurs = ({ metadata }: KubeObject) => metadata.name.startsWith('chaperone');

function policy() {
  return {
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'AccessPolicy',
    metadata: { name: 'kept', namespace: AGENTS },
    spec: { targetRefs: [{ name: 'none' }], subjects: [{ group: 'nobody' }], rules: [{ name: 'none', action: 'Deny' }] },
  };
}

/** What Pod Security `restricted` and the guard ask for. */
function overrides({ images, imagePullPolicy }: TestCluster): string {
  const securityContext = { allowPrivilegeEscalation: false, runAsNonRoot: true, runAsUser: 1000, capabilities: { drop: ['ALL'] } };
  const container = { name: 'agent', image: images.debian, imagePullPolicy, command: ['sleep', '3600'], securityContext };
  return JSON.stringify({ spec: { terminationGracePeriodSeconds: 1, containers: [container] } });
}

async function run(cluster: TestCluster, name: string): Promise<void> {
  await cluster.kubectl([
    'run',
    name,
    '-n',
    AGENTS,
    '--image',
    cluster.images.debian,
    '--restart',
    'Never',
    '--overrides',
    overrides(cluster),
  ]);
  await waitFor(`pod ${name}`, async () => {
    const { stdout } = await cluster.kubectl(['get', 'pod', name, '-n', AGENTS, '-o', 'jsonpath={.status.phase}']);
    return stdout === 'Running' ? true : undefined;
  });
}

async function initContainers(cluster: TestCluster, name: string): Promise<string[]> {
  const { stdout } = await cluster.kubectl(['get', 'pod', name, '-n', AGENTS, '-o', 'jsonpath={.spec.initContainers[*].name}']);
  return stdout.split(' ').filter((part) => part !== '' && part !== 'chaperone-validator');
}
