import type { Assurance } from '../policy/assurance.ts';
import type { JsonValue } from '../policy/json.ts';
import type { Principal } from '../policy/principal.ts';
import type { AuditVerdict, Author, Decision, ReasonCode } from '../policy/verdict.ts';

/**
 * A recording is JSON lines. Every line is an event with these members first. `v` is the format's version.
 * One format serves SQL, HTTP streams and later SSH: `channel` is the stream inside the session, `parent` the `seq` that an event answers.
 */
export const RECORD_VERSION = 1;

export interface EventBase {
  readonly v: typeof RECORD_VERSION;
  /** Session ID: UUID. */
  readonly session: string;
  /** From 1, without a gap, over all segments of the session. */
  readonly seq: number;
  /** RFC 3339 with milliseconds, UTC. */
  readonly time: string;
  /** 0 is the session itself. */
  readonly channel: number;
  readonly parent?: number;
}

export type { Assurance };

export interface StartEvent extends EventBase {
  readonly type: 'start';
  readonly protocol: 'PostgreSQL' | 'HTTP';
  readonly resource: { readonly namespace: string; readonly name: string };
  readonly workload: { readonly namespace: string; readonly serviceAccount: string };
  readonly principals: readonly Omit<Principal, 'claims'>[];
  readonly requestedUser?: string;
  readonly database?: string;
  readonly snapshot: string;
  /** What the rules promise, whatever the target's role may do. A note `Assurance` tells what was found, before the first statement and where it changes. */
  readonly assurance: Assurance;
  /** What the client said of itself (application_name, user agent); at most 256 characters. */
  readonly client?: string;
}

/** A verdict on one action; written before the target sees it. `phase` tells a first look from the one after an approval. */
export interface ActionEvent extends EventBase {
  readonly type: 'action';
  readonly phase: 'first' | 'again';
  readonly action: RecordedAction;
  readonly decision: Decision;
  readonly code: ReasonCode;
  readonly message: string;
  readonly authors: readonly Author[];
  readonly audit?: readonly AuditVerdict[];
  readonly snapshot: string;
  /** Name of the ApprovalRequest that a hold raised, or that an allowed action used. */
  readonly approval?: string;
}

export type RecordedAction =
  | {
      readonly type: 'sql';
      /** Which message carried it: a simple Query, or the Parse or Execute of the extended protocol. */
      readonly step: 'Query' | 'Parse' | 'Execute';
      /** As received, and as sent where it was rewritten. Literals are tokenised (`‹t:…›`) where they may meet a masked column or a password. */
      readonly received: string;
      readonly sent?: string;
      /** SHA-256 of the received bytes, hex. */
      readonly digest: string;
      readonly tokenised: boolean;
      readonly kinds: readonly string[];
      readonly parameters?: readonly (string | null)[];
      /** True where text was cut at the recorder's limit. */
      readonly truncated?: boolean;
    }
  | {
      readonly type: 'http';
      readonly method: string;
      readonly host: string;
      readonly path: string;
      readonly query?: string;
      readonly truncated?: boolean;
    }
  | { readonly type: 'connect'; readonly database?: string; readonly user?: string }
  | { readonly type: 'protocol'; readonly message: string };

/** How an allowed action ended. */
export interface ResultEvent extends EventBase {
  readonly type: 'result';
  readonly status: 'ok' | 'error' | 'aborted';
  readonly rows?: number;
  readonly bytesIn?: number;
  readonly bytesOut?: number;
  /** Command tag, or HTTP status. */
  readonly tag?: string;
  readonly sqlstate?: string;
  /** The server's error after masking. */
  readonly error?: string;
  readonly maskedValues?: number;
  readonly requestSha256?: string;
  readonly responseSha256?: string;
  readonly durationMs: number;
}

/** Rows after masking, as text; only with `results: Sample` or `All`. */
export interface RowsEvent extends EventBase {
  readonly type: 'rows';
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | null)[])[];
  /** True where cells were cut at the recorder's limit. */
  readonly truncated?: boolean;
}

export interface ApprovalEvent extends EventBase {
  readonly type: 'approval';
  readonly name: string;
  readonly event: 'raised' | 'approved' | 'denied' | 'timedOut' | 'withdrawn' | 'used';
  readonly by?: { readonly issuer: string; readonly subject: string };
  readonly reason?: string;
}

export interface NoteEvent extends EventBase {
  readonly type: 'note';
  readonly code: string;
  readonly message: string;
  readonly data?: { readonly [key: string]: JsonValue };
}

export interface EndEvent extends EventBase {
  readonly type: 'end';
  /** `interrupted`: written by the next start of the recorder, because the process died. */
  readonly reason: 'client' | 'server' | 'limit' | 'policy' | 'drain' | 'error' | 'interrupted';
  readonly message?: string;
}

/** The last member of every stored line: SHA-256 hex over the `hash` before (in a segment's first event: of the header's bytes) and the line's bytes without this member. */
export interface Chained {
  readonly hash: string;
}

export type RecordEvent = StartEvent | ActionEvent | ResultEvent | RowsEvent | ApprovalEvent | NoteEvent | EndEvent;

type Stamp = 'v' | 'session' | 'seq' | 'time';
/** An event before the recorder stamps it; `channel` is 0 where absent. */
export type NewEvent = RecordEvent extends infer E
  ? E extends EventBase
    ? Omit<E, Stamp | 'channel'> & { readonly channel?: number }
    : never
  : never;
