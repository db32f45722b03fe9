/** The names by which operator, sidecar, injector and chart know each other. One place, so that they can't drift apart. */

export const TYPE_URL = 'type.googleapis.com/chaperone.v1.PolicySnapshot';
/** Audience of the projected token that a sidecar enrols with. */
export const AUDIENCE = 'chaperone.dev';

/** Ports of the operator's Service. */
export const PORTS = {
  /** HTTPS: admission webhooks. */
  webhook: 9443,
  /** gRPC over TLS, no client certificate: Enrolment. */
  enrolment: 8443,
  /** gRPC over mTLS: ADS and Sidecar. */
  control: 8444,
  /** HTTP: /healthz, /readyz, /metrics. */
  telemetry: 8080,
} as const;

/** Ports in an injected pod; all below are of the sidecar's network namespace, which is the pod's. */
export const POD_PORTS = {
  /** Transparent mode: everything that leaves the pod is redirected here. */
  transparent: 15001,
  /** HTTP, every address of the pod: GET /healthz, /readyz, /metrics. Read-only. */
  health: 15020,
} as const;

/** The sidecar's own user and group. No container of the agent may run as it. */
export const SIDECAR_UID = 64123;

export const CONTAINERS = { sidecar: 'chaperone', rules: 'chaperone-rules', validator: 'chaperone-validator' } as const;

export const LABELS = {
  /** On a namespace: `enabled`. */
  injection: 'chaperone.dev/injection',
  /** On an injected pod, put there by the injector: `true`. Guards select by it. */
  injected: 'chaperone.dev/injected',
} as const;

export const ANNOTATIONS = {
  /** On a pod: `true` or `false`. */
  inject: 'chaperone.dev/inject',
  /** On a pod: `Explicit` (default) or `Transparent`. */
  mode: 'chaperone.dev/mode',
  /** On a pod, bounded: resources of the sidecar container, `100m` / `256Mi`. */
  cpuRequest: 'chaperone.dev/cpu-request',
  cpuLimit: 'chaperone.dev/cpu-limit',
  memoryRequest: 'chaperone.dev/memory-request',
  memoryLimit: 'chaperone.dev/memory-limit',
  /** On an injected pod, written by the injector: JSON of InjectionStatus. */
  status: 'chaperone.dev/status',
} as const;

export type InjectionMode = 'Explicit' | 'Transparent';

/** Where things lie in the sidecar container. */
export const PATHS = {
  token: '/var/run/secrets/chaperone.dev/token',
  state: '/var/lib/chaperone',
} as const;
