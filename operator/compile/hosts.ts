/**
 * Whose a host is. In the pods of its own namespace a ProtectedResource takes whatever name it says: who writes there owns them. In those of other
 * namespaces it takes the name of a Service of its own namespace; that of another's where its author was let (admission asked, for which that
 * namespace had to be there first); and a host outside of the cluster where the resource's namespace was given it, on the Namespace itself, which
 * only the cluster's admins may edit.
 */
import type { ProtectedResource } from '#crds/v1alpha1/kinds.ts';

/** What counts of a Namespace. */
export interface NamespaceFacts {
  /** RFC 3339, as the API server writes it. */
  readonly createdAt: string;
  /** Of `chaperone.dev/external-hosts`. */
  readonly externalHosts: readonly string[];
}

/** Null: there are none, all is one author's (a folder of manifests). */
export type Namespaces = ReadonlyMap<string, NamespaceFacts> | null;

export interface Owner {
  readonly namespace: string;
  /** Absent: not known, and so not before anything. */
  readonly createdAt?: string | undefined;
}

interface Place {
  readonly host: string;
  readonly port: number;
}

/** A list as people write it: by commas, spaces or lines. `*.example.com` is every name below it, `*` every host outside. */
export function externalHostsOf(text: string | undefined): readonly string[] {
  return (text ?? '').split(/[\s,]+/).flatMap((pattern) => (pattern === '' ? [] : [plain(pattern)]));
}

export function isExternalHost(host: string, patterns: readonly string[]): boolean {
  const name = plain(host);
  return patterns.some((pattern) => {
    if (pattern === '*') return true;
    return pattern.startsWith('*.')
      ? !isAddress(name) && name.length > pattern.length - 1 && name.endsWith(pattern.slice(1))
      : pattern === name;
  });
}

/** Whether pods of other namespaces have the host as well. */
export function isTakenEverywhere(host: string, owner: Owner, namespaces: Namespaces): boolean {
  if (namespaces === null) return true;
  const service = serviceNamespaceOf(host, owner.namespace);
  if (service === owner.namespace) return true;
  const other = service === null ? undefined : namespaces.get(service);
  // Claimed before the namespace was there, it was claimed of nobody, and nobody was asked.
  if (other !== undefined) return owner.createdAt !== undefined && other.createdAt <= owner.createdAt;
  return isExternalHost(host, namespaces.get(owner.namespace)?.externalHosts ?? []);
}

/** The places of a target that a pod of the namespace has: none, where not even its address is among them. */
export function placesIn<P extends Place>(
  podNamespace: string,
  owner: Owner,
  { address, aliases }: { readonly address: P; readonly aliases: readonly P[] },
  namespaces: Namespaces,
): { readonly address: P; readonly aliases: readonly P[] } | null {
  const has = ({ host }: P) => podNamespace === owner.namespace || isTakenEverywhere(host, owner, namespaces);
  return has(address) ? { address, aliases: aliases.filter(has) } : null;
}

/** The hosts of a target that only its own namespace's pods have. */
export function ownHosts(
  { metadata, spec }: ProtectedResource & { readonly metadata: { readonly createdAt?: string } },
  namespaces: Namespaces,
): string[] {
  const hosts = [spec.address, ...(spec.aliases ?? [])].map(({ host }) => host);
  return [...new Set(hosts)].filter((host) => !isTakenEverywhere(host, metadata, namespaces));
}

/**
 * As names are looked up and given to pods (admission/inject/addresses.ts): the namespace whose Service it would be; null where it is none, but a name or an
 * address outside of the cluster.
 */
export function serviceNamespaceOf(host: string, own: string): string | null {
  if (isAddress(host)) return null;
  const name = plain(host);
  const path = name.replace(/\.svc(\.cluster\.local)?$/, '');
  const labels = path.split('.');
  // `db.svc` is a name of nothing, and may not pass for one.
  if (labels.length < 2) return path === name ? own : null;
  return path === name && labels.length > 2 ? null : (labels.at(-1) ?? null);
}

const isAddress = (host: string) => host.includes(':') || /^[\d.]+$/.test(host);
const plain = (host: string) => host.toLowerCase().replace(/\.$/, '');
