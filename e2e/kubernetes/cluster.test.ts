import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { waitFor } from '#e2e/cluster/ready.ts';
import { apply, inNamespace, type TestCluster, testCluster } from '#e2e/cluster/test-cluster.ts';

let cluster: TestCluster;
before(async () => {
  cluster = await testCluster();
});

/** Goes under Pod Security `restricted`. */
const RESTRICTED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  runAsNonRoot: true,
  runAsUser: 1000,
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};

const container = (name: string, script: string, more: Record<string, unknown> = {}) => ({
  name,
  image: cluster.images.debian,
  imagePullPolicy: cluster.imagePullPolicy,
  command: ['bash', '-c', script],
  securityContext: RESTRICTED,
  ...more,
});

test('the node is Ready, and says the version that we built', async () => {
  const { stdout } = await cluster.kubectl(['get', 'nodes', '-o', 'json']);
  const { items } = JSON.parse(stdout);
  assert.equal(items.length > 0, true);
  const ready = items[0].status.conditions.find(({ type }: { type: string }) => type === 'Ready');
  assert.equal(ready.status, 'True');
  if (cluster.own) assert.equal(items[0].status.nodeInfo.kubeletVersion, 'v1.36.3');
});

test('a Job that has a native sidecar ends; it reached it on loopback, and a Service by its DNS name', async () => {
  await inNamespace(
    cluster,
    async (namespace) => {
      const serve = "exec python3 -c 'import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=PORT)'";
      const meta = { name: 'web', labels: { app: 'web' } };
      const web = container('web', serve.replace('PORT', '8080'), { readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 } });
      const script = `
        set -e
        [ "$(curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:9090/etc/hostname)" = 200 ]
        for i in $(seq 60); do curl -sf -o /dev/null http://web/etc/hostname && break; sleep 0.5; done
        curl -sf http://web.${namespace}.svc.cluster.local/etc/hostname`;
      const job = {
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 1,
        initContainers: [
          container('sidecar', serve.replace('PORT', '9090'), {
            restartPolicy: 'Always',
            startupProbe: { tcpSocket: { port: 9090 }, periodSeconds: 1 },
          }),
        ],
        containers: [container('agent', script)],
      };
      await apply(cluster, namespace, [
        { apiVersion: 'v1', kind: 'Pod', metadata: meta, spec: { terminationGracePeriodSeconds: 0, containers: [web] } },
        {
          apiVersion: 'v1',
          kind: 'Service',
          metadata: { name: 'web' },
          spec: { selector: { app: 'web' }, ports: [{ port: 80, targetPort: 8080 }] },
        },
        { apiVersion: 'batch/v1', kind: 'Job', metadata: { name: 'agent' }, spec: { backoffLimit: 0, template: { spec: job } } },
      ]);
      const { kubectl } = cluster;
      await kubectl(['-n', namespace, 'wait', '--for=condition=Complete', 'job/agent', '--timeout=60s']);
      assert.match((await kubectl(['-n', namespace, 'logs', 'job/agent', '-c', 'agent'])).stdout, /^web$/m);
      assert.match((await kubectl(['-n', namespace, 'exec', 'web', '--', 'psql', '--version'])).stdout, /^psql /);
    },
    { 'pod-security.kubernetes.io/enforce': 'restricted' },
  );
});

test("the product's images run as a user that isn't root, and have no shell", async () => {
  await inNamespace(cluster, async (namespace) => {
    const { kubectl, images, imagePullPolicy } = cluster;
    const spec = (command: readonly string[]) => ({
      restartPolicy: 'Never',
      containers: [
        { name: 'c', image: images.sidecar, imagePullPolicy, command, securityContext: { ...RESTRICTED, runAsUser: undefined } },
      ],
    });
    const pod = (name: string, command: readonly string[]) => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: spec(command) });
    const versions =
      'console.log(process.version, process.getuid(), require("child_process").execFileSync("/usr/sbin/nft", ["--version"]) + "")';
    await apply(cluster, namespace, [pod('node', ['/usr/bin/node', '-e', versions]), pod('shell', ['/bin/sh', '-c', 'true'])]);
    await kubectl(['-n', namespace, 'wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/node', '--timeout=60s']);
    assert.match((await kubectl(['-n', namespace, 'logs', 'node'])).stdout, /^v26\.\S+ 65532 nftables v/);
    await waitFor('the refusal', async () => {
      const { stdout } = await kubectl(['-n', namespace, 'get', 'pod', 'shell', '-o', 'jsonpath={.status.containerStatuses[0].state}']);
      return /no such file or directory/.test(stdout) || undefined;
    });
  });
});
