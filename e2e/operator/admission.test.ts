import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { type Kubectl, kubectlOf } from '#e2e/cluster/kubectl.ts';
import { waitFor } from '#e2e/cluster/ready.ts';
import { podProblems } from '#operator/admission/pod-rules.ts';
import { openStage, type Stage } from './admission-stage.ts';

const INVALID = new URL('../../crds/testdata/invalid/', import.meta.url);

let stage: Stage;
before(async () => {
  stage = await openStage({ podProblems: (pod, old, { byOperator }) => podProblems(pod, old, { byOperator }) });
  for (const name of ['shop', 'plain', 'chaperone-system']) await stage.kubectl(['create', 'namespace', name]);
  await stage.kubectl(['label', 'namespace', 'shop', 'chaperone.dev/injection=enabled']);
  // No controller runs that would make them.
  for (const name of ['shop', 'plain', 'kube-system', 'chaperone-system'])
    await stage.kubectl(['-n', name, 'create', 'serviceaccount', 'default']);
});
after(() => stage.close());

/** What kubectl said; empty where it was taken. */
async function saidOf(run: Promise<unknown>): Promise<string> {
  return run.then(
    () => '',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}

const pod = (name: string, over: { metadata?: object; spec?: object } = {}) =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, ...over.metadata },
    spec: { containers: [{ name: 'agent', image: 'registry.local/agent:1' }], ...over.spec },
  });
const create = (namespace: string, object: string) => saidOf(stage.kubectl(['-n', namespace, 'create', '-f', '-'], { input: object }));
const INJECTED = { labels: { 'chaperone.dev/injected': 'true' }, annotations: { 'chaperone.dev/ca-bundle': 'PEM' } };

/** kubectl apply itself refuses an object without a name. */
const NOT_APPLIED = ['name-generated.yaml', 'name-missing.yaml'];
/** Refused by the server in words of its own: such a namespace can't exist, which it looks at first; and it takes a null for nothing. */
const OTHER_WORDS: { readonly [file: string]: RegExp } = {
  'namespace-with-a-dot.yaml': /namespaces "shop.prod" not found/,
  'policy-rules-null.yaml': /spec.rules: Required value/,
};

/** The message of an expectation, without what only our own validator adds. */
const lastOf = (line: string) =>
  line
    .slice(line.indexOf(': ') + 2)
    .replace(/; did you mean .*$/, '')
    .replace(/; chaperone.dev\/v1alpha1 has .*$/, '');

test('kubectl apply refuses each invalid manifest with its message', async () => {
  const wrong: string[] = [];
  for (const name of readdirSync(INVALID).filter((file) => file.endsWith('.yaml'))) {
    const text = readFileSync(new URL(name, INVALID), 'utf8');
    const lines = text.split('\n').flatMap((line) => (line.startsWith('# expect: ') ? [line.slice('# expect: '.length)] : []));
    // kubectl's own checks come before the server's: they are left out, but for what only they find.
    const verb = NOT_APPLIED.includes(name) ? 'create' : 'apply';
    const lenient = await saidOf(stage.kubectl([verb, '--validate=false', '-f', '-'], { input: text }));
    const strict = lines.every((line) => lenient.includes(lastOf(line)))
      ? ''
      : await saidOf(stage.kubectl([verb, '--validate=strict', '-f', '-'], { input: text }));
    const all = `${lenient}\n${strict}`.replaceAll('\\"', '"');
    assert.notEqual(all, '\n', `${name} was taken`);
    const found = lines.filter((line) => {
      const [path = ''] = line.split(': ');
      return (
        all.includes(lastOf(line)) && (path === '(root)' || all.includes(path) || /unknown field|name is required|no matches/.test(line))
      );
    });
    if (found.length === 0 && OTHER_WORDS[name]?.test(all) !== true) wrong.push(`${name}: none of\n${lines.join('\n')}\nin\n${all}`);
    if (text.includes('# server: accepts')) assert.match(all, /admission webhook "validate.chaperone.dev" denied the request/, name);
  }
  assert.deepEqual(wrong, []);
});

