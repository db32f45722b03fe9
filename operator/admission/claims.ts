/**
 * Whose a target is. In every injected pod of the cluster a ProtectedResource takes the name of its host, so a Service of another namespace is
 * claimed only by somebody who may make ProtectedResources there: else who writes in one namespace decides for the targets of all.
 */
import { isIP } from 'node:net';
import type { ProtectedResource } from '#crds/v1alpha1/kinds.ts';
import type { UserInfo } from './review.ts';

/** Each may reject: then the claim is refused. */
export interface ClaimLookup {
  namespaceExists(name: string): Promise<boolean>;
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
    const namespace = had.has(host) ? null : serviceNamespaceOf(host);
    if (namespace === null || namespace === object.metadata.namespace || !(await lookup.namespaceExists(namespace))) continue;
    if (await lookup.mayProtect(user, namespace)) continue;
    problems.push(
      `${path}: ${host} is a Service of the namespace ${namespace}, and ${user.username} may not create ProtectedResources there: let its owner protect it`,
    );
  }
  return problems;
}

function hostsOf({ spec }: ProtectedResource): Host[] {
  const aliases = (spec.aliases ?? []).map(({ host }, index) => ({ path: `spec.aliases[${index}].host`, host }));
  return [{ path: 'spec.address.host', host: spec.address.host }, ...aliases];
}

/** As names are looked up and given to pods (inject/addresses.ts); null where it is no name of a Service, or of one in the own namespace. */
export function serviceNamespaceOf(host: string): string | null {
  if (isIP(host) !== 0) return null;
  const name = host.toLowerCase().replace(/\.$/, '');
  const path = name.replace(/\.svc(\.cluster\.local)?$/, '');
  const labels = path.split('.');
  if (labels.length < 2 || (path === name && labels.length > 2)) return null;
  return labels.at(-1) ?? null;
}
