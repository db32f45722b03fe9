/**
 * The order of the stages, and the types between them:
 *
 *   client -> listener -> identity -> decode -> decide -> record verdict -> upstream
 *                                                 | hold -> approvals -> decide again
 *   upstream -> decode -> mask -> record (masked) -> encode -> client
 *
 * Success is a proof that the next step needs: only `decide/` makes a Permit, only `record/` turns one into Recorded,
 * and only a Recorded Permit can be sent upstream. This is the only file that knows the order.
 */
import type { LookupFunction } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SessionAssurance } from '#crds/policy/assurance.ts';
import type { ResourcePolicy } from '#crds/policy/engine.ts';
import type { LimitName } from '#crds/policy/limits.ts';
import type { Principal } from '#crds/policy/principal.ts';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import type { Author, Verdict } from '#crds/policy/verdict.ts';
import type { EndEvent, NewEvent, RecordedAction, StartEvent } from '#crds/record/event.ts';
import type { Denial, Permit, Recorded } from './permit.ts';

/** listener -> identity: an accepted connection. TLS is the driver's to start (PostgreSQL negotiates it in band). */
export interface Connection {
  readonly stream: Duplex;
  readonly remote: string;
  /** True where the peer is on loopback: a token may then come over plain TCP. */
  readonly loopback: boolean;
  readonly workload: Workload;
  readonly resource: ResourceKey;
  /** The driver calls it when the client is through its login (HTTP: its first request); until then the listener's header timeout runs. */
  readonly established?: () => void;
}

export interface Workload {
  readonly namespace: string;
  readonly serviceAccount: string;
}

export interface ResourceKey {
  readonly namespace: string;
  readonly name: string;
}

/** The current snapshot, swapped into a variable. DENY_ALL until the first arrives, and again when the last is older than its TTL. */
export interface PolicyStore {
  /** Version of the current snapshot; `none` for DENY_ALL. */
  readonly version: string;
  /** Null where the resource is not in the snapshot, lacks a capability, or the snapshot is stale: deny. `why` then tells. */
  resource(key: ResourceKey): ResourcePolicy | null;
  why(key: ResourceKey): Verdict;
  /** Called after each swap. Returns the way to stop. */
  onChange(listener: () => void): () => void;
}

export interface IdentityVerifier {
  /** The workload that the listener stands for. */
  workload(connection: Connection): Principal;
  /** False where no issuer is known: no token could hold, so none is asked for. */
  readonly takesTokens: boolean;
  /** A JWT that the agent presented. Rejects with IdentityError; never says why to the client beyond `invalid token`. */
  token(jwt: string): Promise<Principal>;
}

/** Target credentials, in memory only. */
export interface CredentialStore {
  /** Throws CredentialError, which names Secret and key and never a value. */
  get(namespace: string, secret: string, key: string): Buffer;
}

/** decide: the only maker of a Permit. */
export type Outcome =
  | { readonly type: 'permit'; readonly permit: Permit }
  | { readonly type: 'hold'; readonly verdict: Verdict }
  | { readonly type: 'denial'; readonly denial: Denial };

export interface RecordingStore {
  /** Writes the start event. Rejects where it can't: then the session is refused. */
  open(start: Omit<StartEvent, 'v' | 'session' | 'seq' | 'time' | 'channel' | 'type'>, sessionId: string): Promise<SessionRecorder>;
}

export interface SessionRecorder {
  readonly session: string;
  /**
   * Writes the verdict and gives the proof that upstream needs. The line is on disk (`write`) when this returns;
   * with `fsync: Always` await `durable()` before sending. Throws RecordingError: then the session must end.
   */
  permit(permit: Permit, action: RecordedAction): Recorded;
  deny(denial: Denial, action: RecordedAction): void;
  /** Any other event; returns its seq. */
  event(event: NewEvent): number;
  durable(): Promise<void>;
  end(reason: EndEvent['reason'], message?: string): Promise<void>;
  /** HMAC token for a literal or parameter: `‹t:` and 16 hex digits `›`. */
  tokenise(value: Uint8Array | string): string;
}

export interface ApprovalAsk {
  readonly session: string;
  readonly resource: ResourceKey;
  readonly principals: readonly Principal[];
  readonly gates: Verdict['gates'];
  readonly authors: readonly Author[];
  /** At most 16 KiB of the action for the approver's eyes, literals tokenised like in the recording. */
  readonly summary: string;
  /** What the approval is bound to: SHA-256 hex over bytes, parameters, role, search_path and the authors' generations. */
  readonly binding: string;
}

export type ApprovalOutcome =
  | { readonly type: 'approved'; readonly name: string; readonly by: readonly { readonly issuer: string; readonly subject: string }[] }
  | { readonly type: 'denied' | 'timedOut' | 'withdrawn' | 'unavailable'; readonly name: string; readonly message: string };

export interface Approvals {
  /** An approval that already covers the ask (grant scope Session or Window), or null. */
  granted(ask: ApprovalAsk): { readonly name: string } | null;
  /** Raises a request. Throws ApprovalError (limit reached, asker not identified): a denial. */
  raise(ask: ApprovalAsk): PendingApproval;
}

export interface PendingApproval {
  readonly name: string;
  readonly expiresAtMs: number;
  readonly outcome: Promise<ApprovalOutcome>;
  /** The client cancelled or went away, or policy changed under it. */
  withdraw(why: string): void;
}

export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** How the names of one namespace's targets are looked up. */
export interface TargetNames {
  readonly lookup: LookupFunction;
  /** An address at which no target may be. */
  readonly isRefused: (ip: string) => boolean;
}

/** What every driver is given. */
export interface DriverContext {
  readonly policy: PolicyStore;
  readonly identity: IdentityVerifier;
  readonly credentials: CredentialStore;
  readonly recordings: RecordingStore;
  readonly approvals: Approvals;
  readonly log: Log;
  /** How the names of a namespace's targets are looked up; by the machine's own ways where absent. */
  readonly names?: (namespace: string) => TargetNames;
  /** A line per verdict for the person who watches. */
  readonly onVerdict: (line: VerdictLine) => void;
  /** A limit was exceeded: it is counted. */
  readonly onLimit?: (limit: LimitName, resource: ResourceKey) => void;
  readonly now: () => number;
  /** Told of how well masked columns are kept in each open session. */
  readonly assurances?: AssuranceSink;
}

export interface AssuranceSink {
  set(session: string, resource: ResourceKey, found: SessionAssurance): void;
  remove(session: string): void;
}

export interface VerdictLine {
  readonly time: number;
  readonly session: string;
  readonly resource: ResourceKey;
  readonly who: string;
  readonly verdict: Verdict;
  readonly summary: string;
}

/** One protocol. */
export interface Driver {
  readonly protocol: SnapshotResource['protocol'];
  /** What a client is told for whom there is no room. */
  readonly noRoom?: Buffer;
  /** Serves the connection to its end. Never rejects: what goes wrong ends the session with a protocol-native error. */
  serve(connection: Connection): Promise<void>;
  /** Stops taking commands: sessions end after the action that is under way, at the latest after `graceMs`. */
  drain(graceMs: number): Promise<void>;
}
