import type { SnapshotResource } from '../policy/snapshot.ts';

/**
 * Whether a pod has an address for the resource: one of its own namespace, or one with a policy that names its ServiceAccount (a snapshot has no other's). Of
 * the rest it must not even notice: their names and ports would be taken in every pod of the cluster, by whoever can make a ProtectedResource anywhere. A
 * subject of tokens alone is not enough, for it could be anybody's, and a sidecar in a cluster has no issuer that it could verify them by.
 */
export function isReachable({ namespace, policies }: Pick<SnapshotResource, 'namespace' | 'policies'>, podNamespace: string): boolean {
  return namespace === podNamespace || policies.some(({ subjects }) => subjects.some(({ serviceAccount }) => serviceAccount !== undefined));
}