test('a policy whose target does not exist is taken with a warning', async () => {
  const policy = {
    apiVersion: 'chaperone.dev/v1alpha1',
    kind: 'AccessPolicy',
    metadata: { name: 'no-deletes', namespace: 'shop' },
    spec: {
      targetRefs: [{ name: 'nothing' }],
      subjects: [{ group: 'sre' }],
      rules: [{ name: 'no', action: 'Deny', sql: { statements: ['Delete'] } }],
    },
  };
  const { stderr } = await stage.kubectl(['apply', '-f', '-'], { input: JSON.stringify(policy) });
  assert.match(stderr, /Warning: spec.targetRefs\[0\]: the ProtectedResource shop\/nothing does not exist/);
});

test('an opted-in pod that would get around the sidecar is refused, elsewhere it is not our business', async () => {
  assert.match(await create('shop', pod('spy', { spec: { hostPID: true } })), /guard.namespace.chaperone.dev.*spec.hostPID/s);
  assert.equal(await create('plain', pod('spy', { spec: { hostPID: true } })), '');
  const optedIn = { metadata: { annotations: { 'chaperone.dev/inject': 'true' } }, spec: { shareProcessNamespace: true } };
  assert.match(await create('plain', pod('opted', optedIn)), /guard.pod.chaperone.dev.*shareProcessNamespace/s);
  for (const odd of ['True', 'yes', '']) {
    const opted = { metadata: { annotations: { 'chaperone.dev/inject': odd } }, spec: { shareProcessNamespace: true } };
    assert.match(
      await create('plain', pod('odd', opted)),
      /guard.pod.chaperone.dev.*shareProcessNamespace/s,
      `what "${odd}" means is not left open`,
    );
  }
  const optedOut = { metadata: { annotations: { 'chaperone.dev/inject': 'false' } } };
  assert.equal(await create('plain', pod('opted-out', optedOut)), '');
  assert.equal(await create('kube-system', pod('spy', { spec: { hostPID: true } })), '');
  assert.equal(await create('chaperone-system', pod('spy', { spec: { hostPID: true } })), '');
});

test('an injected pod stays as it was injected', async () => {
  assert.equal(await create('plain', pod('kept', { metadata: INJECTED })), '');
  const patch = (type: string, body: object, ...more: string[]) =>
    saidOf(stage.kubectl(['-n', 'plain', 'patch', 'pod', 'kept', `--type=${type}`, '-p', JSON.stringify(body), ...more]));
  assert.match(
    await patch('merge', { metadata: { labels: { 'chaperone.dev/injected': null } } }),
    /guard.injected.chaperone.dev.*injected/s,
  );
  assert.match(await patch('merge', { metadata: { annotations: { 'chaperone.dev/ca-bundle': 'OTHER' } } }), /ca-bundle/);
  assert.equal(await patch('merge', { metadata: { labels: { team: 'a' } } }), '');
  const debug = { spec: { ephemeralContainers: [{ name: 'debugger', image: 'busybox', targetContainerName: 'agent' }] } };
  assert.match(await patch('strategic', debug, '--subresource=ephemeralcontainers'), /ephemeral container/);
  assert.match(await saidOf(stage.kubectl(['-n', 'plain', 'label', 'pod', 'spy', 'chaperone.dev/injected=true'])), /injected/);
});

