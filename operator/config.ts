/** The operator's flags. The only place of its environment: the downward API says who this pod is. */
import { parseArgs } from 'node:util';
import { PORTS } from '#crds/control/names.ts';

const OPTIONS = {
  kubeconfig: { type: 'string' },
  namespace: { type: 'string' },
  'cluster-name': { type: 'string' },
  'trust-domain': { type: 'string' },
  'sidecar-image': { type: 'string', multiple: true },
  'service-name': { type: 'string' },
  'listen-host': { type: 'string' },
  'enrolment-port': { type: 'string' },
  'control-port': { type: 'string' },
  'telemetry-port': { type: 'string' },
  'log-level': { type: 'string' },
  version: { type: 'boolean' },
} as const;

const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

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
    serviceName: named('--service-name', values['service-name'] ?? 'chaperone'),
    listenHost: values['listen-host'] ?? '::',
    enrolmentPort: port('--enrolment-port', values['enrolment-port'], PORTS.enrolment),
    controlPort: port('--control-port', values['control-port'], PORTS.control),
    telemetryPort: port('--telemetry-port', values['telemetry-port'], PORTS.telemetry),
    logLevel: LOG_LEVELS.find((level) => level === (values['log-level'] ?? 'info')) ?? fail(`--log-level: one of ${LOG_LEVELS.join(', ')}`),
    version: values.version ?? false,
  };
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
