import type { SnapshotResource } from '../policy/snapshot.ts';

/**
 * Whether a pod has an address for the resource: one of its own namespace, or one that some policy lets its workload ask for. Of the others it must not
 * even notice: their names and ports would be taken in every pod of the cluster, by whoever can make a ProtectedResource anywhere.
 */
export function isReachable({ namespace, policies }: Pick<SnapshotResource, 'namespace' | 'policies'>, podNamespace: string): boolean {
  return namespace === podNamespace || policies.length > 0;
}
