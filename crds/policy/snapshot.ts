import type { ResourceLimitName } from './limits.ts';

/**
 * The compiled policy of one workload: canonical JSON of a closed schema. Its version is `sha256:` and the hex SHA-256 of that JSON.
 * It holds no secret, only names of Secrets. A sidecar that lacks one of `requiredCapabilities` denies the resource that asks for it.
 */
export const SNAPSHOT_SCHEMA_VERSION = 1;

export const CAPABILITIES = [
  'postgresql/1',
  'http/1',
  'cel/1',
  'approval/1',
  'mask-source/1',
  'mask-detect/1',
  'mask-token/1',
  'mask-strict/1',
  'mask-functions/1',
  'limits/1',
  'window/1',
  'effects/1',
  'row-guard/1',
  'resource-limits/1',
  'assurance/1',
] as const;
export type Capability = (typeof CAPABILITIES)[number];

export interface Snapshot {
  readonly schemaVersion: number;
  readonly workload: { readonly namespace: string; readonly serviceAccount: string };
  /** Everything that this snapshot was compiled from, sorted by kind, namespace, name. */
  readonly sources: readonly Source[];
  /** Sorted by namespace and name. */
  readonly resources: readonly SnapshotResource[];
}

export interface Source {
  readonly kind: 'ProtectedResource' | 'AccessPolicy' | 'MaskingRule' | 'ApprovalGate';
  readonly namespace: string;
  readonly name: string;
  /** metadata.uid; for a manifest in a folder, a UUID made from the content's identity (kind, namespace, name). */
  readonly uid: string;
  /** metadata.generation; for a folder, a number that grows with each change of the spec that the process has seen, from 1. */
  readonly generation: number;
}

export interface SnapshotResource {
  readonly namespace: string;
  readonly name: string;
  readonly generation: number;
  readonly requiredCapabilities: readonly string[];
  readonly protocol: 'PostgreSQL' | 'HTTP';
  readonly address: SnapshotAddress;
  readonly aliases: readonly SnapshotAddress[];
  readonly tls: SnapshotTls;
  /** `Accept`: the agent may present a JWT (PostgreSQL password; HTTP `Proxy-Authorization: Bearer`). `Ignore`: the workload is the only principal. */
  readonly agentToken: 'Accept' | 'Ignore';
  readonly postgresql?: SnapshotPostgresql;
  readonly http?: SnapshotHttp;
  readonly recording: SnapshotRecording;
  /** Those that the resource sets; the others have the defaults of limits.ts. */
  readonly limits?: { readonly [name in ResourceLimitName]?: number };
  readonly policies: readonly SnapshotPolicy[];
  readonly masking: readonly SnapshotMasking[];
  /** Only those that a rule refers to. */
  readonly gates: readonly SnapshotGate[];
}

export interface SnapshotAddress {
  readonly host: string;
  readonly port: number;
}

export interface SnapshotTls {
  /** `Disable` is plain TCP, for a target on loopback or one that has no TLS. */
  readonly mode: 'VerifyFull' | 'Disable';
  /** Name to verify and to send as SNI; the address's host where absent. */
  readonly serverName?: string;
  /** PEM bundle in a Secret of the resource's namespace; the system's roots where absent. */
  readonly caSecret?: SecretKey;
}

export interface SecretKey {
  readonly name: string;
  readonly key: string;
}

export interface SnapshotPostgresql {
  /** The only database that may be asked for. */
  readonly database: string;
  /** Requested database user to credential. Another requested user is refused. */
  readonly users: readonly { readonly name: string; readonly secret: string; readonly usernameKey: string; readonly passwordKey: string }[];
}

export interface SnapshotHttp {
  /** The service's credential, put in as a header; an agent's own header of that name is dropped. */
  readonly credential?: { readonly header: string; readonly prefix: string; readonly secret: SecretKey };
}

export interface SnapshotRecording {
  readonly results: 'None' | 'Sample' | 'All';
  /** Rows kept per statement with `Sample`. */
  readonly sampleRows: number;
  /** `Always`: fsync before the verdict counts as recorded. `Never`: `write` only; survives a crash of the process, not of the machine. */
  readonly fsync: 'Always' | 'Never';
}

export interface SnapshotPolicy {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly mode: 'Enforce' | 'Audit';
  readonly subjects: readonly SnapshotSubject[];
  readonly windows: readonly SnapshotWindow[];
  readonly limits?: SnapshotLimits;
  readonly rules: readonly SnapshotRule[];
  /** The rule set `readOnly` is used: the server is told, too, that the session only reads. */
  readonly readOnly?: boolean;
  /** The least assurance of masking that a session must have. */
  readonly minimumAssurance?: 'A' | 'B' | 'C';
}

