/** ApprovalGate: who must agree before a held command goes on. */
import { secretKeyRef } from './names.ts';
import { choice, exactlyWhen, flag, integer, list, notYet, object, optional, type Static, text } from './schema.ts';
import { status } from './status.ts';
import { approvers } from './subjects.ts';

const grant = object(
  {
    scope: choice(
      ['Statement', 'Session', 'Window'],
      'What an approval covers. `Statement`: this one command, once. `Session`: in the same session, every further command that exactly the same rules hold. `Window`: the same for every session of the same identities, for `windowSeconds`. A change of one of those rules or gates ends it; where several gates must pass, the narrowest counts.',
      { default: 'Statement' },
    ),
    windowSeconds: optional(
      integer('How long an approval with scope Window holds. Required with it, forbidden otherwise.', { minimum: 60, maximum: 86400 }),
    ),
  },
  'What an approval covers.',
  {
    // Not {}: the API server runs the rules on a default before it fills that in.
    default: { scope: 'Statement' },
    rules: exactlyWhen('windowSeconds', "self.scope == 'Window'", 'scope Window'),
  },
);

export const approvalGateSpec = object(
  {
    approvers: approvers('Who may approve. Somebody who matches one of them may.'),
    quorum: integer('How many different people must approve. One denial is enough to deny.', { minimum: 1, maximum: 10, default: 1 }),
    timeoutSeconds: integer('How long a command waits. Then it is denied.', { minimum: 10, maximum: 86400, default: 300 }),
    grant,
    requireReason: flag('Whether an approver must give a reason, which is recorded.', { default: false }),
    notify: notYet(
      list(
        object(
          {
            urlSecretRef: secretKeyRef('The URL, which is a secret.'),
            template: optional(text('The text that is sent.', { maxLength: 4096 })),
          },
          'One webhook that takes Slack-compatible JSON.',
        ),
        'Webhooks that are told of a held command. Not yet enforced, and so refused.',
        { minItems: 1, maxItems: 8 },
      ),
    ),
  },
  'Who must agree before a held command goes on. Nobody may ever approve what they asked for themselves: there is no field that changes this, and where asker and approver can not be told apart the approval is refused.',
  {
    rules: [
      {
        rule: '!self.approvers.all(a, has(a.user)) || self.quorum <= self.approvers.size()',
        message: 'quorum is larger than the number of approvers, who are all single users',
        fieldPath: '.quorum',
      },
    ],
  },
);
export const approvalGateStatus = status;
export type ApprovalGateSpec = Static<typeof approvalGateSpec>;
