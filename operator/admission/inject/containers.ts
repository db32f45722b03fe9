import {
  ANNOTATIONS,
  AUDIENCE,
  CONTAINERS,
  type EgressPolicy,
  type InjectionMode,
  PATHS,
  POD_PORTS,
  SIDECAR_UID,
  VALIDATOR_UID,
  VOLUMES,
} from '#crds/control/names.ts';
import type { Addresses } from './addresses.ts';
import type { InjectionSettings, SidecarResources } from './context.ts';
import type { Container, Volume } from './pod.ts';

/** What the injected containers are made of. */
export interface Parts {
  readonly mode: InjectionMode;
  readonly egress: EgressPolicy;
  readonly settings: InjectionSettings;
  readonly resources: SidecarResources;
  readonly listens: Addresses['listens'];
}

const TOKEN_LIFETIME_SECONDS = 600;
/** No signal opens the inspector, and code that runs in the process meets no file but its own. */
const NODE = [PATHS.node, '--disable-sigusr1', '--permission', '--disable-warning=ExperimentalWarning', '--disable-warning=PERM0001'];
const SIDECAR = `${PATHS.app}/sidecar.js`;
/** Small, so that a pod starts soon. */
const CONFINE = `${PATHS.app}/confine.js`;
/** Written out, so that the API server's defaults add nothing and a change by others is seen. */
const LOCKED = {
  allowPrivilegeEscalation: false,
  privileged: false,
  readOnlyRootFilesystem: true,
  seccompProfile: { type: 'RuntimeDefault' },
};
const SMALL = { requests: { cpu: '10m', memory: '64Mi' }, limits: { cpu: '1', memory: '192Mi' } };

/** Before all of the pod's own init containers, in this order. */
export function injectedContainers(parts: Parts): Container[] {
  return parts.mode === 'Transparent' ? [rules(parts), sidecar(parts), validator(parts)] : [sidecar(parts)];
}

export function injectedVolumes({ settings }: Parts): Volume[] {
  const token = { serviceAccountToken: { audience: AUDIENCE, expirationSeconds: TOKEN_LIFETIME_SECONDS, path: 'token' } };
  const field = { apiVersion: 'v1', fieldPath: `metadata.annotations['${ANNOTATIONS.caBundle}']` };
  const ca = { downwardAPI: { items: [{ path: 'ca.crt', fieldRef: field }] } };
  return [
    { name: VOLUMES.identity, projected: { defaultMode: 0o444, sources: [token, ca] } },
    { name: VOLUMES.state, emptyDir: { sizeLimit: settings.stateSize } },
  ];
}

/** A native sidecar: started before what follows, alive until all others have ended. No liveness probe: a kill would end its sessions. */
function sidecar(parts: Parts): Container {
  const { cpuRequest, cpuLimit, memoryRequest, memoryLimit } = parts.resources;
  return {
    ...common(CONTAINERS.sidecar, parts.settings),
    command: [
      ...NODE,
      '--allow-net',
      '--allow-addons',
      ...[PATHS.app, PATHS.identity, PATHS.state].map((path) => `--allow-fs-read=${path}`),
      `--allow-fs-write=${PATHS.state}`,
      SIDECAR,
    ],
    args: sidecarArguments(parts),
    restartPolicy: 'Always',
    ports: [{ name: 'chaperone', containerPort: POD_PORTS.health, protocol: 'TCP' }],
    startupProbe: { ...ready(), periodSeconds: 1, failureThreshold: 300 },
    readinessProbe: { ...ready(), periodSeconds: 5, failureThreshold: 2 },
    resources: { requests: { cpu: cpuRequest, memory: memoryRequest }, limits: { cpu: cpuLimit, memory: memoryLimit } },
    securityContext: {
      ...LOCKED,
      capabilities: { drop: ['ALL'] },
      runAsUser: SIDECAR_UID,
      runAsGroup: SIDECAR_UID,
      runAsNonRoot: true,
    },
    volumeMounts: [
      { name: VOLUMES.identity, mountPath: PATHS.identity, readOnly: true },
      { name: VOLUMES.state, mountPath: PATHS.state },
    ],
  };
}

function sidecarArguments({ mode, egress, settings, listens }: Parts): string[] {
  const where = ['--operator', settings.operatorHost, '--token', PATHS.token, '--ca', PATHS.ca, '--state', PATHS.state];
  const names = ['--cluster-domain', settings.clusterDomain, ...settings.clusterDns.flatMap((address) => ['--dns', address])];
  const health = ['--health-port', String(POD_PORTS.health), '--ttl-seconds', String(settings.snapshotTtlSeconds)];
  const transparent = ['--transparent', '--egress', egress];
  return [
    ...where,
    ...names,
    ...health,
    ...(mode === 'Transparent' ? transparent : listens.flatMap(({ key, host, port }) => ['--listen', `${key}=${host}:${port}`])),
  ];
}

/** Root, as `nft` wants it, with the one capability and nothing mounted. It ends before anything else of the pod starts. */
function rules({ settings, egress }: Parts): Container {
  return {
    ...common(CONTAINERS.rules, settings),
    command: [...NODE, '--allow-child-process', `--allow-fs-read=${PATHS.app}`, CONFINE, 'rules'],
    args: [
      ...['--uid', String(SIDECAR_UID), '--port', String(POD_PORTS.transparent), '--egress', egress],
      ...settings.clusterDns.flatMap((address) => ['--dns', address]),
    ],
    resources: SMALL,
    securityContext: {
      ...LOCKED,
      capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] },
      runAsUser: 0,
      runAsGroup: 0,
      runAsNonRoot: false,
    },
  };
}

/** An agent as far as the kernel can tell: what it can't do, the pod's own containers can't. */
function validator({ settings, egress }: Parts): Container {
  return {
    ...common(CONTAINERS.validator, settings),
    command: [...NODE, '--allow-net', '--allow-child-process', `--allow-fs-read=${PATHS.app}`, CONFINE, 'validate-rules'],
    args: ['--egress', egress],
    resources: SMALL,
    securityContext: {
      ...LOCKED,
      capabilities: { drop: ['ALL'] },
      runAsUser: VALIDATOR_UID,
      runAsGroup: VALIDATOR_UID,
      runAsNonRoot: true,
    },
  };
}

function common(name: string, { image, imagePullPolicy }: InjectionSettings) {
  return {
    name,
    image,
    imagePullPolicy,
    // Empty, as the API server writes it. The image sets none; said here, so that none can come from elsewhere.
    env: [{ name: 'NODE_OPTIONS' }],
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'FallbackToLogsOnError',
  };
}

function ready() {
  return { httpGet: { path: '/readyz', port: POD_PORTS.health, scheme: 'HTTP' }, timeoutSeconds: 3, successThreshold: 1 };
}