/** One way to be meant by a policy; all of its members must match the same principal. */
export interface SnapshotSubject {
  readonly serviceAccount?: { readonly namespace: string; readonly name: string };
  readonly user?: string;
  readonly group?: string;
  readonly issuer?: string;
  readonly claims?: readonly { readonly name: string; readonly values: readonly string[] }[];
}

/** UTC. `start` and `end` are `HH:MM`; an end before its start runs past midnight and belongs to the day it started on. */
export interface SnapshotWindow {
  readonly days: readonly ('Mon' | 'Tue' | 'Wed' | 'Thu' | 'Fri' | 'Sat' | 'Sun')[];
  readonly start: string;
  readonly end: string;
}

/** The strictest of each over all policies that match a session's principals. */
export interface SnapshotLimits {
  readonly maxDurationSeconds?: number;
  readonly idleTimeoutSeconds?: number;
  /** Rows (SQL) returned by one session. */
  readonly maxRows?: number;
  /** Bytes returned by one session. */
  readonly maxBytes?: number;
  readonly maxActionsPerMinute?: number;
}

export interface SnapshotRule {
  /** Its name, or `rules[2]`. */
  readonly name: string;
  readonly action: 'Allow' | 'Deny' | 'RequireApproval';
  /** Absent: matches every action of the resource. */
  readonly sql?: SqlMatch;
  readonly http?: HttpMatch;
  /** CEL condition; a rule whose condition is false does not match, one whose condition errors denies. */
  readonly when?: string;
  /** Names of gates in the policy's namespace; only with RequireApproval. */
  readonly gates: readonly string[];
  /** Of an Allow rule: a write that it covers may change so many rows. */
  readonly maxAffectedRows?: number;
  /** Of a Deny rule: a DELETE or MERGE that it does not meet may still not leave a relation empty that had several rows. */
  readonly guardsEveryRow?: boolean;
}

/** Every member that is present must match. Allow: everything that the statement touches is in the lists. Deny and RequireApproval: anything is. */
export interface SqlMatch {
  readonly statements?: readonly string[];
  /** Globs over `schema.name`. */
  readonly relations?: readonly string[];
  readonly functions?: readonly string[];
  readonly access?: 'Read' | 'Write';
  readonly missingWhere?: boolean;
  readonly effects?: readonly string[];
  /** Globs over `schema.name` of functions whose effects are taken to be none. */
  readonly trustedFunctions?: readonly string[];
}

export interface HttpMatch {
  readonly methods?: readonly string[];
  /** Globs; `*` within a label, `**` over labels. */
  readonly hosts?: readonly string[];
  /** Globs; `*` within a segment, `**` over segments. */
  readonly paths?: readonly string[];
}

export interface SnapshotMasking {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly columns: readonly { readonly column: string; readonly strategy: SnapshotStrategy }[];
  readonly detectors: readonly {
    readonly type: DetectorType;
    readonly name: string;
    readonly pattern?: string;
    readonly strategy: SnapshotStrategy;
  }[];
  readonly exemptSubjects: readonly SnapshotSubject[];
  /** Nothing may depend on a masked column. Absent: what depends on it sees the mask. */
  readonly predicates?: 'Strict';
  /** SHA-256 of the definitions of functions that may be called. */
  readonly functions?: readonly string[];
}

export const DETECTOR_TYPES = ['Card', 'Email', 'IBAN', 'SSN', 'Phone', 'JWT', 'CloudKey', 'PrivateKey', 'Custom'] as const;
export type DetectorType = (typeof DETECTOR_TYPES)[number];

export type SnapshotStrategy =
  | { readonly type: 'Null' }
  | { readonly type: 'Redact' }
  /** Keeps characters at the start and the end, the rest becomes `*`; nothing is kept of a value shorter than twice what is kept. */
  | { readonly type: 'Partial'; readonly keepStart: number; readonly keepEnd: number }
  | SnapshotPseudonym;

/**
 * Another value in its place, made with a key: equal values of one key and domain become equal ones. `FormatPreserving` keeps the form, `Token`
 * tells nothing but equality.
 */
export interface SnapshotPseudonym {
  readonly type: 'FormatPreserving' | 'Token';
  /** In the namespace of the rule. Only its name is here, never the key nor its hash. */
  readonly keySecret: SecretKey;
  /** The same value in another domain becomes another one. */
  readonly domain: string;
}

export interface SnapshotGate {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: number;
  readonly approvers: readonly SnapshotSubject[];
  readonly quorum: number;
  readonly timeoutSeconds: number;
  readonly grant: { readonly scope: 'Statement' | 'Session' } | { readonly scope: 'Window'; readonly windowSeconds: number };
  readonly requireReason: boolean;
}
