/** What an injected pod may not have: each would give the agent's containers the sidecar's credentials, or a way around it. Pure. */
import { ANNOTATIONS, AUDIENCE, type InjectionMode, LABELS, POD_PORTS, SIDECAR_UID } from '#crds/control/names.ts';
import { agentContainers, isOwnContainer, isOwnVolume } from './inject/own-parts.ts';
import { type Container, capabilityName, type Pod, type PodSpec, type Volume } from './inject/pod.ts';
import { sameValue } from './inject/same.ts';

/** Capabilities that reach the sidecar's process, files, packets or clock, or lead to one that does. */
const REFUSED_CAPABILITIES = [
  ...[
    'ALL',
    'BPF',
    'CHECKPOINT_RESTORE',
    'DAC_READ_SEARCH',
    'MAC_ADMIN',
    'MAC_OVERRIDE',
    'NET_ADMIN',
    'NET_RAW',
    'PERFMON',
    'SETFCAP',
    'SETGID',
  ],
  ...['SETPCAP', 'SETUID', 'SYS_ADMIN', 'SYS_BOOT', 'SYS_MODULE', 'SYS_PTRACE', 'SYS_RAWIO', 'SYS_TIME'],
];
/** Of the node: where pods' volumes and tokens, the container runtime's socket, processes and devices are. */
const NODE_PATHS = [
  ...['/boot', '/dev', '/etc/kubernetes', '/etc/cni', '/opt/cni', '/proc', '/root', '/run', '/sys', '/var/run', '/var/log/pods'],
  ...[
    '/var/lib/cni',
    '/var/lib/containerd',
    '/var/lib/containers',
    '/var/lib/crio',
    '/var/lib/docker',
    '/var/lib/etcd',
    '/var/lib/kubelet',
  ],
  ...['/var/lib/rancher', '/var/snap', '/etc/passwd', '/etc/shadow', '/etc/ssh'],
];

/** Of the node as well: who writes there has their program run by root. To read there is no harm (time zones, authorities). */
const NODE_PROGRAMS = [
  '/bin',
  '/etc',
  '/home',
  '/lib',
  '/lib32',
  '/lib64',
  '/opt',
  '/sbin',
  '/usr',
  '/var/lib/cloud',
  '/var/log',
  '/var/spool',
];

/**
 * For a pod at creation (`oldPod` null) and at update. Each problem says what to change. At update only what this update brings counts: a pod
 * that was let in must still lose its finalizers. `byOperator`: the update is the operator's own, which renews the authorities' certificates.
 */
export function podProblems(pod: Pod, oldPod: Pod | null, options: { readonly byOperator?: boolean } = {}): string[] {
  const mode = modeIn(pod);
  if (oldPod === null) return creationProblems(pod, mode);
  const before = new Set(creationProblems(oldPod, mode));
  const problems = [...changeProblems(pod, oldPod, options.byOperator ?? false), ...creationProblems(pod, mode)];
  return problems.filter((problem) => !before.has(problem));
}

/** By what was injected, which nobody may change, and not by what was asked for. */
function modeIn({ spec }: Pod): InjectionMode {
  return (spec?.initContainers ?? []).some(({ args }) => Array.isArray(args) && args.includes('--transparent'))
    ? 'Transparent'
    : 'Explicit';
}

export function creationProblems(pod: Pod, mode: InjectionMode): string[] {
  const { spec = {} } = pod;
  return [
    ...namespaceProblems(spec),
    ...podUserProblems(spec),
    ...(spec.volumes ?? []).flatMap((volume, i) => volumeProblems(volume, `spec.volumes[${i}] (${volume.name})`, spec)),
    ...agentContainers(spec).flatMap(({ field, container }) => containerProblems(container, field, spec, mode)),
    ...(spec.ephemeralContainers ?? []).map(
      ({ name }) => `ephemeral container ${name}: none may be added to an injected pod, debug a copy of it (kubectl debug --copy-to)`,
    ),
  ];
}

function namespaceProblems(spec: PodSpec): string[] {
  const refused = [
    [spec.hostNetwork, "spec.hostNetwork: the node's network is not the pod's to guard: remove it"],
    [spec.hostPID, "spec.hostPID: shows the sidecar's process: remove it"],
    [spec.hostIPC, "spec.hostIPC: the node's shared memory: remove it"],
    [spec.shareProcessNamespace, "spec.shareProcessNamespace: shows the sidecar's process to the agent: remove it"],
    [
      spec.os?.name === 'windows' ||
        spec.nodeSelector?.['kubernetes.io/os'] === 'windows' ||
        spec.securityContext?.windowsOptions !== undefined,
      `a pod for Windows can't be injected: opt it out with the annotation ${ANNOTATIONS.inject}: "false"`,
    ],
  ] as const;
  return refused.flatMap(([present, message]) => (present === true ? [message] : []));
}

function podUserProblems({ securityContext = {} }: PodSpec): string[] {
  const field = 'spec.securityContext';
  const { runAsUser, runAsGroup, fsGroup, supplementalGroups = [] } = securityContext;
  return [
    ...idProblem(`${field}.runAsUser`, runAsUser, 'user'),
    ...idProblem(`${field}.runAsGroup`, runAsGroup, 'group'),
    ...idProblem(`${field}.fsGroup`, fsGroup, 'group'),
    ...supplementalGroups.flatMap((group, i) => idProblem(`${field}.supplementalGroups[${i}]`, group, 'group')),
  ];
}

