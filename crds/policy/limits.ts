/**
 * Every limit that protects a sidecar, with unit, default and bounds. `ProtectedResource.spec.limits` sets those of a target, `--limit NAME=VALUE`
 * those of the process; docs/limits.md is made from here. What a *session* may use (rows, bytes, rate) is an AccessPolicy's, and not here.
 */
export type Unit = 'bytes' | 'seconds' | 'milliseconds' | 'connections' | 'names' | 'messages' | 'channels' | 'requests' | 'levels';

export interface LimitSpec {
  readonly unit: Unit;
  readonly default: number;
  readonly minimum: number;
  readonly maximum: number;
  /** What is limited, as `kubectl explain` says it. */
  readonly what: string;
  /** What becomes of what exceeds it. */
  readonly exceeded: string;
}

const KIB = 1024;
const MIB = 1024 * KIB;

/** Of one target, in the snapshot; a session keeps those that it began with. */
export const RESOURCE_LIMITS = {
  loginTimeoutSeconds: {
    unit: 'seconds',
    default: 10,
    minimum: 1,
    maximum: 60,
    what: 'How long a connection may take to get through its login (HTTP: to send its first request).',
    exceeded: 'The connection is closed.',
  },
  maxConnections: {
    unit: 'connections',
    default: 100,
    minimum: 1,
    maximum: 10_000,
    what: 'Connections of one agent at once.',
    exceeded: 'PostgreSQL: FATAL 53300; HTTP: 503. The connection is closed.',
  },
  maxUnauthenticated: {
    unit: 'connections',
    default: 50,
    minimum: 1,
    maximum: 1000,
    what: 'Of those, how many may be before the end of their login. TLS handshakes and requests to cancel count.',
    exceeded: 'As maxConnections.',
  },
  maxMessageBytes: {
    unit: 'bytes',
    default: 64 * MIB,
    minimum: 64 * KIB,
    maximum: 256 * MIB,
    what: 'The greatest Query, Parse, Bind or CopyData that a client may send, and the greatest row of the target that has to be looked into.',
    exceeded: 'FATAL 08P01 as soon as the header says so, as the server does beyond its own limit; the session ends.',
  },
  maxBufferedBytes: {
    unit: 'bytes',
    default: 128 * KIB,
    minimum: 64 * KIB,
    maximum: 16 * MIB,
    what: 'What a client may send ahead while a message of its own waits (for an approval, a catalog, the target).',
    exceeded: 'No more is read from it until it has gone on.',
  },
  maxHeldAnswerBytes: {
    unit: 'bytes',
    default: 4 * MIB,
    minimum: 64 * KIB,
    maximum: 64 * MIB,
    what: 'Answers of a command that are held back until its rows were counted (`maxAffectedRows`).',
    exceeded: 'The command is denied and rolled back.',
  },
  maxStatements: {
    unit: 'names',
    default: 1000,
    minimum: 1,
    maximum: 10_000,
    what: 'Prepared statements of one session.',
    exceeded: 'The message is denied with 54000.',
  },
  maxPortals: {
    unit: 'names',
    default: 1000,
    minimum: 1,
    maximum: 10_000,
    what: 'Portals and cursors of one session.',
    exceeded: 'The message is denied with 54000.',
  },
  maxParameterBytes: {
    unit: 'bytes',
    default: 64 * MIB,
    minimum: 64 * KIB,
    maximum: 256 * MIB,
    what: 'Parameters that the portals of one session hold.',
    exceeded: 'The Bind is denied with 54000.',
  },
  maxMessagesBeforeSync: {
    unit: 'messages',
    default: 100_000,
    minimum: 100,
    maximum: 10_000_000,
    what: 'Messages of the extended protocol between two Syncs.',
    exceeded: 'The message is denied with 54000, and what follows up to the Sync is skipped.',
  },
  maxUnanswered: {
    unit: 'messages',
    default: 1000,
    minimum: 16,
    maximum: 100_000,
    what: 'Messages of one session that the target has not answered yet.',
    exceeded: 'No more is read from the client until the target has answered.',
  },
  maxListenChannels: {
    unit: 'channels',
    default: 100,
    minimum: 1,
    maximum: 10_000,
    what: 'Channels that one session listens to.',
    exceeded: 'The LISTEN is denied with 54000.',
  },
  maxNotices: {
    unit: 'messages',
    default: 10_000,
    minimum: 1,
    maximum: 10_000_000,
    what: 'Notices of the target that one command may be given.',
    exceeded: 'Those beyond are dropped; the command goes on.',
  },
  maxCancelsPerMinute: {
    unit: 'requests',
    default: 60,
    minimum: 1,
    maximum: 6000,
    what: 'Requests to cancel that one session may make in 60 seconds.',
    exceeded: 'Those beyond are dropped.',
  },
} as const satisfies Readonly<Record<string, LimitSpec>>;

