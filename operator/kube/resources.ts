/** The resources that the operator reads and writes. */
import { GROUP, KINDS, type Kind, VERSION } from '#crds/v1alpha1/kinds.ts';
import type { ResourceRef } from './resource.ts';

export const PODS = core('pods', 'Pod');
export const NAMESPACES: ResourceRef = { group: '', version: 'v1', plural: 'namespaces', kind: 'Namespace', namespaced: false };
export const SECRETS = core('secrets', 'Secret');
export const LEASES: ResourceRef = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases', kind: 'Lease', namespaced: true };
export const EVENTS: ResourceRef = { group: 'events.k8s.io', version: 'v1', plural: 'events', kind: 'Event', namespaced: true };
export const TOKEN_REVIEWS: ResourceRef = {
  group: 'authentication.k8s.io',
  version: 'v1',
  plural: 'tokenreviews',
  kind: 'TokenReview',
  namespaced: false,
};
export const ACCESS_REVIEWS: ResourceRef = {
  group: 'authorization.k8s.io',
  version: 'v1',
  plural: 'subjectaccessreviews',
  kind: 'SubjectAccessReview',
  namespaced: false,
};

/** What each replica of the operator knows of its sidecars, in the operator's own namespace. */
export const SIDECAR_SLICES: ResourceRef = {
  group: GROUP,
  version: VERSION,
  plural: 'sidecarslices',
  kind: 'SidecarSlice',
  namespaced: true,
};

/** One of the four kinds. */
export function ofKind(kind: Kind): ResourceRef {
  return { group: GROUP, version: VERSION, plural: KINDS[kind].plural, kind, namespaced: true };
}

function core(plural: string, kind: string): ResourceRef {
  return { group: '', version: 'v1', plural, kind, namespaced: true };
}
