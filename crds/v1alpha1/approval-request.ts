/** ApprovalRequest: one held action that waits for people. Written by the operator alone. */
import { DNS_LABEL, DNS_SUBDOMAIN, objectName } from './names.ts';
import { choice, integer, list, listByKey, object, optional, type Static, text } from './schema.ts';
import { conditions } from './status.ts';

const generation = integer('Its metadata.generation when the action was judged.', { minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const moment = (description: string) => text(description, { maxLength: 64, format: 'date-time' });
const name = (description: string) => text(description, { maxLength: 1024 });

const asker = object(
  {
    kind: choice(['ServiceAccount', 'User'], 'What it is.'),
    issuer: text('Who proved it: the URL of a token issuer, or `cluster`.', { maxLength: 512 }),
    subject: name('`namespace/name` of a service account, `sub` of a token.'),
    proof: choice(['listener', 'token', 'certificate'], 'How it was proved.'),
    onBehalfOf: optional(name('Who it acts for, where the token says so.')),
    actor: optional(name("Who uses the token in the subject's name, where the token says so.")),
  },
  'One identity of the session that asks. None of them may decide.',
);

const author = object(
  {
    kind: choice(['AccessPolicy', 'ApprovalGate', 'MaskingRule', 'ProtectedResource', 'Chaperone'], 'Its kind.'),
    namespace: text('Its namespace.', { minLength: 0, maxLength: 63 }),
    name: text('Its name.', { minLength: 0, maxLength: 253 }),
    generation,
    rule: text('The rule.', { minLength: 0, maxLength: 253 }),
  },
  'One rule that holds the action.',
);

const sidecar = object(
  {
    namespace: text('Namespace of the pod.', { maxLength: 63, pattern: DNS_LABEL }),
    serviceAccount: text('Service account of the pod.', { maxLength: 253, pattern: DNS_SUBDOMAIN }),
    pod: text('Name of the pod.', { maxLength: 253, pattern: DNS_SUBDOMAIN }),
    podUid: text('UID of the pod. Only its sidecar may withdraw the request or learn how it ends.', { maxLength: 64 }),
  },
  'The pod whose sidecar holds the action, as its certificate says.',
);

export const approvalRequestSpec = object(
  {
    id: text('Made by the sidecar; unique for ever. The name of this object is made from it.', {
      maxLength: 36,
      pattern: '^[-0-9a-f]{36}$',
    }),
    session: text('The session, as recordings name it.', { maxLength: 128 }),
    resource: objectName('Name of the ProtectedResource, in the namespace of this object.'),
    asker: name('Who asks, in one line: the last of `askers`.'),
    askers: list(asker, 'All identities of the session: the workload first, then the token that the agent presented.', {
      minItems: 1,
      maxItems: 16,
    }),
    gates: listByKey(
      ['name'],
      object(
        {
          name: objectName('Name of the ApprovalGate, in the namespace of this object.'),
          generation,
          quorum: integer('How many different people must approve.', { minimum: 1, maximum: 10 }),
        },
        'One gate.',
      ),
      'Gates that must all pass. An edit of one ends the request.',
      { minItems: 1, maxItems: 32 },
    ),
    authors: list(author, 'The rules that hold the action.', { maxItems: 64 }),
    summary: text('The action, with its literals tokenised as in the recording.', { minLength: 0, maxLength: 16384 }),
    binding: text('SHA-256 of what an approval is bound to: bytes, parameters, role, search_path and the generations of the rules.', {
      maxLength: 64,
      pattern: '^[0-9a-f]{64}$',
    }),
    sidecar,
    expiresAt: moment('When the request ends undecided (RFC 3339).'),
  },
  'One held action that waits for people. Written by the operator alone; answered with an ApprovalDecision.',
  { rules: [{ rule: 'self == oldSelf', message: 'a request never changes: its status does' }] },
);

const APPROVAL_STATES = ['Pending', 'Approved', 'Denied', 'Expired', 'Withdrawn'] as const;

const decision = object(
  {
    name: objectName('Name of the ApprovalDecision.'),
    issuer: text('Who proved the approver.', { maxLength: 512 }),
    subject: name('Who decided.'),
    decision: choice(['Approve', 'Deny'], 'What they decided.'),
    reason: optional(text('Why.', { maxLength: 1024 })),
    time: moment('When (RFC 3339).'),
  },
  'One decision that counted.',
);

export const approvalRequestStatus = object(
  {
    conditions,
    state: optional(choice(APPROVAL_STATES, '`Pending` until it is decided; then how it ended, for good.')),
    message: optional(text('The same in a sentence.', { minLength: 0, maxLength: 2048 })),
    approvals: optional(text('People who approved, of those who must, per gate: `1/2`.', { maxLength: 512 })),
    decisions: optional(listByKey(['name'], decision, 'The decisions that counted, in order.', { maxItems: 64 })),
    approvedBy: optional(
      list(
        object(
          { issuer: text('Who proved the approver.', { maxLength: 512 }), subject: name('Who approved.') },
          'One person who approved.',
        ),
        'Who approved, once it is approved.',
        { maxItems: 64 },
      ),
    ),
    grantUntil: optional(moment('Until when the approval covers further actions, for scopes Session and Window.')),
    endedAt: optional(moment('When it ended (RFC 3339).')),
  },
  'Written by the operator alone.',
);

export type ApprovalRequestSpec = Static<typeof approvalRequestSpec>;
export type ApprovalRequestStatus = Static<typeof approvalRequestStatus>;
