/** The closed schema of a snapshot that was read from JSON. It says what the interfaces in snapshot.ts say; a type below holds the two together. */
import Type, { type Static } from 'typebox';
import { EFFECT_KINDS, STATEMENT_KINDS } from './action.ts';
import { type LimitSpec, RESOURCE_LIMITS, type ResourceLimitName } from './limits.ts';
import { DETECTOR_TYPES, type Snapshot, type SnapshotResource } from './snapshot.ts';

const closed = { additionalProperties: false };
const text = Type.String({ minLength: 1 });
const nat = Type.Integer({ minimum: 0 });
const positive = Type.Integer({ minimum: 1 });
const optional = Type.Optional;
const oneOf = <const T extends string>(values: readonly T[]) => Type.Unsafe<T>({ type: 'string', enum: values });
const some = (pattern: string) => Type.Array(Type.String({ pattern }), { minItems: 1 });

const PART = '[^."\']+';
const source = { namespace: text, name: text, uid: text, generation: nat };
const address = Type.Object({ host: text, port: Type.Integer({ minimum: 1, maximum: 65535 }) }, closed);
const secretKey = Type.Object({ name: text, key: text }, closed);

const subject = Type.Object(
  {
    serviceAccount: optional(Type.Object({ namespace: text, name: text }, closed)),
    user: optional(text),
    group: optional(text),
    issuer: optional(text),
    claims: optional(Type.Array(Type.Object({ name: text, values: Type.Array(Type.String(), { minItems: 1 }) }, closed), { minItems: 1 })),
  },
  closed,
);
const subjects = Type.Array(subject);

const window = Type.Object(
  {
    days: Type.Array(oneOf(['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun']), { minItems: 1 }),
    start: Type.String({ pattern: '^([01][0-9]|2[0-3]):[0-5][0-9]$' }),
    end: Type.String({ pattern: '^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$' }),
  },
  closed,
);

const limits = Type.Object(
  {
    maxDurationSeconds: optional(positive),
    idleTimeoutSeconds: optional(positive),
    maxRows: optional(positive),
    maxBytes: optional(positive),
    maxActionsPerMinute: optional(positive),
  },
  closed,
);

const sql = Type.Object(
  {
    statements: optional(Type.Array(Type.Unsafe<string>({ type: 'string', enum: STATEMENT_KINDS }), { minItems: 1 })),
    relations: optional(some(`^${PART}\\.${PART}$`)),
    functions: optional(some(`^${PART}\\.${PART}$`)),
    access: optional(oneOf(['Read', 'Write'])),
    missingWhere: optional(Type.Boolean()),
    effects: optional(Type.Array(Type.Unsafe<string>({ type: 'string', enum: EFFECT_KINDS }), { minItems: 1 })),
    trustedFunctions: optional(some(`^${PART}\\.${PART}$`)),
  },
  closed,
);
const http = Type.Object({ methods: optional(some('^[A-Z]')), hosts: optional(some('^[^\\s]+$')), paths: optional(some('^/')) }, closed);

const rule = Type.Object(
  {
    name: text,
    action: oneOf(['Allow', 'Deny', 'RequireApproval']),
    sql: optional(sql),
    http: optional(http),
    when: optional(Type.String()),
    gates: Type.Array(text),
    maxAffectedRows: optional(positive),
    guardsEveryRow: optional(Type.Boolean()),
  },
  closed,
);

export const snapshotPolicy = Type.Object(
  {
    ...source,
    mode: oneOf(['Enforce', 'Audit']),
    subjects,
    windows: Type.Array(window),
    limits: optional(limits),
    rules: Type.Array(rule),
    readOnly: optional(Type.Boolean()),
    minimumAssurance: optional(oneOf(['A', 'B', 'C'])),
  },
  closed,
);

const strategy = Type.Union([
  Type.Object({ type: Type.Literal('Null') }, closed),
  Type.Object({ type: Type.Literal('Redact') }, closed),
  Type.Object({ type: Type.Literal('Partial'), keepStart: nat, keepEnd: nat }, closed),
  Type.Object({ type: oneOf(['FormatPreserving', 'Token']), keySecret: secretKey, domain: text }, closed),
]);

