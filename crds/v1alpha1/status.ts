/** Status by the conventions of Kubernetes: conditions, and no phase. */
import { ASSURANCES } from '../policy/assurance.ts';
import { choice, integer, list, listByKey, object, optional, text } from './schema.ts';

/** Columns that are named. */
export const MAX_LOWERED_BY = 5;

/** metav1.Condition of Kubernetes. */
export const CONDITION_TYPE =
  '^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$';

const condition = object(
  {
    type: text('`Accepted`, `ResolvedRefs`, `Programmed` or `Ready`.', {
      maxLength: 316,
      pattern: CONDITION_TYPE,
    }),
    status: choice(['True', 'False', 'Unknown'], 'Whether the condition holds.'),
    observedGeneration: optional(
      integer('The metadata.generation that the condition was computed from; an older one is out of date.', {
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
      }),
    ),
    lastTransitionTime: text('When `status` last changed (RFC 3339).', { maxLength: 64, format: 'date-time' }),
    reason: text('A stable code in CamelCase.', { maxLength: 1024, pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$' }),
    message: text('One sentence for a human being.', { minLength: 0, maxLength: 32768 }),
  },
  'One aspect of the current state.',
);

export const conditions = optional(
  listByKey(
    ['type'],
    condition,
    '`Accepted`: the spec is valid. `ResolvedRefs`: everything that it names exists. `Programmed`: the sidecars enforce this generation. `Ready`: all of these.',
    { maxItems: 16 },
  ),
);

/** For kstatus, which compares it with metadata.generation. */
const observedGeneration = optional(
  integer('The metadata.generation that this status was computed from.', { minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
);

export const status = object({ observedGeneration, conditions }, 'Written by the operator; what a manifest says here is ignored.');

/** Of a ProtectedResource. */
export const resourceStatus = object(
  {
    observedGeneration,
    conditions,
    assurance: optional(
      choice(
        ASSURANCES,
        'The lowest assurance of masking that a session of the sidecars that run had: `A`, `B`, `C`, or `None`. Absent before one that met a MaskingRule.',
      ),
    ),
    assuranceLoweredBy: optional(
      list(text('A masked column and the reason.', { maxLength: 256 }), 'Why it is not `A`: the first few columns, with the reason.', {
        maxItems: MAX_LOWERED_BY,
      }),
    ),
  },
  'Written by the operator; what a manifest says here is ignored.',
);

/** Of the kinds that sidecars enforce. */
export const policyStatus = object(
  {
    observedGeneration,
    conditions,
    sidecars: optional(
      text('How many of the sidecars concerned enforce this generation: `12/12`.', { maxLength: 21, pattern: '^[0-9]{1,10}/[0-9]{1,10}$' }),
    ),
    digest: optional(
      text('SHA-256 of the spec that is enforced: `sha256:` and 64 hexadecimal digits.', {
        maxLength: 71,
        pattern: '^sha256:[0-9a-f]{64}$',
      }),
    ),
  },
  'Written by the operator; what a manifest says here is ignored.',
);
