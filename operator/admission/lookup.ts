/** What admission reads of the cluster: as it is now, for a cache may be a moment behind a decision that must not be wrong. */
import type { SnapshotGate } from '#crds/policy/snapshot.ts';
import { type ApprovalRequest, INTERNAL_KINDS } from '#crds/v1alpha1/internal-kinds.ts';
import { GROUP, KINDS, VERSION } from '#crds/v1alpha1/kinds.ts';
import { validateManifest } from '#crds/v1alpha1/validate.ts';
import { compileGate } from '../compile/parts.ts';
import type { KubeClient } from '../kube/client.ts';
import { isKubeError } from '../kube/error.ts';
import type { KubeObject, ResourceRef } from '../kube/resource.ts';
import { NAMESPACES, ofKind, PODS } from '../kube/resources.ts';
import type { ApprovalAdmissionOptions } from './approvals.ts';
import type { ClaimLookup } from './claims.ts';
import type { GuardOptions } from './guard.ts';
import type { ReferenceLookup } from './validate.ts';

export type ClusterLookup = ReferenceLookup &
  ClaimLookup &
  Pick<ApprovalAdmissionOptions, 'readRequest' | 'readGate'> &
  Pick<GuardOptions, 'readPod'>;

const { plural, kind } = INTERNAL_KINDS.ApprovalRequest;
const REQUESTS: ResourceRef = { group: GROUP, version: VERSION, plural, kind, namespaced: true };

export function clusterLookup(kube: Pick<KubeClient, 'get' | 'subjectAccessReview'>): ClusterLookup {
  const read = async <T extends KubeObject>(ref: ResourceRef, namespace: string | undefined, name: string): Promise<T | null> => {
    try {
      return await kube.get<T>(ref, { ...(namespace === undefined ? {} : { namespace }), name });
    } catch (error: unknown) {
      if (isKubeError(error, 'NotFound')) return null;
      throw error;
    }
  };
  return {
    exists: async (of, namespace, name) => (await read(ofKind(of), namespace, name)) !== null,
    namespaceAnnotations: async (name) => {
      const namespace = await read(NAMESPACES, undefined, name);
      return namespace === null ? null : (namespace.metadata.annotations ?? {});
    },
    mayProtect: ({ username, groups, extra }, namespace) =>
      kube.subjectAccessReview({
        user: username,
        groups,
        extra,
        verb: 'create',
        group: GROUP,
        resource: KINDS.ProtectedResource.plural,
        namespace,
      }),
    readRequest: (namespace, name) => read<ApprovalRequest>(REQUESTS, namespace, name),
    readGate: async (namespace, name) => gateOf(await read(ofKind('ApprovalGate'), namespace, name)),
    readPod: async (namespace, name) => {
      const pod = await read(PODS, namespace, name);
      return pod === null ? null : { ...pod };
    },
  };
}

/** One that our validator does not take is none: nobody may decide by it. */
function gateOf(found: KubeObject | null): SnapshotGate | null {
  const result = found === null ? null : validateManifest(found);
  if (result === null || !result.ok || result.object.kind !== 'ApprovalGate') return null;
  const { uid, generation } = result.object.metadata;
  if (uid === undefined || generation === undefined) return null;
  return compileGate({ ...result.object, metadata: { ...result.object.metadata, uid, generation } });
}
