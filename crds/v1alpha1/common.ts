/** What more than one kind is made of: references, subjects, masking strategies, status. */
import { choice, integer, list, listByKey, object, onlyWhen, optional, text } from './schema.ts';

/** RFC 1123: what Kubernetes takes as the name of an object. */
export const DNS_SUBDOMAIN = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$';
export const DNS_LABEL = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$';

/**
 * RE2 of one part of a dotted glob over SQL names. `*` is its only special character: what other glob languages treat as special is refused,
 * and so are dots, quotes and spaces, because a part is compared with the name itself. `*` reaches a name that holds one of those.
 */
export const SQL_GLOB_PART = '[-\\pL\\pN_$#@*]+';

export function objectName(description: string) {
  return text(description, { maxLength: 253, pattern: DNS_SUBDOMAIN });
}

function secretKeyName(description: string, fallback?: string) {
  return text(description, { maxLength: 253, pattern: '^[-._a-zA-Z0-9]+$', ...(fallback === undefined ? {} : { default: fallback }) });
}

/** One value of a Secret in the object's own namespace. */
export function secretKeyRef(description: string, fallbackKey?: string) {
  return object(
    {
      name: objectName("The Secret's name, in the namespace of this object."),
      key: secretKeyName(
        fallbackKey === undefined ? "The key in the Secret's data." : `The key in the Secret's data; \`${fallbackKey}\` where absent.`,
        fallbackKey,
      ),
    },
    description,
  );
}

/** A Secret with a user name and a password. */
export function basicAuthRef(description: string) {
  return object(
    {
      name: objectName("The Secret's name, in the namespace of this object."),
      usernameKey: secretKeyName("The key of the user name in the Secret's data.", 'username'),
      passwordKey: secretKeyName("The key of the password in the Secret's data.", 'password'),
    },
    description,
  );
}

const targetRef = object(
  {
    kind: choice(['ProtectedResource'], 'The kind of the target.', { default: 'ProtectedResource' }),
    name: objectName("The target's name, in the namespace of this object."),
  },
  'One target.',
);

/** References never cross namespaces: the target's namespace owns who may reach it. */
export function targetRefs(what: string) {
  return listByKey(
    ['kind', 'name'],
    targetRef,
    `The ProtectedResources that this ${what} applies to, in its own namespace: the namespace of a target owns who may reach it. A name that does not exist is reported in the status and protects nothing.`,
    { minItems: 1, maxItems: 16 },
  );
}

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

/** How a value is masked. */
export function strategy(description: string) {
  return object(
    {
      type: choice(
        ['Null', 'Redact', 'Partial'],
        '`Null`: the value becomes NULL. `Redact`: it becomes a placeholder that tells nothing of it. `Partial`: characters at its start or end are kept, the rest becomes `*`. Where several rules cover one value the strictest wins, in this order. Not yet enforced, and so refused: `FormatPreserving` and `Token`.',
        { notYet: ['FormatPreserving', 'Token'] },
      ),
      keepStart: optional(
        integer('With `Partial`: how many characters are kept at the start. None where absent.', { minimum: 0, maximum: 16 }),
      ),
      keepEnd: optional(
        integer('With `Partial`: how many characters are kept at the end. None where absent.', { minimum: 0, maximum: 16 }),
      ),
    },
    `${description} Nothing is kept of a value that is shorter than twice what would be kept.`,
    {
      rules: [
        onlyWhen('keepStart', "self.type == 'Partial'", 'type Partial'),
        onlyWhen('keepEnd', "self.type == 'Partial'", 'type Partial'),
        {
          rule: "self.type != 'Partial' || (has(self.keepStart) && self.keepStart > 0) || (has(self.keepEnd) && self.keepEnd > 0)",
          message: 'type Partial keeps something: set keepStart or keepEnd to more than 0, or use Redact',
        },
      ],
    },
  );
}

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

const conditions = optional(
  listByKey(
    ['type'],
    condition,
    '`Accepted`: the spec is valid. `ResolvedRefs`: everything that it names exists. `Programmed`: the sidecars enforce this generation. `Ready`: all of these.',
    { maxItems: 16 },
  ),
);

export const status = object({ conditions }, 'Written by the operator; what a manifest says here is ignored.');

/** Of the kinds that sidecars enforce. */
export const policyStatus = object(
  {
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
