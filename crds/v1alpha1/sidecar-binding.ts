/** SidecarBinding: which key speaks for a pod. All replicas of the operator write it by compare-and-swap, so that they agree, and it outlives them. */
import { DNS_LABEL, DNS_SUBDOMAIN } from './names.ts';
import { integer, object, type Static, text } from './schema.ts';
import { POD_UID } from './sidecar-slice.ts';

export const sidecarBindingSpec = object(
  {
    podUid: text('UID of the pod; also the name of this object.', { maxLength: 36, pattern: POD_UID }),
    namespace: text('Namespace of the pod.', { maxLength: 63, pattern: DNS_LABEL }),
    pod: text('Name of the pod.', { maxLength: 253, pattern: DNS_SUBDOMAIN }),
    key: text('SHA-256 of the public key that the sidecar enrolled with (SPKI, DER): 64 hexadecimal digits.', {
      maxLength: 64,
      pattern: '^[0-9a-f]{64}$',
    }),
    containerId: text('ID of the sidecar container when the key was taken; empty where the kubelet had not told it yet.', {
      minLength: 0,
      maxLength: 256,
    }),
    restarts: integer('How often the sidecar container had been restarted when the key was taken.', { minimum: 0, maximum: 2 ** 31 - 1 }),
  },
  'The key that speaks for a pod. Another key is taken only after the sidecar container was restarted. Written by the operator alone.',
);
export type SidecarBindingSpec = Static<typeof sidecarBindingSpec>;
