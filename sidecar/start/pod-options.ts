import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { EGRESS_POLICIES, type EgressPolicy } from '#crds/control/names.ts';
import { NameService } from '../upstream/names.ts';
import { type ListenAddress, parseListens, parsePort, StartError } from './address.ts';

const OPTIONS = {
  operator: { type: 'string' },
  token: { type: 'string' },
  ca: { type: 'string' },
  state: { type: 'string' },
  'cluster-domain': { type: 'string' },
  dns: { type: 'string', multiple: true },
  'health-port': { type: 'string' },
  listen: { type: 'string', multiple: true },
  transparent: { type: 'boolean' },
  egress: { type: 'string' },
} as const;

/** What the injector gives to a sidecar in a pod. */
export interface PodOptions {
  /** Host name of the operator's Service. */
  readonly operator: string;
  readonly tokenFile: string;
  readonly caFile: string;
  /** For `startSidecar`. */
  readonly sidecar: {
    readonly state: string;
    readonly names: NameService;
    readonly metricsPort: number;
    /** Every address: the kubelet asks, and Prometheus. */
    readonly metricsHost: string;
    readonly listen: ReadonlyMap<string, ListenAddress>;
    readonly others: 'None';
    readonly transparent?: { readonly egress: EgressPolicy };
  };
}

/** Throws StartError. */
export function readPodOptions(args: readonly string[], now: () => number): PodOptions {
  const values = parsed(args);
  const needed = (name: 'operator' | 'token' | 'ca' | 'state' | 'health-port'): string => values[name] ?? fail(`--${name} is needed`);
  const servers = values.dns ?? [];
  const bad = servers.find((address) => isIP(address) === 0);
  if (bad !== undefined) fail(`--dns ${bad}: must be an IP address`);
  if (values.transparent === true && values.listen !== undefined)
    fail('--transparent takes all connections: --listen is for Explicit mode');
  return {
    operator: needed('operator'),
    tokenFile: resolve(needed('token')),
    caFile: resolve(needed('ca')),
    sidecar: {
      state: resolve(needed('state')),
      names: new NameService({ servers, clusterDomain: values['cluster-domain'] ?? 'cluster.local', now }),
      metricsPort: parsePort('--health-port', needed('health-port')),
      metricsHost: '::',
      listen: parseListens(values.listen ?? []),
      others: 'None',
      ...(values.transparent === true && { transparent: { egress: readEgress(values.egress ?? 'Deny') } }),
    },
  };
}

function readEgress(text: string): EgressPolicy {
  return EGRESS_POLICIES.find((policy) => policy === text) ?? fail(`--egress ${text}: write ${EGRESS_POLICIES.join(' or ')}`);
}

function parsed(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true }).values;
  } catch (error: unknown) {
    return fail(error instanceof Error ? error.message : 'wrong use');
  }
}

function fail(message: string): never {
  throw new StartError(message);
}
