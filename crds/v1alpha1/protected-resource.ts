/** ProtectedResource: a server that agents reach only through Chaperone. */
import { RESOURCE_LIMITS, type ResourceLimitName } from '../policy/limits.ts';
import { basicAuthRef, secretKeyRef } from './names.ts';
import { choice, exactlyWhen, form, integer, listByKey, notYet, object, onlyWhen, optional, type Static, text } from './schema.ts';
import { resourceStatus } from './status.ts';

const host = text('A host name or an IP address; no scheme, no port.', {
  maxLength: 253,
  rules: [
    form(
      '[a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9_])?([.][a-zA-Z0-9_]([-a-zA-Z0-9_]*[a-zA-Z0-9_])?)*[.]?|[0-9a-fA-F:]*:[0-9a-fA-F:.]*',
      'must be a host name or an IP address, without scheme, port or path',
    ),
  ],
});
const port = integer('The TCP port.', { minimum: 1, maximum: 65535 });

const tls = object(
  {
    mode: choice(
      ['VerifyFull', 'Disable'],
      "`VerifyFull`: TLS, and the target's certificate must be signed by a trusted CA and name the host. `Disable`: plain TCP, for a target on loopback or one that has no TLS; credentials then travel in the clear.",
      { default: 'VerifyFull' },
    ),
    serverName: optional(
      text("The name that the target's certificate must carry, also sent as SNI. The host of `address` where absent.", {
        maxLength: 253,
        pattern: '^[a-zA-Z0-9]([-a-zA-Z0-9.]*[a-zA-Z0-9])?$',
      }),
    ),
    caSecretRef: optional(secretKeyRef("PEM bundle of the CAs that are trusted. The system's roots where absent.", 'ca.crt')),
  },
  'TLS from the sidecar to the target.',
  {
    default: {},
    rules: [
      onlyWhen('serverName', "self.mode == 'VerifyFull'", 'mode VerifyFull'),
      onlyWhen('caSecretRef', "self.mode == 'VerifyFull'", 'mode VerifyFull'),
    ],
  },
);

const databaseUser = object(
  {
    name: text(
      'The database user that a client asks for. It is a request and not an identity: it says which credential is used, never what is allowed.',
      {
        maxLength: 63,
        rules: [{ rule: "!self.contains('*')", message: 'a database user is compared exactly: wildcards are not supported' }],
      },
    ),
    secretRef: basicAuthRef('The credential that the sidecar logs in to the target with. The agent never has it.'),
    mint: notYet(
      object(
        { ttlSeconds: integer('How long a minted role is valid.', { minimum: 60, maximum: 86400 }) },
        'Make a short-lived role for each session instead of using a stored credential. Not yet enforced, and so refused.',
      ),
    ),
  },
  'One database user.',
);

const postgresql = object(
  {
    database: text('The only database that may be asked for.', { maxLength: 63 }),
    users: listByKey(
      ['name'],
      databaseUser,
      'The database users that may be asked for, each with the credential that the sidecar uses for it. Another requested user is refused.',
      { minItems: 1, maxItems: 32 },
    ),
  },
  'What a PostgreSQL target needs. Required with protocol PostgreSQL.',
);