export const snapshotMasking = Type.Object(
  {
    ...source,
    columns: Type.Array(Type.Object({ column: Type.String({ pattern: `^${PART}\\.${PART}\\.${PART}$` }), strategy }, closed)),
    detectors: Type.Array(Type.Object({ type: oneOf(DETECTOR_TYPES), name: text, pattern: optional(text), strategy }, closed)),
    exemptSubjects: subjects,
    predicates: optional(Type.Literal('Strict')),
    functions: optional(Type.Array(Type.String({ pattern: '^[0-9a-f]{64}$' }))),
  },
  closed,
);

const gate = Type.Object(
  {
    ...source,
    approvers: subjects,
    quorum: positive,
    timeoutSeconds: positive,
    grant: Type.Union([
      Type.Object({ scope: oneOf(['Statement', 'Session']) }, closed),
      Type.Object({ scope: Type.Literal('Window'), windowSeconds: positive }, closed),
    ]),
    requireReason: Type.Boolean(),
  },
  closed,
);

const resourceLimit = ({ minimum, maximum }: LimitSpec) => optional(Type.Integer({ minimum, maximum }));

/** Out of bounds is refused: a snapshot can't take a limit away. */
const resourceLimits = Type.Object(
  Object.fromEntries(Object.entries<LimitSpec>(RESOURCE_LIMITS).map(([name, spec]) => [name, resourceLimit(spec)])) as {
    readonly [name in ResourceLimitName]: ReturnType<typeof resourceLimit>;
  },
  closed,
);

export const snapshotResource = Type.Object(
  {
    namespace: text,
    name: text,
    generation: nat,
    requiredCapabilities: Type.Array(Type.String()),
    protocol: oneOf(['PostgreSQL', 'HTTP']),
    address,
    aliases: Type.Array(address),
    tls: Type.Object({ mode: oneOf(['VerifyFull', 'Disable']), serverName: optional(text), caSecret: optional(secretKey) }, closed),
    agentToken: oneOf(['Accept', 'Ignore']),
    postgresql: optional(
      Type.Object(
        {
          database: text,
          users: Type.Array(Type.Object({ name: text, secret: text, usernameKey: text, passwordKey: text }, closed)),
        },
        closed,
      ),
    ),
    http: optional(
      Type.Object({ credential: optional(Type.Object({ header: text, prefix: Type.String(), secret: secretKey }, closed)) }, closed),
    ),
    recording: Type.Object({ results: oneOf(['None', 'Sample', 'All']), sampleRows: nat, fsync: oneOf(['Always', 'Never']) }, closed),
    limits: optional(resourceLimits),
    policies: Type.Array(snapshotPolicy),
    masking: Type.Array(snapshotMasking),
    gates: Type.Array(gate),
  },
  closed,
);

/** As much of a resource as is read before it is known whether the rest can be understood. */
export const resourceHead = Type.Object({ namespace: text, name: text, generation: nat, requiredCapabilities: Type.Array(Type.String()) });

export const snapshotHead = Type.Object(
  {
    schemaVersion: Type.Integer(),
    workload: Type.Object({ namespace: text, serviceAccount: text }, closed),
    sources: Type.Array(
      Type.Object({ kind: oneOf(['ProtectedResource', 'AccessPolicy', 'MaskingRule', 'ApprovalGate']), ...source }, closed),
    ),
    resources: Type.Array(resourceHead),
  },
  closed,
);

type Mutual<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never;
type Head = Omit<Static<typeof snapshotHead>, 'resources'>;
/** Compile errors where schema and interface part. */
export type SchemaAgrees = [
  Mutual<DeepReadonly<Static<typeof snapshotResource>>, SnapshotResource>,
  Mutual<DeepReadonly<Head>, Omit<Snapshot, 'resources'>>,
];
const agrees: SchemaAgrees = [true, true];
void agrees;

type DeepReadonly<T> = T extends readonly (infer E)[]
  ? readonly DeepReadonly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T;
