/** The operator's flags. The only place of its environment: the downward API says who this pod is. */
import { parseArgs } from 'node:util';
import { PORTS } from '#crds/control/names.ts';

const OPTIONS = {
  kubeconfig: { type: 'string' },
  namespace: { type: 'string' },
  'cluster-name': { type: 'string' },
  'trust-domain': { type: 'string' },
  'sidecar-image': { type: 'string', multiple: true },
  'sidecar-image-pull-policy': { type: 'string' },
  egress: { type: 'string' },
  'snapshot-ttl-seconds': { type: 'string' },
  'bucket-url': { type: 'string' },
  'bucket-endpoint': { type: 'string' },
  'bucket-region': { type: 'string' },
  'bucket-credentials': { type: 'string' },
  'bucket-ca': { type: 'string' },
  'object-lock-days': { type: 'string' },
  'object-lock-mode': { type: 'string' },
  'webhook-certificate': { type: 'string' },
  'webhook-port': { type: 'string' },
  'cluster-dns': { type: 'string', multiple: true },
  'service-name': { type: 'string' },
  'listen-host': { type: 'string' },
  'enrolment-port': { type: 'string' },
  'control-port': { type: 'string' },
  'telemetry-port': { type: 'string' },
  'log-level': { type: 'string' },
  version: { type: 'boolean' },
} as const;

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'] as const;
const LOCK_MODES = ['COMPLIANCE', 'GOVERNANCE'] as const;
const EGRESS = ['Deny', 'Audit', 'Allow'] as const;

export interface BucketConfig {
  /** `s3://BUCKET/PREFIX`. */
  readonly url: string;
  /** Null means AWS's own. */
  readonly endpoint: string | null;
  readonly region: string;
  /** Folder with the files access-key-id and secret-access-key; null where AWS's SDK finds some: a role of the pod's. */
  readonly credentials: string | null;
  /** File with the PEM of the authority of the endpoint's certificate, in place of the public ones. */
  readonly ca: string | null;
  /** How long Object Lock keeps a recording; 0: not at all. */
  readonly objectLockDays: number;
  readonly objectLockMode: (typeof LOCK_MODES)[number];
}

export interface Config {
  /** A file; null means the pod's own service account. */
  readonly kubeconfig: string | null;
  /** The operator's own namespace: its lease, its CA, its slices. */
  readonly namespace: string;
  /** Name of this replica, unique among them. */
  readonly pod: string;
  readonly clusterName: string;
  readonly trustDomain: string;
  /** Uid of the replica's pod, which owns what goes with it; null where it is no pod. */
  readonly podUid: string | null;
  /** Images that a sidecar may run: this version's, and the one before while pods of it live. The first is injected. */
  readonly sidecarImages: readonly string[];
  readonly sidecarImagePullPolicy: (typeof PULL_POLICIES)[number];
  /** Of transparent pods, to what no ProtectedResource names. */
  readonly egress: (typeof EGRESS)[number];
  /** How long a sidecar goes on with a policy that no operator has confirmed. */
  readonly snapshotTtlSeconds: number;
  /** Where recordings go; null where they stay in the pods. */
  readonly bucket: BucketConfig | null;
  /** Folder with tls.crt, tls.key and ca.crt for the webhooks; null where the operator's own CA makes them. */
  readonly webhookCertificate: string | null;
  readonly webhookPort: number;
  /** Addresses of the cluster's resolvers: where transparent pods may send DNS. Empty: those that this pod has. */
  readonly clusterDns: readonly string[];
  /** Name of the operator's Service in its own namespace: what its certificates are for. */
  readonly serviceName: string;
  readonly listenHost: string;
  readonly enrolmentPort: number;
  readonly controlPort: number;
  readonly telemetryPort: number;
  readonly logLevel: (typeof LOG_LEVELS)[number];
  /** Only tell the version, and end. */
  readonly version: boolean;
}

