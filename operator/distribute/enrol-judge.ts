/** Whether a token and a pod make an identity: an ordered list of small checks over what was gathered. */
import { CONTAINERS, LABELS } from '#crds/control/names.ts';
import type { SidecarIdentity } from '#crds/control/spiffe.ts';

export const REFUSAL_CODES = [
  'TokenNotGood',
  'TokenNotOfAPod',
  'PodGone',
  'PodEnded',
  'PodNotInjected',
  'SidecarMissing',
  'WrongNode',
  'WrongServiceAccount',
  'KeyInUse',
] as const;
export type RefusalCode = (typeof REFUSAL_CODES)[number];

export interface Refusal {
  readonly code: RefusalCode;
  readonly message: string;
}

/** Of the TokenReview: TokenIdentity of operator/kube. */
export interface ReviewedToken {
  readonly username: string;
  readonly extra: { readonly [key: string]: readonly string[] };
}

/** v1.Pod, as far as it is looked at. */
export interface PodObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly labels?: { readonly [key: string]: string };
  };
  readonly spec?: {
    readonly nodeName?: string;
    readonly serviceAccountName?: string;
    readonly initContainers?: readonly Container[];
    readonly containers?: readonly Container[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly containerStatuses?: readonly ContainerStatus[];
  };
}

interface Container {
  readonly name: string;
  readonly image?: string;
}

interface ContainerStatus {
  readonly name: string;
  readonly containerID?: string;
  readonly restartCount?: number;
}

export interface TokenClaims {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly podUid: string;
  readonly node: string;
}

/** Names of the `extra` of a token that is bound to a pod (Kubernetes 1.30 and later tell the node too). */
const EXTRA = 'authentication.kubernetes.io';

/** What the token says of its bearer; null where it is not a service account's, or not bound to a pod. */
export function claimsOf({ username, extra }: ReviewedToken): TokenClaims | null {
  const [, namespace, serviceAccount] = /^system:serviceaccount:([a-z0-9-]{1,63}):([a-z0-9.-]{1,253})$/.exec(username) ?? [];
  const only = (name: string): string | undefined => {
    const values = extra[`${EXTRA}/${name}`];
    return values?.length === 1 ? values[0] : undefined;
  };
  const [pod, podUid, node] = [only('pod-name'), only('pod-uid'), only('node-name')];
  if (namespace === undefined || serviceAccount === undefined || pod === undefined || podUid === undefined || node === undefined)
    return null;
  return { namespace, serviceAccount, pod, podUid, node };
}

/** The first reason why the pod may not have an identity; null where it may. `images`: those that a sidecar may have. */
export function refusalOf(claims: TokenClaims, pod: PodObject | null, images: ReadonlySet<string>): Refusal | null {
  if (pod === null || pod.metadata.uid !== claims.podUid) return refusal('PodGone', 'the pod that the token was made for is gone');
  const { phase } = pod.status ?? {};
  if (phase === 'Succeeded' || phase === 'Failed') return refusal('PodEnded', 'the pod has ended');
  if (pod.metadata.labels?.[LABELS.injected] !== 'true') return refusal('PodNotInjected', 'the pod was not injected');
  const sidecar = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].filter(({ name }) => name === CONTAINERS.sidecar);
  if (sidecar.length !== 1 || !images.has(sidecar[0]?.image ?? ''))
    return refusal('SidecarMissing', `the pod has no container ${CONTAINERS.sidecar} with the operator's image of it`);
  if (claims.node === '' || pod.spec?.nodeName !== claims.node) return refusal('WrongNode', "the token's node is not the pod's");
  if ((pod.spec.serviceAccountName ?? 'default') !== claims.serviceAccount)
    return refusal('WrongServiceAccount', "the token's ServiceAccount is not the pod's");
  return null;
}

/** Of the sidecar container now: empty and 0 where the kubelet has not told them yet. */
export function sidecarRun(pod: PodObject): { readonly containerId: string; readonly restarts: number } {
  const statuses = [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])];
  const status = statuses.find(({ name }) => name === CONTAINERS.sidecar);
  return { containerId: status?.containerID ?? '', restarts: status?.restartCount ?? 0 };
}

export function identityOf(claims: TokenClaims, trustDomain: string): SidecarIdentity {
  const { namespace, serviceAccount, podUid } = claims;
  return { trustDomain, namespace, serviceAccount, podUid };
}

export const refusal = (code: RefusalCode, message: string): Refusal => ({ code, message });
