import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AUDIENCE, SIDECAR_UID } from '#crds/control/names.ts';
import { injectedPod } from './inject/inject.ts';
import type { Container, Pod, PodSpec } from './inject/pod.ts';
import { contextWith, type Loose } from './inject/testing.ts';
import { podProblems } from './pod-rules.ts';

const AGENT: Container = { name: 'agent', image: 'example.com/agent:1', securityContext: { runAsUser: 1000 } };
const podOf = (spec: PodSpec, mode: 'Explicit' | 'Transparent' = 'Explicit'): Pod => {
  const bare: Pod = { metadata: { name: 'agent', annotations: { 'chaperone.dev/mode': mode } }, spec: { containers: [AGENT] } };
  const { injected } = injectedPod(bare, contextWith());
  return { ...injected, spec: { ...injected.spec, ...spec } };
};
const GOOD = podOf({});
const inits = (pod: Pod) => pod.spec?.initContainers ?? [];
const volume = (source: object): PodSpec => ({ volumes: [...(GOOD.spec?.volumes ?? []), { name: 'extra', ...source }] });
const token = (audience: string): PodSpec => volume({ projected: { sources: [{ serviceAccountToken: { audience, path: 'token' } }] } });

const hostPath = (path: string, mount: object = {}): PodSpec => ({
  ...volume({ hostPath: { path } }),
  containers: [{ ...AGENT, volumeMounts: [{ name: 'extra', mountPath: '/x', ...mount }] }],
});

/** Fields of the pod: what is wrong with each is said with the field's name in it. */
const POD_FIELDS: readonly [string, PodSpec, RegExp][] = [
  ['hostNetwork', { hostNetwork: true }, /spec\.hostNetwork/],
  ['hostPID', { hostPID: true }, /spec\.hostPID/],
  ['hostIPC', { hostIPC: true }, /spec\.hostIPC/],
  ['shareProcessNamespace', { shareProcessNamespace: true }, /spec\.shareProcessNamespace/],
  ['windows by os', { os: { name: 'windows' } }, /Windows/],
  ['windows by node', { nodeSelector: { 'kubernetes.io/os': 'windows' } }, /Windows/],
  ['windowsOptions', { securityContext: { windowsOptions: {} } }, /Windows/],
  ['runAsUser', { securityContext: { runAsUser: SIDECAR_UID } }, /spec\.securityContext\.runAsUser: 64123/],
  ['runAsGroup', { securityContext: { runAsGroup: SIDECAR_UID } }, /spec\.securityContext\.runAsGroup: 64123/],
  ['fsGroup', { securityContext: { fsGroup: SIDECAR_UID } }, /spec\.securityContext\.fsGroup: 64123/],
  ['supplementalGroups', { securityContext: { supplementalGroups: [1, SIDECAR_UID] } }, /supplementalGroups\[1\]: 64123/],
  ['a token of our audience', token(AUDIENCE), /audience chaperone\.dev is for the sidecar alone/],
  ...[
    '/',
    '/var/lib/kubelet',
    '/var/lib/kubelet/pods/x',
    '/var/lib',
    '/var/',
    '/run/containerd/containerd.sock',
    '//proc/1/root',
    '/etc',
    '/dev/mem',
  ].map((path): [string, PodSpec, RegExp] => [`hostPath ${path}`, volume({ hostPath: { path } }), /\(extra\)\.hostPath: .* remove it/]),
  ...[
    '/usr/local/bin',
    '/usr',
    '/etc/cron.d',
    '/home/admin/.ssh',
    '/opt/bin',
    '/lib/systemd/system',
    '/var/log/containers',
    '/var/spool/cron',
  ].map((path): [string, PodSpec, RegExp] => [`hostPath ${path}, written`, hostPath(path), /\(extra\)\.hostPath: .* readOnly: true/]),
];

