import type { Principal } from '#crds/policy/principal.ts';
import type { Workload } from '../pipeline.ts';

/** In a cluster, the operator has certified this sidecar's pod for its ServiceAccount: whoever is in the pod is that workload. */
export function certifiedPrincipal(workload: Workload): Principal {
  return { ...listenerPrincipal(workload), issuer: 'cluster', proof: 'certificate' };
}

/** Standalone, the listener stands for the workload: whoever can connect to it is that workload. Nothing was proved by the caller. */
export function listenerPrincipal(workload: Workload): Principal {
  return {
    kind: 'ServiceAccount',
    issuer: 'standalone',
    subject: `${workload.namespace}/${workload.serviceAccount}`,
    groups: [],
    claims: {},
    proof: 'listener',
  };
}