function idProblem(field: string, id: number | undefined, what: 'user' | 'group'): string[] {
  return id === SIDECAR_UID ? [`${field}: ${SIDECAR_UID} is the sidecar's own ${what}: choose another`] : [];
}

function volumeProblems(volume: Volume, field: string, spec: PodSpec): string[] {
  const problems: string[] = [];
  const path = volume.hostPath?.path;
  if (path !== undefined && touches(path, NODE_PATHS)) {
    problems.push(`${field}.hostPath: ${path} leads to the kubelet, the container runtime or the node itself: remove it`);
  } else if (path !== undefined && touches(path, NODE_PROGRAMS) && isWritten(volume, spec)) {
    problems.push(`${field}.hostPath: ${path} holds what the node itself runs: mount it with readOnly: true, or remove it`);
  }
  const mints = volume.projected?.sources?.some((source) => source.serviceAccountToken?.audience === AUDIENCE) === true;
  if (mints && !isOwnVolume(volume)) {
    problems.push(`${field}: a token with the audience ${AUDIENCE} is for the sidecar alone: choose another audience`);
  }
  return problems;
}

function isWritten({ name }: Volume, spec: PodSpec): boolean {
  const mounts = agentContainers(spec).flatMap(({ container }) => container.volumeMounts ?? []);
  return mounts.some((mount) => mount.name === name && mount['readOnly'] !== true);
}

/** A folder above one of these holds it, one below is part of it. */
function touches(hostPath: string, nodePaths: readonly string[]): boolean {
  const path = `/${hostPath
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/')}`;
  if (path === '/' || path.split('/').includes('..')) return true;
  return nodePaths.some((node) => path === node || path.startsWith(`${node}/`) || node.startsWith(`${path}/`));
}

function containerProblems(container: Container, field: string, spec: PodSpec, mode: InjectionMode): string[] {
  const { securityContext = {}, volumeMounts = [], volumeDevices = [], ports = [] } = container;
  const problems = [
    ...idProblem(`${field}.securityContext.runAsUser`, securityContext.runAsUser, 'user'),
    ...idProblem(`${field}.securityContext.runAsGroup`, securityContext.runAsGroup, 'group'),
  ];
  const refuse = (present: boolean, message: string) => present && problems.push(`${field}${message}`);
  const reserved = Object.values(POD_PORTS) as readonly (number | undefined)[];
  const added = (securityContext.capabilities?.add ?? []).filter((name) => REFUSED_CAPABILITIES.includes(capabilityName(name)));
  const taken = ports.map(({ containerPort }) => containerPort).filter((port) => reserved.includes(port));
  const mounted = [...volumeMounts, ...volumeDevices].filter(isOwnVolume);
  refuse(isOwnContainer(container), ': this name is for what Chaperone injects: choose another');
  refuse(securityContext.privileged === true, '.securityContext.privileged: reaches every process of the node: remove it');
  refuse(securityContext.procMount === 'Unmasked', '.securityContext.procMount: Unmasked shows parts of the kernel: remove it');
  refuse(securityContext.windowsOptions !== undefined, ".securityContext.windowsOptions: a pod for Windows can't be injected: remove it");
  refuse(added.length > 0, `.securityContext.capabilities.add: ${added.join(', ')} would get around the sidecar: remove it`);
  refuse(mounted.length > 0, `.volumeMounts: ${mounted.map(({ name }) => name).join(', ')} is the sidecar's own: remove the mount`);
  refuse(taken.length > 0, `.ports: ${taken.join(', ')} is the sidecar's: choose another port`);
  refuse(
    mode === 'Transparent' && (securityContext.runAsUser ?? spec.securityContext?.runAsUser) === undefined,
    `.securityContext.runAsUser: in Transparent mode the user of a container decides where its packets go, and the image's own is not known: set it to a number other than ${SIDECAR_UID}`,
  );
  return problems;
}

/** What was injected stays as it is for the life of the pod. */
function changeProblems(pod: Pod, oldPod: Pod, byOperator: boolean): string[] {
  const problems: string[] = [];
  const keep = (what: string, before: unknown, after: unknown) => {
    if (!sameValue(before, after)) problems.push(`${what} is the injector's and can't be changed: make a new pod instead`);
  };
  const guarded = [ANNOTATIONS.status, ANNOTATIONS.mode, ...(byOperator ? [] : [ANNOTATIONS.caBundle])];
  keep(`the label ${LABELS.injected}`, oldPod.metadata?.labels?.[LABELS.injected], pod.metadata?.labels?.[LABELS.injected]);
  for (const name of guarded) keep(`the annotation ${name}`, oldPod.metadata?.annotations?.[name], pod.metadata?.annotations?.[name]);
  const own = ({ spec }: Pod) => (spec?.initContainers ?? []).filter(isOwnContainer);
  for (const name of new Set([...own(oldPod), ...own(pod)].map((container) => container.name))) {
    const find = (of: Pod) => own(of).find((container) => container.name === name);
    keep(`the container ${name}`, find(oldPod), find(pod));
  }
  const volumes = ({ spec }: Pod) => (spec?.volumes ?? []).filter(isOwnVolume);
  keep("the sidecar's volumes", volumes(oldPod), volumes(pod));
  keep('spec.hostAliases', oldPod.spec?.hostAliases, pod.spec?.hostAliases);
  return problems;
}
