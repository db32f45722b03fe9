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

/** Who the validator container runs as: some user that is not the sidecar's. */
export const VALIDATOR_UID = 64124;

export const CONTAINERS = { sidecar: 'chaperone', rules: 'chaperone-rules', validator: 'chaperone-validator' } as const;

/** Volumes of an injected pod that only the sidecar container may mount. */
export const VOLUMES = { identity: 'chaperone-identity', state: 'chaperone-state' } as const;

export const LABELS = {
  /** On a namespace: one of INJECTION_VALUES. */
  injection: 'chaperone.dev/injection',
  /** On a namespace: the InjectionMode that its pods have at least. */
  mode: 'chaperone.dev/mode',
  /** On a namespace: its EgressPolicy in transparent mode, instead of the operator's. Never on a pod: an agent's author could weaken it. */
  egress: 'chaperone.dev/egress',
  /** On an injected pod, put there by the injector: `true`. Guards select by it. */
  injected: 'chaperone.dev/injected',
} as const;

export const NAMESPACE_ANNOTATIONS = {
  /** Hosts outside of the cluster that ProtectedResources of the namespace take in the pods of all namespaces: `db.example.com, *.corp.example`. */
  externalHosts: 'chaperone.dev/external-hosts',
} as const;

/** `enabled`: a pod may opt out, and has no credential then. `required`: it may not. */
export const INJECTION_VALUES = ['enabled', 'required'] as const;

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
  /** On an injected pod, written by the injector: PEM that the sidecar verifies the operator with. */
  caBundle: 'chaperone.dev/ca-bundle',
} as const;

/** From the weaker to the stricter. */
export const INJECTION_MODES = ['Explicit', 'Transparent'] as const;
export type InjectionMode = (typeof INJECTION_MODES)[number];

/** Transparent mode: what becomes of a connection to an address that no ProtectedResource has. */
export const EGRESS_POLICIES = ['Deny', 'Audit', 'Allow'] as const;
export type EgressPolicy = (typeof EGRESS_POLICIES)[number];

/** Where things lie in the sidecar container. */
export const PATHS = {
  identity: '/var/run/secrets/chaperone.dev',
  token: '/var/run/secrets/chaperone.dev/token',
  ca: '/var/run/secrets/chaperone.dev/ca.crt',
  state: '/var/lib/chaperone',
  node: '/usr/bin/node',
  /** The folder of the bundle. */
  app: '/app',
} as const;
