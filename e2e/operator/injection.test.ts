/** Injected pods meet a real API server: its schema, its defaults, its own admission and Pod Security. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse } from 'yaml';
import { type ControlPlane, startControlPlane } from '#e2e/cluster/control-plane.ts';
import { type Kubectl, kubectlOf } from '#e2e/cluster/kubectl.ts';
import { waitFor } from '#e2e/cluster/ready.ts';
import { ROOT } from '#e2e/repo/tree.ts';
import { injectedPod } from '#operator/admission/inject/inject.ts';
import type { Pod } from '#operator/admission/inject/pod.ts';
import { contextWith } from '#operator/admission/inject/testing.ts';
import { injectionProblems } from '#operator/admission/injection-rules.ts';
import { podProblems } from '#operator/admission/pod-rules.ts';

const FOLDER = join(ROOT, 'operator/admission/inject/testdata');
const LEVELS = ['restricted', 'baseline', 'privileged'] as const;
type Level = (typeof LEVELS)[number];

interface Case {
  readonly context?: Parameters<typeof contextWith>[0];
  readonly pod: Pod;
}
const read = (name: string) => parse(readFileSync(join(FOLDER, name), 'utf8')) as Case;

let plane: ControlPlane;
let kubectl: Kubectl;
before(async () => {
  plane = await startControlPlane({ controllers: true });
  kubectl = kubectlOf(plane.kubeconfig);
  for (const level of LEVELS) {
    const labels = { 'pod-security.kubernetes.io/enforce': level, 'pod-security.kubernetes.io/warn': level };
    await kubectl(['create', '-f', '-'], {
      input: JSON.stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: level, labels } }),
    });
    for (const name of ['agent', 'default']) {
      if (name !== 'default') await kubectl(['-n', level, 'create', 'serviceaccount', name]);
      await waitFor(`the ServiceAccount ${name}`, () =>
        kubectl(['-n', level, 'get', 'serviceaccount', name]).then(
          () => true as const,
          () => undefined,
        ),
      );
    }
  }
});
after(() => plane.stop());

/** As the API server would store it, with what it said on the way. */
async function created(pod: Pod, level: Level): Promise<{ readonly pod: Pod; readonly warnings: string }> {
  const whole = { ...pod, apiVersion: 'v1', kind: 'Pod', metadata: { ...pod.metadata, namespace: level } };
  const { stdout, stderr } = await kubectl(['create', '--dry-run=server', '-o', 'json', '-f', '-'], { input: JSON.stringify(whole) });
  return { pod: JSON.parse(stdout) as Pod, warnings: stderr };
}

const injectable = readdirSync(FOLDER).filter(
  (name) => name.endsWith('.yaml') && !name.startsWith('refused-') && name !== 'opted-out.yaml',
);
for (const name of injectable) {
  test(`${name}: the API server takes it, and after its defaults the guard still knows every part`, async () => {
    const { pod, context: overrides } = read(name);
    const context = contextWith(overrides);
    const stored = (await created(injectedPod(pod, context).injected, 'privileged')).pod;
    assert.deepEqual(injectionProblems(stored, context), []);
    assert.deepEqual(podProblems(stored, null), []);
    assert.deepEqual(podProblems(stored, stored), []);
    // Its admission gave each container the default token: what the guard lets pass must really have been there.
    assert.match(JSON.stringify(stored), /kube-api-access-/);
  });
}

test('a pod that keeps to Pod Security restricted does so injected in Explicit mode, low ports too', async () => {
  for (const overrides of [read('restricted.yaml').context, read('low-port.yaml').context]) {
    const { injected } = injectedPod(read('restricted.yaml').pod, contextWith(overrides));
    assert.equal((await created(injected, 'restricted')).warnings, '');
  }
});

test('a pod that does not keep to it is no worse off: what is refused is its own', async () => {
  const { injected } = injectedPod(read('explicit.yaml').pod, contextWith());
  assert.equal((await created(injected, 'baseline')).warnings, '');
  await assert.rejects(created(injected, 'restricted'), (error: Error) => {
    assert.match(error.message, /violates PodSecurity "restricted/);
    assert.doesNotMatch(error.message, /containers? "chaperone/);
    return true;
  });
});

test('Transparent mode is what baseline forbids: the message of the injector comes before', async () => {
  const { pod, context } = read('transparent.yaml');
  const { injected } = injectedPod(pod, contextWith(context));
  await assert.rejects(created(injected, 'baseline'), /violates PodSecurity "baseline.*NET_ADMIN/s);
  const labels = { 'chaperone.dev/injection': 'enabled', 'pod-security.kubernetes.io/enforce': 'baseline' };
  assert.throws(
    () => injectedPod(pod, contextWith({ namespaceLabels: labels })),
    /Pod Security level baseline of the namespace shop forbids/,
  );
});
