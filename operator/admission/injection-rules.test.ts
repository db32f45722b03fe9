import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { injectedPod } from './inject/inject.ts';
import type { Pod } from './inject/pod.ts';
import { contextWith, type Loose } from './inject/testing.ts';
import { injectionProblems } from './injection-rules.ts';

const context = contextWith();
const bare = (mode: string): Pod => ({
  metadata: { name: 'agent', annotations: { 'chaperone.dev/mode': mode } },
  spec: { securityContext: { runAsUser: 1000 }, initContainers: [{ name: 'first' }], containers: [{ name: 'agent' }] },
});
const changed = (edit: (pod: Loose) => void, mode = 'Transparent'): Pod => {
  const pod = structuredClone(injectedPod(bare(mode), context).injected);
  edit(pod);
  return pod;
};
const FOREIGN = '-----BEGIN CERTIFICATE-----\nZm9yZWlnbg==\n-----END CERTIFICATE-----\n';
const sidecar = (pod: Loose) => pod.spec.initContainers.find(({ name }: { name: string }) => name === 'chaperone');

describe('a change after injection is found', () => {
  const changes: [string, (pod: Loose) => void, RegExp][] = [
    ['no label', (pod) => delete pod.metadata.labels['chaperone.dev/injected'], /the label/],
    ['no sidecar', (pod) => pod.spec.initContainers.splice(1, 1), /container chaperone is not there/],
    ['no validator', (pod) => pod.spec.initContainers.splice(2, 1), /container chaperone-validator is not there/],
    ['two sidecars', (pod) => pod.spec.initContainers.push(sidecar(pod)), /container chaperone is not there/],
    ['another image', (pod) => (sidecar(pod).image = 'x'), /container chaperone is not as injected/],
    ['another command', (pod) => (sidecar(pod).command = ['/usr/bin/node', '-e', '1']), /not as injected/],
    ['an environment', (pod) => sidecar(pod).env.push({ name: 'NODE_OPTIONS', value: '--inspect' }), /not as injected/],
    ['an environment from elsewhere', (pod) => (sidecar(pod).envFrom = [{ configMapRef: { name: 'x' } }]), /not as injected/],
    ['a hook', (pod) => (sidecar(pod).lifecycle = { preStop: { exec: { command: ['x'] } } }), /not as injected/],
    ['a liveness probe', (pod) => (sidecar(pod).livenessProbe = { tcpSocket: { port: 1 } }), /not as injected/],
    ['a terminal', (pod) => (sidecar(pod).stdin = true), /not as injected/],
    ['another mount', (pod) => sidecar(pod).volumeMounts.push({ name: 'kube-api-access-x', mountPath: '/etc' }), /not as injected/],
    ['less isolation', (pod) => (sidecar(pod).securityContext.capabilities = { add: ['SYS_PTRACE'] }), /not as injected/],
    ['other egress', (pod) => (sidecar(pod).args[sidecar(pod).args.indexOf('Deny')] = 'Allow'), /not as injected/],
    ['less memory', (pod) => (sidecar(pod).resources.limits.memory = '1Mi'), /not as injected/],
    [
      'the order',
      (pod) => pod.spec.initContainers.splice(0, 2, pod.spec.initContainers[1], pod.spec.initContainers[0]),
      /not in their order/,
    ],
    [
      'one before the rules',
      (pod) =>
        pod.spec.initContainers.unshift({
          name: 'mesh',
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        }),
      /mesh would start before chaperone-rules/,
    ],
    ['the volume', (pod) => (pod.spec.volumes[0].projected.sources[0].serviceAccountToken.audience = 'x'), /volumes are not as injected/],
    ['an unhardened container', (pod) => pod.spec.containers.push({ name: 'late' }), /late: securityContext is not as injected/],
    ['the agent softened', (pod) => (pod.spec.containers[0].securityContext.allowPrivilegeEscalation = true), /agent: securityContext/],
    ['no authority', (pod) => delete pod.metadata.annotations['chaperone.dev/ca-bundle'], /ca-bundle is not as injected/],
    ['another authority', (pod) => (pod.metadata.annotations['chaperone.dev/ca-bundle'] += FOREIGN), /ca-bundle is not as injected/],
    ['a field that no pod may have', (pod) => (pod.spec.hostPID = true), /spec\.hostPID/],
  ];
  for (const [name, edit, message] of changes) {
    test(name, () => {
      assert.match(injectionProblems(changed(edit), context).join('\n'), message);
    });
  }
});

test("what the API server's own admission adds is no change", () => {
  const pod = changed((pod) => {
    sidecar(pod).volumeMounts.push({
      name: 'kube-api-access-abcde',
      mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
      readOnly: true,
    });
    for (const mount of sidecar(pod).volumeMounts) if (mount.readOnly) mount.recursiveReadOnly = 'Disabled';
    sidecar(pod).resources.limits['ephemeral-storage'] = '1Gi';
    sidecar(pod).resources.limits.cpu = '2000m';
    pod.spec.volumes.unshift({ name: 'kube-api-access-abcde', projected: { sources: [] } });
  });
  assert.deepEqual(injectionProblems(pod, context), []);
});

test('a resource that came between the two webhooks is no reason to refuse', () => {
  const more = contextWith({ resources: [...context.resources, { namespace: 'shop', name: 'new', address: { host: 'new', port: 1234 } }] });
  assert.deepEqual(
    injectionProblems(
      changed(() => {}, 'Explicit'),
      more,
    ),
    [],
  );
});

test('a pod that was not injected, where it should have been', () => {
  assert.match(injectionProblems(bare('Explicit'), context).join('\n'), /the container chaperone is not there/);
});

test('a pod that opted out may not look injected', () => {
  const out = (labels: object): Pod => ({
    metadata: { annotations: { 'chaperone.dev/inject': 'false' }, labels: { ...labels } },
    spec: { containers: [{ name: 'agent' }] },
  });
  assert.deepEqual(injectionProblems(out({}), context), []);
  assert.match(injectionProblems(out({ 'chaperone.dev/injected': 'true' }), context).join(), /not to be injected/);
});

test('an authority that only one of the replicas has taken on yet is no change, whichever of them injected', () => {
  const [old, next] = ['b2xk', 'bmV4dA=='].map((base64) => `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`);
  const pod = injectedPod(bare('Explicit'), contextWith({ caBundle: `${old}` })).injected;
  assert.deepEqual(injectionProblems(pod, contextWith({ caBundle: `${old}${next}` })), []);
});
