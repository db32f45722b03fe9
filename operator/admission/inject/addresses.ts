import { isIP } from 'node:net';
import { POD_PORTS } from '#crds/control/names.ts';
import type { InjectedResource } from './context.ts';
import type { HostAlias } from './pod.ts';

/** Explicit mode: where in the pod each resource is found. */
export interface Addresses {
  /** `--listen` of the sidecar. */
  readonly listens: readonly { readonly key: string; readonly host: string; readonly port: number }[];
  readonly hostAliases: readonly HostAlias[];
  readonly warnings: readonly string[];
}

/** On every address of the pod: a second listener there would keep the sidecar from its readiness, and the pod from its start. */
const RESERVED: readonly number[] = Object.values(POD_PORTS);
/** 127.0.1.1 to 127.0.255.254. */
const MOST_HOSTS = 255 * 254;

/**
 * One loopback address for each host name, and on it the target's own ports: no two resources can collide, and no client needs another
 * port. Of several resources at one host and port the agent reaches the one of its own namespace, else the first by name.
 */
export function addressesFor(resources: readonly InjectedResource[], podNamespace: string, clusterDomain: string): Addresses {
  const sorted = resources.toSorted((a, b) => rank(a, podNamespace) - rank(b, podNamespace) || compare(keyOf(a), keyOf(b)));
  const hosts = new Map<string, { readonly ip: string; readonly names: Set<string> }>();
  const taken = new Map<string, string>();
  const listens: Addresses['listens'][number][] = [];
  const warnings: string[] = [];
  for (const resource of sorted) {
    const { host, port } = resource.address;
    const names = namesOf(host, resource.namespace, podNamespace, clusterDomain);
    const canonical = names[0] ?? host.toLowerCase();
    const other = taken.get(`${canonical}:${port}`);
    if (RESERVED.includes(port)) {
      warnings.push(`${keyOf(resource)} has no address in this pod: the sidecar itself listens on port ${port}`);
      continue;
    }
    if (other !== undefined || hosts.size >= MOST_HOSTS) {
      warnings.push(`${keyOf(resource)} has no address in this pod: ${other ?? 'too many resources'} is at ${host}:${port} already`);
      continue;
    }
    taken.set(`${canonical}:${port}`, keyOf(resource));
    const at = hosts.get(canonical) ?? { ip: loopback(hosts.size), names: new Set<string>() };
    hosts.set(canonical, at);
    for (const name of names) at.names.add(name);
    listens.push({ key: keyOf(resource), host: at.ip, port });
    if (names.length === 0) {
      warnings.push(
        `${keyOf(resource)} is the IP address ${host}, which can't be given to the sidecar in Explicit mode: agents reach it at ${at.ip}:${port}`,
      );
    }
  }
  return { listens, hostAliases: aliasesOf([...hosts.values()]), warnings };
}

/** The addresses that this module gives out. */
export const isInjectedAddress = (ip: string): boolean => /^127\.0\.([1-9]\d{0,2})\.\d{1,3}$/.test(ip);

/** A name is given to the first host that claims it: `db` of the pod's own namespace is before any other. */
function aliasesOf(hosts: readonly { readonly ip: string; readonly names: ReadonlySet<string> }[]): HostAlias[] {
  const given = new Set<string>();
  return hosts.flatMap(({ ip, names }) => {
    const hostnames = [...names].filter((name) => !given.has(name));
    for (const name of hostnames) given.add(name);
    return hostnames.length === 0 ? [] : [{ ip, hostnames }];
  });
}

/**
 * The names under which a pod's containers may look the host up, the fullest first; none for an IP address. A name without dots is a
 * Service of the resource's own namespace, as everywhere in Kubernetes.
 */
export function namesOf(host: string, resourceNamespace: string, podNamespace: string, clusterDomain: string): string[] {
  if (isIP(host) !== 0) return [];
  const name = host.toLowerCase().replace(/\.$/, '');
  const suffix = `.svc.${clusterDomain}`;
  const inCluster = name.endsWith(suffix) ? name.slice(0, -suffix.length) : name.endsWith('.svc') ? name.slice(0, -4) : null;
  if (inCluster === null && name.split('.').length > 2) return [name];
  const path = inCluster ?? (name.includes('.') ? name : `${name}.${resourceNamespace}`);
  const names = [`${path}${suffix}`, `${path}.svc`, path];
  return path.endsWith(`.${podNamespace}`) ? [...names, path.slice(0, -podNamespace.length - 1)] : names;
}

function loopback(index: number): string {
  return `127.0.${1 + Math.floor(index / 254)}.${1 + (index % 254)}`;
}

const keyOf = ({ namespace, name }: InjectedResource) => `${namespace}/${name}`;
const rank = ({ namespace }: InjectedResource, podNamespace: string) => (namespace === podNamespace ? 0 : 1);
const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);
