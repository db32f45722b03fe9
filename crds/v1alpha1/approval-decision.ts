/** ApprovalDecision: one person's answer to one ApprovalRequest. */
import { DNS_SUBDOMAIN, objectName } from './names.ts';
import { choice, list, object, optional, type Static, text } from './schema.ts';

/** Who decided: from the API server's own word on who sent the request. */
const approver = object(
  {
    kind: choice(['User', 'ServiceAccount'], 'What they are.'),
    issuer: text('Who proved the identity: `cluster`.', { maxLength: 512 }),
    subject: text('The name that the API server knows them by; `namespace/name` of a service account.', { maxLength: 1024 }),
  },
  'Who decided. Written by the admission webhook from the request itself; what a body says here is refused where it differs.',
);

export const approvalDecisionSpec = object(
  {
    requestRef: object(
      {
        name: objectName('Name of the ApprovalRequest, in the namespace of this object.'),
        uid: optional(text('Its UID. Written by the admission webhook.', { maxLength: 64, pattern: '^[-0-9a-f]+$' })),
      },
      'What is decided.',
    ),
    decision: choice(['Approve', 'Deny'], 'One denial is enough to deny; approvals are counted until each gate has its quorum.'),
    reason: optional(text('Why. Recorded; some gates want one.', { maxLength: 1024 })),
    approver: optional(approver),
    gates: optional(
      list(
        text('Name of an ApprovalGate.', { maxLength: 253, pattern: DNS_SUBDOMAIN }),
        'The gates that this person may decide. Written by the admission webhook.',
        { maxItems: 32 },
      ),
    ),
  },
  "One person's decision on one ApprovalRequest. It is created once and never changed. Its name is made by the admission webhook from the request's and the approver's: leave it out (`generateName`).",
  { rules: [{ rule: 'self == oldSelf', message: 'a decision never changes: it was made' }] },
);
export type ApprovalDecisionSpec = Static<typeof approvalDecisionSpec>;
