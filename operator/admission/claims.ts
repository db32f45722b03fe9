/**
 * Whose a target is. In injected pods of other namespaces a ProtectedResource takes the name of its host, so a Service of another namespace is
 * claimed only by somebody who may make ProtectedResources there: else who writes in one namespace decides for the targets of all. A host outside of
 * the cluster may be claimed by everybody, and is for the own namespace's pods alone where the Namespace was not given it (compile/hosts.ts).
 */
import { NAMESPACE_ANNOTATIONS } from '#crds/control/names.ts';
import type { ProtectedResource } from '#crds/v1alpha1/kinds.ts';
import { externalHostsOf, isExternalHost, serviceNamespaceOf } from '../compile/hosts.ts';
import type { UserInfo } from './review.ts';

/** Each may reject: then the claim is refused. */
export interface ClaimLookup {
  /** Its annotations; null where there is no such namespace. */
  namespaceAnnotations(name: string): Promise<{ readonly [key: string]: string } | null>;
  /** Whether the user may create ProtectedResources there. */
  mayProtect(user: UserInfo, namespace: string): Promise<boolean>;
}

interface Host {
  readonly path: string;
  readonly host: string;
}

/** One line for each host that the user may not claim. What `before` had is not asked again. */
export async function claimProblems(
  object: ProtectedResource,
  before: ProtectedResource | null,
  user: UserInfo,
  lookup: ClaimLookup,
): Promise<string[]> {
  const had = new Set((before === null ? [] : hostsOf(before)).map(({ host }) => host));
  const problems: string[] = [];
  for (const { path, host } of hostsOf(object)) {
    const namespace = had.has(host) ? null : serviceNamespaceOf(host, object.metadata.namespace);
    if (namespace === null || namespace === object.metadata.namespace || (await lookup.namespaceAnnotations(namespace)) === null) continue;
    if (await lookup.mayProtect(user, namespace)) continue;
    problems.push(
      `${path}: ${host} is a Service of the namespace ${namespace}, and ${user.username} may not create ProtectedResources there: let its owner protect it`,
    );
  }
  return problems;
}

/** One line for each host that pods of other namespaces will not have. */
export async function claimWarnings(object: ProtectedResource, lookup: ClaimLookup): Promise<string[]> {
  const { namespace } = object.metadata;
  const { externalHosts: key } = NAMESPACE_ANNOTATIONS;
  const outside: Host[] = [];
  for (const claim of hostsOf(object)) {
    const service = serviceNamespaceOf(claim.host, namespace);
    if (service === null || (service !== namespace && (await lookup.namespaceAnnotations(service)) === null)) outside.push(claim);
  }
  if (outside.length === 0) return [];
  const granted = externalHostsOf((await lookup.namespaceAnnotations(namespace))?.[key]);
  return outside
    .filter(({ host }) => !isExternalHost(host, granted))
    .map(
      ({ path, host }) =>
        `${path}: ${host} is outside of the cluster: only pods of ${namespace} have it, unless its Namespace names it in ${key}`,
    );
}

function hostsOf({ spec }: ProtectedResource): Host[] {
  const aliases = (spec.aliases ?? []).map(({ host }, index) => ({ path: `spec.aliases[${index}].host`, host }));
  return [{ path: 'spec.address.host', host: spec.address.host }, ...aliases];
}