/** Of the process: what all its sessions share. */
export const PROCESS_LIMITS = {
  maxBufferedTotalBytes: {
    unit: 'bytes',
    default: 256 * MIB,
    minimum: 16 * MIB,
    maximum: 4096 * MIB,
    what: 'Messages of all connections that are not complete or not sent on yet. Where the memory of the process is limited: a quarter of that, where it is less.',
    exceeded: 'FATAL 53200; the session whose message it is ends.',
  },
  maxStatementBytes: {
    unit: 'bytes',
    default: MIB,
    minimum: KIB,
    maximum: 4 * MIB,
    what: 'The longest text of SQL that is parsed.',
    exceeded: 'The statement is denied as Unparsable.',
  },
  maxStatementDepth: {
    unit: 'levels',
    default: 1000,
    minimum: 50,
    maximum: 1500,
    what: 'How deep the tree of a statement may be.',
    exceeded: 'The statement is denied as Unparsable.',
  },
  slowParseMs: {
    unit: 'milliseconds',
    default: 250,
    minimum: 10,
    maximum: 10_000,
    what: 'CPU time for the analysis of one statement. The parser can not be interrupted: length and depth bound it before, this is measured after.',
    exceeded: 'The statement is counted and told in the log.',
  },
  slowDetectorMs: {
    unit: 'milliseconds',
    default: 50,
    minimum: 5,
    maximum: 5000,
    what: 'CPU time of one custom detector for each 64 KiB of a value.',
    exceeded: 'The whole value is masked.',
  },
  eventLoopLagMs: {
    unit: 'milliseconds',
    default: 200,
    minimum: 20,
    maximum: 10_000,
    what: 'How long the event loop may be busy with one thing.',
    exceeded: 'It is counted and told in the log, at most once in ten seconds.',
  },
  maxPendingApprovals: {
    unit: 'requests',
    default: 10,
    minimum: 1,
    maximum: 1000,
    what: 'Approvals that one asker waits for.',
    exceeded: 'The command is denied with LimitExceeded.',
  },
  maxPendingApprovalsTotal: {
    unit: 'requests',
    default: 200,
    minimum: 1,
    maximum: 10_000,
    what: 'Approvals that all askers wait for.',
    exceeded: 'The command is denied with LimitExceeded.',
  },
} as const satisfies Readonly<Record<string, LimitSpec>>;

export type ResourceLimitName = keyof typeof RESOURCE_LIMITS;
export type ProcessLimitName = keyof typeof PROCESS_LIMITS;
export type LimitName = ResourceLimitName | ProcessLimitName;

export type ResourceLimits = { readonly [name in ResourceLimitName]: number };
export type ProcessLimits = { readonly [name in ProcessLimitName]: number };

export const DEFAULT_RESOURCE_LIMITS: ResourceLimits = defaultsOf(RESOURCE_LIMITS);
export const DEFAULT_PROCESS_LIMITS: ProcessLimits = defaultsOf(PROCESS_LIMITS);

/** Defaults where a limit is not set. */
export function resourceLimits(given: { readonly [name in ResourceLimitName]?: number } | undefined): ResourceLimits {
  return given === undefined ? DEFAULT_RESOURCE_LIMITS : { ...DEFAULT_RESOURCE_LIMITS, ...given };
}

function defaultsOf<N extends string>(specs: { readonly [name in N]: LimitSpec }): { readonly [name in N]: number } {
  const entries = Object.entries<LimitSpec>(specs).map(([name, spec]) => [name, spec.default]);
  return Object.fromEntries(entries) as { readonly [name in N]: number };
}
