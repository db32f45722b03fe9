import type { AdmissionRequest } from './review.ts';

/** A request as the API server sends it, with what a test is about. */
export function requestFor(over: Partial<AdmissionRequest>): AdmissionRequest {
  return {
    uid: '0b5c1c52',
    operation: 'CREATE',
    resource: { group: 'chaperone.dev', version: 'v1alpha1', resource: 'approvalgates' },
    subResource: '',
    namespace: 'shop',
    name: '',
    user: { username: 'bob', groups: ['leads', 'system:authenticated'], extra: {} },
    object: null,
    oldObject: null,
    dryRun: false,
    ...over,
  };
}

/** The body of its AdmissionReview. */
export function reviewFor({ user, ...request }: AdmissionRequest): object {
  return { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request: { ...request, userInfo: user } };
}
