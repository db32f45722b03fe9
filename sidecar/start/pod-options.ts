import { isIP } from 'node:net';
import { EGRESS_POLICIES, type EgressPolicy } from '#crds/control/names.ts';
import type { SidecarOptions } from '../start.ts';
import { NameService } from '../upstream/names.ts';
import { parsePort, StartError } from './address.ts';

/** Beside those of every sidecar with an operator: what the injector gives to one in a pod. */
export const POD_OPTIONS = {
  'cluster-domain': { type: 'string' },
  dns: { type: 'string', multiple: true },
  'health-port': { type: 'string' },
  transparent: { type: 'boolean' },
  egress: { type: 'string' },
} as const;

interface PodValues {
  readonly 'cluster-domain'?: string;
  readonly dns?: readonly string[];
  readonly 'health-port'?: string;
  readonly transparent?: boolean;
  readonly egress?: string;
  readonly listen?: readonly string[];
}

/** With `--cluster-domain` names are looked up by DNS alone, and a resource that the pod was not made for has no listener. Throws StartError. */
export function podSettings(
  values: PodValues,
  now: () => number,
): Pick<SidecarOptions, 'names' | 'others' | 'metricsPort' | 'metricsHost' | 'transparent'> {
  const { 'cluster-domain': clusterDomain, dns: servers = [], 'health-port': health, transparent = false, egress, listen } = values;
  const bad = servers.find((address) => isIP(address) === 0);
  if (bad !== undefined) throw new StartError(`--dns ${bad}: must be an IP address`);
  if (transparent && listen !== undefined) throw new StartError('--transparent takes all connections: --listen is for Explicit mode');
  if (transparent && clusterDomain === undefined) throw new StartError('--transparent needs --cluster-domain');
  if (!transparent && egress !== undefined) throw new StartError('--egress is for --transparent');
  return {
    ...(clusterDomain !== undefined && { names: new NameService({ servers, clusterDomain, now }), others: 'None' }),
    // Every address: the kubelet asks, and Prometheus.
    ...(health !== undefined && { metricsPort: parsePort('--health-port', health), metricsHost: '::' }),
    ...(transparent && { transparent: { egress: readEgress(egress ?? 'Deny') } }),
  };
}

function readEgress(text: string): EgressPolicy {
  const egress = EGRESS_POLICIES.find((policy) => policy === text);
  if (egress === undefined) throw new StartError(`--egress ${text}: write ${EGRESS_POLICIES.join(' or ')}`);
  return egress;
}