const RESERVED_HEADERS = [
  'connection',
  'content-encoding',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

const http = object(
  {
    credential: optional(
      object(
        {
          header: text("The request header that carries the credential. An agent's own header of this name is dropped.", {
            maxLength: 64,
            pattern: '^[A-Za-z0-9][-A-Za-z0-9_]*$',
            default: 'Authorization',
            rules: [
              {
                rule: `!(self.lowerAscii() in [${RESERVED_HEADERS.map((name) => `'${name}'`).join(', ')}])`,
                message: 'this header belongs to the connection and can not carry a credential',
              },
            ],
          }),
          prefix: text('Put before the value: `Bearer `, with its space. Empty where absent.', {
            minLength: 0,
            maxLength: 32,
            pattern: '^[ -~]*$',
            default: '',
          }),
          secretRef: secretKeyRef('The value. The agent never has it.'),
        },
        "The service's credential, put in by the sidecar. None is put in where absent.",
      ),
    ),
  },
  'What an HTTP target needs. Only with protocol HTTP.',
);

const recording = object(
  {
    results: choice(
      ['None', 'Sample', 'All'],
      'Which rows of a result are recorded, after masking. `None`: their number only. `Sample`: the first `sampleRows` of each statement. `All`: every row.',
      { default: 'None' },
    ),
    sampleRows: integer('With `results: Sample`: rows that are kept of each statement.', { minimum: 1, maximum: 1000, default: 20 }),
    fsync: choice(
      ['Never', 'Always'],
      '`Never`: a verdict is written before its command is forwarded, which survives a crash of the process. `Always`: it is also flushed to the disk, which survives a crash of the machine and costs a few milliseconds for each command.',
      { default: 'Never' },
    ),
    onFailure: choice(
      ['FailClosed'],
      '`FailClosed`: where recording can not go on the session waits, then ends. Not yet enforced, and so refused: `Spool`.',
      { default: 'FailClosed', notYet: ['Spool'] },
    ),
    mode: choice(
      ['Async'],
      '`Async`: segments are uploaded while the session goes on. Not yet enforced, and so refused: `Sync`, which waits for the bucket before a command is forwarded.',
      { default: 'Async', notYet: ['Sync'] },
    ),
  },
  'What is recorded. Every command and its verdict always is.',
  { default: {} },
);

type Limit = ReturnType<typeof limit>;

function limit(name: ResourceLimitName) {
  const { what, exceeded, unit, default: otherwise, minimum, maximum } = RESOURCE_LIMITS[name];
  return optional(integer(`${what} In ${unit}, ${otherwise} where absent. ${exceeded}`, { minimum, maximum }));
}

const limits = object(
  Object.fromEntries(Object.keys(RESOURCE_LIMITS).map((name) => [name, limit(name as ResourceLimitName)])) as Record<
    ResourceLimitName,
    Limit
  >,
  "What one agent may take of its sidecar, so that it can't harm others or itself. Most need no other value than the one that they have where absent. Sessions keep what they began with.",
  {
    rules: [
      {
        rule: Object.keys(RESOURCE_LIMITS)
          .map((name) => `has(self.${name})`)
          .join(' || '),
        message: 'limits is empty: set a limit, or leave limits out',
      },
    ],
  },
);

export const protectedResourceSpec = object(
  {
    protocol: choice(['PostgreSQL', 'HTTP'], 'What the target speaks. Not yet enforced, and so refused: `SSH` and `Kubernetes`.', {
      notYet: ['SSH', 'Kubernetes'],
    }),
    address: object(
      { host, port },
      'Where the sidecar finds the target. In a cluster, pods of other namespaces have a host outside of the cluster only where the annotation `chaperone.dev/external-hosts` of this Namespace names it.',
    ),
    aliases: notYet(
      listByKey(
        ['host', 'port'],
        object({ host, port }, 'One alias.'),
        'Other addresses that mean the same target. Not yet enforced, and so refused.',
        { minItems: 1, maxItems: 16 },
      ),
    ),
    tls,
    agentToken: choice(
      ['Accept', 'Ignore'],
      'Whether an agent may present a token of its own, whose user, groups and claims then count as subjects beside the workload. `Accept`: as the PostgreSQL password or as `Proxy-Authorization: Bearer`. `Ignore`: the workload is the only identity.',
      { default: 'Accept' },
    ),
    postgresql: optional(postgresql),
    http: optional(http),
    recording,
    limits: optional(limits),
  },
  'A server that agents reach only through Chaperone: where it is, how it is spoken to, which credential the sidecar uses, and what is recorded. With no AccessPolicy nobody may use it.',
  {
    rules: [
      ...exactlyWhen('postgresql', "self.protocol == 'PostgreSQL'", 'protocol PostgreSQL'),
      onlyWhen('http', "self.protocol == 'HTTP'", 'protocol HTTP'),
      {
        rule: "self.protocol == 'PostgreSQL' || self.recording.results == 'None'",
        message: 'results is only for protocol PostgreSQL: of an HTTP body the size and the hash are recorded',
        fieldPath: '.recording.results',
        reason: 'FieldValueForbidden',
      },
    ],
  },
);
export const protectedResourceStatus = resourceStatus;
export type ProtectedResourceSpec = Static<typeof protectedResourceSpec>;