test('what a status or a binding brings to an injected pod is guarded too, and kubelets and controllers are not asked', async () => {
  assert.equal(await create('plain', pod('status', { metadata: INJECTED })), '');
  const patch = (body: object, kubectl = stage.kubectl) =>
    saidOf(kubectl(['-n', 'plain', 'patch', 'pod', 'status', '--subresource=status', '--type=merge', '-p', JSON.stringify(body)]));
  const run = (restartCount: number, more: object = {}) => ({
    status: {
      initContainerStatuses: [{ name: 'chaperone', image: 'x', imageID: '', ready: true, restartCount, containerID: 'c://1' }],
      ...more,
    },
  });
  assert.match(await patch({ metadata: { labels: { 'chaperone.dev/injected': null } } }), /guard.status.chaperone.dev.*injected/s);
  assert.match(
    await patch({ metadata: { annotations: { 'chaperone.dev/ca-bundle': 'OTHER' } } }),
    /guard.status.chaperone.dev.*ca-bundle/s,
  );
  assert.match(await patch(run(1)), /guard.status.chaperone.dev.*the kubelet's to write/s);
  assert.match(
    await saidOf(
      stage.kubectl([
        '-n',
        'plain',
        'patch',
        'pod',
        'opted-out',
        '--subresource=status',
        '--type=merge',
        '-p',
        JSON.stringify({ metadata: INJECTED }),
      ]),
    ),
    /guard.status.chaperone.dev.*injected/s,
  );
  const bind = (annotations: object) =>
    saidOf(
      stage.kubectl(['create', '--raw', '/api/v1/namespaces/plain/pods/status/binding', '-f', '-'], {
        input: JSON.stringify({
          apiVersion: 'v1',
          kind: 'Binding',
          metadata: { name: 'status', namespace: 'plain', annotations },
          target: { apiVersion: 'v1', kind: 'Node', name: 'node-1' },
        }),
      }),
    );
  assert.match(await bind({ 'chaperone.dev/ca-bundle': 'OTHER' }), /guard.binding.chaperone.dev.*may not bring chaperone.dev\/ca-bundle/s);
  await stage.stopAdmission();
  try {
    // Without the operator nodes and controllers work on.
    assert.equal(await bind({}), '');
    const kubelet = kubectlOf(await stage.plane.kubeconfigOf('system:node:node-1', ['system:nodes', 'system:masters']));
    assert.equal(await patch(run(2), kubelet), '');
    assert.equal(await patch({ status: { conditions: [{ type: 'Ready', status: 'False', reason: 'NodeLost' }] } }), '');
  } finally {
    await stage.startAdmission();
  }
});

test('nobody gets into the sidecar, by WebSocket or SPDY, by exec or attach', async () => {
  const kubeconfig = stage.plane.kubeconfig;
  assert.equal(await create('plain', pod('held')), '');
  const kubectl = kubectlOf(kubeconfig);
  const exec = (container: string) => saidOf(kubectl(['-n', 'plain', 'exec', 'held', '-c', container, '--', 'true']));
  // kubectl looks whether there is such a container before it asks: so ask the API server itself.
  const raw = async (method: 'GET' | 'POST', what: 'exec' | 'attach', query: string) =>
    stage.kube.raw({ method, path: `/api/v1/namespaces/plain/pods/held/${what}?${query}` }).then(
      () => '',
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
  await stage.kubectl(['create', 'clusterrole', 'exec', '--verb=get,create', '--resource=pods/exec,pods/attach']);
  await stage.kubectl([
    'create',
    'clusterrolebinding',
    'exec',
    '--clusterrole=exec',
    '--user=system:serviceaccount:chaperone-system:chaperone-operator',
  ]);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  for (const method of ['GET', 'POST'] as const) {
    for (const what of ['exec', 'attach'] as const) {
      for (const container of ['chaperone', 'chaperone-rules', 'chaperone-validator']) {
        assert.match(
          await raw(method, what, `container=${container}&command=sh&stdout=true`),
          /guard.exec.chaperone.dev.*credential/s,
          `${method} ${what}`,
        );
      }
      const agent = await raw(method, what, 'container=agent&command=sh&stdout=true');
      assert.doesNotMatch(agent, /chaperone.dev/, 'the pod runs nowhere, but that is another error');
      assert.notEqual(agent, '');
      assert.doesNotMatch(await raw(method, what, 'command=sh&stdout=true'), /chaperone.dev/);
    }
  }
  assert.doesNotMatch(await exec('agent'), /chaperone.dev/);
});

test("who may create tokens of an agent's ServiceAccount gets none of the sidecar's audience; a kubelet is not asked", async () => {
  await stage.kubectl(['-n', 'plain', 'create', 'serviceaccount', 'agent']);
  const mint = (as: Kubectl, ...more: string[]) => saidOf(as(['-n', 'plain', 'create', 'token', 'agent', ...more]));
  assert.match(await mint(stage.kubectl, '--audience=chaperone.dev'), /guard.token.chaperone.dev.*for the sidecar alone/s);
  assert.match(await mint(stage.kubectl, '--audience=vault', '--audience=chaperone.dev'), /guard.token.chaperone.dev/);
  assert.equal(await mint(stage.kubectl, '--audience=vault'), '');
  assert.equal(await mint(stage.kubectl), '');
  // What a node may have is for Kubernetes' own admission to say, which asks for the pod that a token is for.
  await stage.kubectl(['create', 'clusterrole', 'mint', '--verb=create', '--resource=serviceaccounts/token']);
  await stage.kubectl(['create', 'clusterrolebinding', 'mint', '--clusterrole=mint', '--group=system:nodes']);
  const node = kubectlOf(await stage.plane.kubeconfigOf('system:node:one', ['system:nodes']));
  await waitFor('the answer to a node', async () => /not bound to a pod/.test(await mint(node, '--audience=chaperone.dev')) || undefined);
});

test('certificates and CA are rotated under load, and no admission fails', async () => {
  const stop = new AbortController();
  let taken = 0;
  const failures: string[] = [];
  const dry = { apiVersion: 'chaperone.dev/v1alpha1', kind: 'ApprovalGate', spec: { approvers: [{ group: 'leads' }] } };
  const load = Array.from({ length: 4 }, async (_, i) => {
    const kube = kubectlOf(stage.plane.kubeconfig);
    const many = Array.from({ length: 20 }, (__, j) =>
      JSON.stringify({ ...dry, metadata: { name: `gate-${i}-${j}`, namespace: 'plain' } }),
    ).join('\n---\n');
    while (!stop.signal.aborted) {
      const said = await saidOf(kube(['create', '--dry-run=server', '-f', '-'], { input: many }));
      if (said === '') taken += 20;
      else failures.push(said);
    }
  });
  for (let i = 0; i < 2; i++) await stage.rotate();
  await new Promise((resolve) => setTimeout(resolve, 2000));
  stop.abort();
  await Promise.all(load);
  assert.deepEqual(failures, []);
  assert.ok(taken > 40, `${taken} admitted`);
});

test('without the webhooks no opted-in pod starts, and nobody else is hindered', async () => {
  await stage.stopAdmission();
  try {
    assert.match(await create('shop', pod('lost')), /failed calling webhook "inject.namespace.chaperone.dev"/);
    assert.match(
      await create('plain', pod('lost', { metadata: { annotations: { 'chaperone.dev/inject': 'true' } } })),
      /failed calling webhook/,
    );
    assert.equal(await create('plain', pod('free')), '');
    assert.equal(await create('kube-system', pod('free')), '');
    assert.equal(await create('chaperone-system', pod('free')), '');
    assert.match(await saidOf(stage.kubectl(['-n', 'plain', 'delete', 'pod', 'kept', '--now'])), /^$/);
  } finally {
    await stage.startAdmission();
  }
  assert.equal(await create('shop', pod('found')), '');
});

test('configurations that somebody made anew have the CA again within seconds', async () => {
  const { stdout } = await stage.kubectl(['get', 'validatingwebhookconfiguration,mutatingwebhookconfiguration', 'chaperone', '-o', 'json']);
  const { items } = JSON.parse(stdout) as { items: { metadata: object; webhooks: { clientConfig: { caBundle?: string } }[] }[] };
  for (const item of items) {
    item.metadata = { name: 'chaperone' };
    for (const { clientConfig } of item.webhooks) delete clientConfig.caBundle;
  }
  await stage.kubectl(['delete', 'validatingwebhookconfiguration,mutatingwebhookconfiguration', 'chaperone']);
  await stage.kubectl(['create', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items }) });
  const begun = performance.now();
  await waitFor('an admission', async () => (await create('shop', pod('again'))) === '' || undefined, 30_000);
  assert.ok(performance.now() - begun < 15_000);
});

test('the configurations are what the API server takes as they are', async () => {
  const { stdout } = await stage.kubectl(['get', 'validatingwebhookconfiguration,mutatingwebhookconfiguration', 'chaperone', '-o', 'json']);
  const { items } = JSON.parse(stdout) as { items: { webhooks: { clientConfig: { caBundle?: string } }[] }[] };
  assert.equal(items.length, 2);
  for (const { clientConfig } of items.flatMap(({ webhooks }) => webhooks)) assert.ok(clientConfig.caBundle);
});
