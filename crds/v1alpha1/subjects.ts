/** Who is meant: by a policy, by an exemption, as an approver. The engine's reading of it is in policy/subject.ts. */
import { DNS_LABEL, objectName } from './names.ts';
import { list, listByKey, object, optional, text } from './schema.ts';

const NO_WILDCARD = "!self.contains('*')";

const claim = object(
  {
    name: text("The claim's name in the verified token.", { maxLength: 128 }),
    values: list(
      text('One value that is accepted.', { maxLength: 256, minLength: 0 }),
      'The claim must be one of these strings, or a list that holds one of them. Compared exactly.',
      { minItems: 1, maxItems: 32 },
    ),
  },
  'One claim of a verified token.',
);

const person = {
  user: optional(
    text("The `sub` claim of a verified token. Compared exactly; a database's or a client's own user name is never a subject.", {
      maxLength: 256,
      rules: [
        { rule: NO_WILDCARD, message: 'a user is compared exactly: wildcards are not supported' },
        { rule: "!self.startsWith('system:serviceaccount:')", message: 'a service account is never a user: name it with serviceAccount' },
      ],
    }),
  ),
  group: optional(
    text('A group of a verified token. Compared exactly.', {
      maxLength: 256,
      rules: [{ rule: NO_WILDCARD, message: 'a group is compared exactly: wildcards are not supported' }],
    }),
  ),
  claims: optional(listByKey(['name'], claim, 'Claims of a verified token; all of them must match.', { minItems: 1, maxItems: 8 })),
  issuer: optional(
    text(
      "The issuer that proved the identity: the URL of a token's issuer, `cluster` for a service account, `standalone` for the workload of a listener. Any accepted issuer where absent: name it where more than one issuer is configured, because two issuers may use the same user or group name.",
      { maxLength: 512 },
    ),
  ),
};

const subject = object(
  {
    serviceAccount: optional(
      object(
        {
          namespace: text('The namespace of the service account; any namespace of the cluster.', { maxLength: 63, pattern: DNS_LABEL }),
          name: objectName('The name of the service account.'),
        },
        'The service account that the agent runs under. Stands alone or with issuer: user, group and claims are only ever those of a token.',
      ),
    ),
    ...person,
  },
  'One way to be meant. All members of it must match the same identity.',
  {
    rules: [
      {
        rule: 'has(self.serviceAccount) || has(self.user) || has(self.group) || has(self.claims)',
        message: 'at least one of serviceAccount, user, group and claims is required',
      },
      {
        rule: '!has(self.serviceAccount) || !(has(self.user) || has(self.group) || has(self.claims))',
        message: 'serviceAccount excludes user, group and claims, which only a token has: write two subjects',
      },
    ],
  },
);

export function subjects(description: string, minItems: number) {
  return list(subject, description, { minItems, maxItems: 64 });
}

const approver = object(person, 'One way to be an approver. All members of it must match the same identity.', {
  rules: [
    {
      rule: 'has(self.user) || has(self.group) || has(self.claims)',
      message: 'at least one of user, group and claims is required',
    },
  ],
});

export function approvers(description: string) {
  return list(approver, description, { minItems: 1, maxItems: 32 });
}
