/** SidecarSlice: what one replica of the operator knows of the sidecars that are connected to it. The leader sums the slices. */
import { ASSURANCES } from '../policy/assurance.ts';
import { DNS_LABEL, DNS_SUBDOMAIN } from './names.ts';
import { choice, integer, list, object, optional, type Static, setOf, text } from './schema.ts';
import { MAX_LOWERED_BY } from './status.ts';

export const POD_UID = '^[0-9a-f-]{36}$';
const version = (description: string) => text(description, { maxLength: 71, pattern: '^sha256:[0-9a-f]{64}$' });

export const MAX_ASSURANCES_PER_SIDECAR = 50;

const sidecar = object(
  {
    podUid: text('UID of the pod.', { maxLength: 36, pattern: POD_UID }),
    namespace: text('Namespace of the pod.', { maxLength: 63, pattern: DNS_LABEL }),
    pod: text('Name of the pod.', { maxLength: 253, pattern: DNS_SUBDOMAIN }),
    serviceAccount: text('ServiceAccount of the pod, which the snapshot is for.', { maxLength: 253, pattern: DNS_SUBDOMAIN }),
    sidecarVersion: text('Version of the sidecar.', { maxLength: 64 }),
    connectedAt: text('When its stream was opened (RFC 3339).', { maxLength: 64, format: 'date-time' }),
    acked: optional(version('The snapshot that it enforces; absent before it took one.')),
    refused: optional(
      object(
        {
          version: version('The snapshot.'),
          problems: list(text('One problem.', { maxLength: 512 }), 'What the sidecar said.', { maxItems: 5 }),
        },
        'The snapshot that it refused last; absent once it took a later one.',
      ),
    ),
    restartRequiredFor: optional(
      setOf(
        text('`NAMESPACE/NAME`.', { maxLength: 317 }),
        'ProtectedResources that came after the pod: it must be restarted to reach them.',
        {
          maxItems: 20,
        },
      ),
    ),
    assurances: optional(
      list(
        object(
          {
            resource: text('`NAMESPACE/NAME`.', { maxLength: 317 }),
            level: choice(ASSURANCES, 'The lowest assurance of masking that a session had.'),
            loweredBy: optional(
              list(text('A masked column and the reason.', { maxLength: 256 }), 'Why it is not A.', { maxItems: MAX_LOWERED_BY }),
            ),
          },
          'What sessions of one ProtectedResource had.',
        ),
        'The assurance of masking that its sessions had.',
        { maxItems: MAX_ASSURANCES_PER_SIDECAR },
      ),
    ),
  },
  'One connected sidecar.',
);

export const MAX_SIDECARS_PER_SLICE = 1000;

export const sidecarSliceSpec = object(
  {
    replica: text('Name of the replica of the operator.', { maxLength: 253, pattern: DNS_SUBDOMAIN }),
    renewedAt: text('When the replica last said that this holds (RFC 3339). What is older than two minutes counts for nothing.', {
      maxLength: 64,
      format: 'date-time',
    }),
    generation: integer('Grows with each change of `sidecars` of this replica.', { minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
    // As a whole: of a list by key, a server-side apply that takes away the last item leaves no list at all.
    sidecars: list(sidecar, 'The sidecars that are connected to the replica.', { maxItems: MAX_SIDECARS_PER_SLICE }),
  },
  'What one replica of the operator knows of the sidecars that are connected to it. Written by the operator alone.',
);
export type SidecarSliceSpec = Static<typeof sidecarSliceSpec>;