/** What a user can mend: a flag that is wrong. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

export function readConfig(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Config {
  const values = parsed(args);
  return {
    kubeconfig: values.kubeconfig ?? null,
    namespace: named('--namespace', values.namespace ?? env['POD_NAMESPACE'] ?? 'chaperone-system'),
    pod: named('POD_NAME', env['POD_NAME'] ?? `local-${process.pid}`),
    clusterName: named('--cluster-name', values['cluster-name'] ?? 'cluster'),
    trustDomain: named('--trust-domain', values['trust-domain'] ?? 'cluster.local'),
    podUid: env['POD_UID'] ?? null,
    sidecarImages: values['sidecar-image'] ?? [],
    sidecarImagePullPolicy: oneOf('--sidecar-image-pull-policy', values['sidecar-image-pull-policy'] ?? 'IfNotPresent', PULL_POLICIES),
    egress: oneOf('--egress', values.egress ?? 'Deny', EGRESS),
    snapshotTtlSeconds: ttlOf(values['snapshot-ttl-seconds']),
    bucket: bucketOf(values),
    webhookCertificate: values['webhook-certificate'] ?? null,
    clusterDns: values['cluster-dns'] ?? [],
    webhookPort: port('--webhook-port', values['webhook-port'], PORTS.webhook),
    serviceName: named('--service-name', values['service-name'] ?? 'chaperone'),
    listenHost: values['listen-host'] ?? '::',
    enrolmentPort: port('--enrolment-port', values['enrolment-port'], PORTS.enrolment),
    controlPort: port('--control-port', values['control-port'], PORTS.control),
    telemetryPort: port('--telemetry-port', values['telemetry-port'], PORTS.telemetry),
    logLevel: oneOf('--log-level', values['log-level'] ?? 'info', LOG_LEVELS),
    version: values.version ?? false,
  };
}

function bucketOf(values: ReturnType<typeof parsed>): BucketConfig | null {
  const { 'bucket-url': url, 'bucket-credentials': credentials, 'object-lock-days': days = '0', 'object-lock-mode': mode } = values;
  if (url === undefined) return null;
  if (!/^s3:\/\/[^/]+/.test(url)) fail(`--bucket-url: must be s3://BUCKET/PREFIX, not '${url}'`);
  if (!/^\d{1,5}$/.test(days)) fail(`--object-lock-days: must be a number of days, not '${days}'`);
  return {
    url,
    endpoint: values['bucket-endpoint'] ?? null,
    region: values['bucket-region'] ?? 'us-east-1',
    credentials: credentials ?? null,
    ca: values['bucket-ca'] ?? null,
    objectLockDays: Number(days),
    objectLockMode: oneOf('--object-lock-mode', mode ?? 'COMPLIANCE', LOCK_MODES),
  };
}

/** Less, and a replica that is replaced would be noticed; more, and a policy that was taken away would live on for days. */
function ttlOf(text = '3600'): number {
  const seconds = Number(text);
  return /^\d{1,5}$/.test(text) && seconds >= 10 && seconds <= 86_400
    ? seconds
    : fail(`--snapshot-ttl-seconds: must be from 10 to 86400, not '${text}'`);
}

function oneOf<T extends string>(flag: string, value: string, allowed: readonly T[]): T {
  return allowed.find((one) => one === value) ?? fail(`${flag}: one of ${allowed.join(', ')}, not '${value}'`);
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true }).values;
  } catch (error: unknown) {
    return fail(error instanceof Error ? error.message : 'wrong use');
  }
}

function named(flag: string, value: string): string {
  return /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/.test(value) ? value : fail(`${flag}: must be a DNS name in lower case, not '${value}'`);
}

function port(flag: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  return /^\d{1,5}$/.test(text) && value <= 65535 ? value : fail(`${flag}: must be a port, not '${text}'`);
}

function fail(message: string): never {
  throw new ConfigError(message);
}