/** Fields of a container: refused in each list of containers. */
const CONTAINER_FIELDS: readonly [string, Partial<Container>, RegExp][] = [
  ['runAsUser', { securityContext: { runAsUser: SIDECAR_UID } }, /runAsUser: 64123 is the sidecar's own user/],
  ['runAsGroup', { securityContext: { runAsUser: 1, runAsGroup: SIDECAR_UID } }, /runAsGroup: 64123 is the sidecar's own group/],
  ['privileged', { securityContext: { privileged: true } }, /privileged: reaches every process/],
  ['procMount', { securityContext: { procMount: 'Unmasked' } }, /procMount: Unmasked/],
  ['windowsOptions', { securityContext: { windowsOptions: {} } }, /Windows/],
  ...[
    'NET_ADMIN',
    'NET_RAW',
    'SYS_PTRACE',
    'SYS_ADMIN',
    'SETUID',
    'SETGID',
    'ALL',
    'cap_net_admin',
    'Bpf',
    'DAC_READ_SEARCH',
    'SYS_TIME',
  ].map((name): [string, Partial<Container>, RegExp] => [
    `capability ${name}`,
    { securityContext: { capabilities: { add: ['CHOWN', name], drop: ['ALL'] } } },
    new RegExp(`capabilities\\.add: ${name} would`),
  ]),
  ['the token', { volumeMounts: [{ name: 'chaperone-identity', mountPath: '/x' }] }, /chaperone-identity is the sidecar's own/],
  ['the state', { volumeMounts: [{ name: 'chaperone-state', mountPath: '/x' }] }, /chaperone-state is the sidecar's own/],
  ['the state as a device', { volumeDevices: [{ name: 'chaperone-state', devicePath: '/x' }] }, /chaperone-state is the sidecar's own/],
  ['the health port', { ports: [{ containerPort: 15020 }] }, /15020 is the sidecar's/],
  ['the transparent port', { ports: [{ containerPort: 15001 }] }, /15001 is the sidecar's/],
];

const LISTS: readonly [string, (container: Container) => PodSpec][] = [
  ['containers', (container) => ({ containers: [AGENT, container] })],
  ['initContainers', (container) => ({ initContainers: [...inits(GOOD), container] })],
  ['ephemeralContainers', (container) => ({ ephemeralContainers: [container] })],
];

describe('at creation and at update', () => {
  const cases: [string, PodSpec, RegExp][] = [
    ...POD_FIELDS,
    ...LISTS.flatMap(([list, put]) =>
      CONTAINER_FIELDS.map(([field, part, message]): [string, PodSpec, RegExp] => [
        `${list}: ${field}`,
        put({ ...AGENT, name: 'other', ...part }),
        message,
      ]),
    ),
    ['containers: our name', { containers: [{ ...AGENT, name: 'chaperone' }] }, /this name is for what Chaperone injects/],
    [
      'ephemeralContainers: our name',
      { ephemeralContainers: [{ ...AGENT, name: 'chaperone' }] },
      /this name is for what Chaperone injects/,
    ],
    ['ephemeralContainers: any', { ephemeralContainers: [AGENT] }, /none may be added to an injected pod/],
  ];
  for (const [name, spec, message] of cases) {
    test(name, () => {
      const bad = { ...GOOD, spec: { ...GOOD.spec, ...spec } };
      assert.match(podProblems(bad, null).join('\n'), message);
      assert.match(podProblems(bad, GOOD).join('\n'), message);
      // It is there already: an update that only takes a finalizer off goes through.
      assert.deepEqual(podProblems({ ...bad, metadata: { ...bad.metadata, finalizers: [] } }, bad), []);
    });
  }
});

test('what is fine is let through, at creation and at update', () => {
  const fine: PodSpec[] = [
    {},
    token('vault'),
    hostPath('/data/shared'),
    hostPath('/usr/share/zoneinfo', { readOnly: true }),
    hostPath('/etc/ssl/certs', { readOnly: true }),
    { securityContext: { runAsUser: 1000, fsGroup: 2000, supplementalGroups: [3000] } },
    {
      containers: [
        { ...AGENT, securityContext: { runAsUser: 0, capabilities: { add: ['NET_BIND_SERVICE'] } }, ports: [{ containerPort: 8080 }] },
      ],
    },
    { hostNetwork: false, hostPID: false, shareProcessNamespace: false },
  ];
  for (const spec of fine) {
    const pod = { ...GOOD, spec: { ...GOOD.spec, ...spec } };
    assert.deepEqual(podProblems(pod, null), []);
    assert.deepEqual(podProblems({ ...pod, metadata: { ...pod.metadata, resourceVersion: '2' } }, pod), []);
  }
});

test('Transparent mode wants to know the user of every container; the pod may say it for all', () => {
  const transparent = podOf({}, 'Transparent');
  const silent = (securityContext: PodSpec['securityContext']): Pod => ({
    ...transparent,
    spec: { ...transparent.spec, ...(securityContext && { securityContext }), containers: [{ name: 'agent' }] },
  });
  assert.match(podProblems(silent(undefined), null).join(), /set it to a number other than 64123/);
  assert.deepEqual(podProblems(silent({ runAsUser: 1000 }), null), []);
});

describe('what was injected stays for the life of the pod', () => {
  const change = (edit: (pod: Loose) => void): Pod => {
    const pod = structuredClone(GOOD);
    edit(pod);
    return pod;
  };
  const own = (pod: Loose) => pod.spec.initContainers.find(({ name }: Container) => name === 'chaperone');
  const changes: [string, (pod: Loose) => void, RegExp][] = [
    ['the label removed', (pod) => delete pod.metadata.labels['chaperone.dev/injected'], /label chaperone\.dev\/injected/],
    ['the label changed', (pod) => (pod.metadata.labels['chaperone.dev/injected'] = 'false'), /label chaperone\.dev\/injected/],
    ['the status', (pod) => (pod.metadata.annotations['chaperone.dev/status'] = '{}'), /annotation chaperone\.dev\/status/],
    ['the authorities', (pod) => (pod.metadata.annotations['chaperone.dev/ca-bundle'] = 'mine'), /annotation chaperone\.dev\/ca-bundle/],
    ['the mode', (pod) => (pod.metadata.annotations['chaperone.dev/mode'] = 'Transparent'), /annotation chaperone\.dev\/mode/],
    ['the image', (pod) => (own(pod).image = 'example.com/evil:1'), /container chaperone is the injector's/],
    ['the memory (resize)', (pod) => (own(pod).resources.limits.memory = '1Mi'), /container chaperone is the injector's/],
    ['the container removed', (pod) => pod.spec.initContainers.shift(), /container chaperone is the injector's/],
    [
      'a container of our name added',
      (pod) => pod.spec.initContainers.push({ name: 'chaperone-rules' }),
      /container chaperone-rules is the injector's/,
    ],
    ['a volume', (pod) => (pod.spec.volumes.at(-1).emptyDir.sizeLimit = '1'), /the sidecar's volumes/],
    ['the aliases', (pod) => pod.spec.hostAliases.pop(), /spec\.hostAliases/],
  ];
  for (const [name, edit, message] of changes) {
    test(name, () => {
      assert.match(podProblems(change(edit), GOOD).join('\n'), message);
    });
  }

  test('labels, annotations and images of the agent may change', () => {
    const other = change((pod) => {
      pod.metadata.labels.app = 'x';
      pod.metadata.annotations['example.com/a'] = 'b';
      pod.spec.containers[0].image = 'example.com/agent:2';
    });
    assert.deepEqual(podProblems(other, GOOD), []);
  });

  test('the operator may renew the authorities, and nothing else', () => {
    const renewed = change((pod) => (pod.metadata.annotations['chaperone.dev/ca-bundle'] = 'next'));
    assert.deepEqual(podProblems(renewed, GOOD, { byOperator: true }), []);
    const removed = change((pod) => delete pod.metadata.labels['chaperone.dev/injected']);
    assert.equal(podProblems(removed, GOOD, { byOperator: true }).length, 1);
  });
});
