import type { ResourcePolicy } from '#crds/policy/engine.ts';
import { type ResourceLimits, resourceLimits } from '#crds/policy/limits.ts';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import type { Principal } from '#crds/policy/principal.ts';
import type { SnapshotResource } from '#crds/policy/snapshot.ts';
import type { Verdict } from '#crds/policy/verdict.ts';
import type { EndEvent } from '#crds/record/event.ts';
import { compileDetectors, type Detectors } from '../../mask/detect.ts';
import type { Pseudonyms } from '../../mask/detect-strategy.ts';
import { type Analysis, analyse, type SessionState } from '../../mask/postgres/analyse.ts';
import type { CatalogLease } from '../../mask/postgres/catalog-store.ts';
import { pseudonymsOf } from '../../mask/pseudonym-keys.ts';
import type { Recorded } from '../../permit.ts';
import type { Connection, DriverContext, SessionRecorder } from '../../pipeline.ts';
import type { ByteStream } from '../../transport/stream.ts';
import type { PostgresConnection } from '../../upstream/postgres/login.ts';
import { WireError } from '../../wire/postgres/errors.ts';
import { type ErrorFields, encodeErrorResponse, encodeNoticeResponse } from '../../wire/postgres/messages/error_notice.ts';
import type { TransactionStatus } from '../../wire/postgres/messages/ready_for_query.ts';
import { LimitMeter } from '../limits.ts';
import { Assured } from './assured.ts';
import { ExpectQueue } from './expect.ts';
import { KnownShapes } from './known-shapes.ts';
import { Later } from './later.ts';
import { LimitUse } from './limit-use.ts';
import { NameTable } from './names.ts';
import { Notified } from './notified.ts';
import { Outbox } from './outbox.ts';
import { denialFields, fatalFields } from './reply.ts';
import type { Run, RunHost } from './run.ts';
import type { Named, Prepared } from './statements.ts';

/** For a client to read what was written and to close. */
const CLOSE_GRACE_MS = 5000;
/** Names that the sidecar uses on the server; a client's own may not begin so. */
export const OWN_PREFIX = '_chaperone_';
export interface SessionParts {
  readonly context: DriverContext;
  readonly connection: Connection;
  readonly resource: SnapshotResource;
  readonly principals: readonly Principal[];
  readonly requestedUser: string;
  readonly database: string;
  readonly recorder: SessionRecorder;
  readonly client: ByteStream;
  readonly server: PostgresConnection;
  /** The proof of the connection itself. */
  readonly recorded: Recorded;
  /** The catalog as it is now; null until it is read. Only where names matter. */
  readonly catalog: CatalogLease;
}

/** What `skipping` discards from the client: nothing; all up to a Sync that we answer; all up to a Sync that the server answers. */
export type Skipping = 'no' | 'local' | 'server';

/** The state of one agent's connection, and the few things that both directions do with it. The directions are in frontend.ts and backend.ts. */
export class PgSession {
  readonly parts: SessionParts;
  readonly queue = new ExpectQueue();
  readonly names = new NameTable<Named>();
  readonly shapes = new KnownShapes();
  readonly notified = new Notified();
  readonly assured = new Assured();
  readonly cursors = new Map<string, Analysis>();
  readonly toClient: Outbox;
  readonly toServer: Outbox;
  readonly later = new Later((error) => this.failed(error));
  readonly meter: LimitMeter;
  readonly limits: ResourceLimits;
  readonly use: LimitUse;
  segment = 1;
  tx: TransactionStatus = 'I';
  /** Something of this segment went to the server: it may be in an implicit transaction. */
  segmentSent = false;
  skipping: Skipping = 'no';
  /** The COPY FROM STDIN that takes data now. */
  copyRun: Run | null = null;
  /** Set while a statement waits for an approval. */
  held: AbortController | null = null;
  state: SessionState;
  /** Role or search_path may have changed: ask the server before the next statement is judged. */
  stateDirty = true;
  stateTouched = false;
  /** Version of the catalog by which the state was read: a schema that appears changes what a search_path means. */
  stateVersion = '';
  /** DDL of a transaction that is still open: the catalog, which another session reads, does not show it. */
  ddlOpen = false;
  /** DDL ran: others see it, and the catalog is read again, once its transaction has ended. */
  catalogChanged = false;
  /** What is done when the client has sent the end of a COPY whose rows are counted. */
  afterCopy: (() => Promise<void>) | null = null;
  /** A command whose answer is held back until its rows were counted. */
  heldBack: Run | null = null;
  /** Of the last statement of ours that failed. */
  ownError: ErrorFields | null = null;
  /** The server was told that the session only reads. */
  isReadOnly = false;
  ended = false;
  /** A row of the server's is half way out: nothing of ours may go between. */
  midFrame = false;
  detectors: Detectors | null = null;
  #mask: MaskPolicy | null = null;
  #maskPolicy: ResourcePolicy | null = null;
  readonly #unfit = new Set<string>();
  readonly runHost: RunHost;
  readonly pseudonyms: Pseudonyms;
  #settled: (() => void)[] = [];
  readonly #notices: ErrorFields[] = [];
  readonly #finished: Promise<void>;
  #finish: () => void = () => {};

  constructor(parts: SessionParts) {
    this.parts = parts;
    this.toClient = new Outbox(parts.client);
    this.toServer = new Outbox(parts.server.stream);
    this.runHost = { recorder: parts.recorder, recording: parts.resource.recording, afterwards: (work) => this.later.add(work) };
    this.pseudonyms = pseudonymsOf(parts.context.credentials, parts.resource.namespace, parts.context.log);
    this.limits = resourceLimits(parts.resource.limits);
    this.use = new LimitUse(parts, this.limits);
    this.meter = new LimitMeter(parts.context.now());
    this.state = { searchPath: [], user: parts.requestedUser, database: parts.database };
    this.#finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  get finished(): Promise<void> {
    return this.#finished;
  }

  get policy(): ResourcePolicy | null {
    return this.parts.context.policy.resource(this.parts.connection.resource);
  }

  readonly tokenise = (literal: string): string => this.parts.recorder.tokenise(literal);

  readonly why = (): Verdict => this.parts.context.policy.why(this.parts.connection.resource);

  /** Null only where there is no policy: then nothing is allowed anyway. */
  get mask(): MaskPolicy | null {
    const policy = this.policy;
    if (policy !== this.#maskPolicy) {
      this.#maskPolicy = policy;
      this.#mask = policy?.masking(this.parts.principals) ?? null;
      this.detectors =
        this.#mask !== null && this.#mask.detectors.length > 0 ? compileDetectors(this.#mask.detectors, this.pseudonyms) : null;
    }
    return this.#mask;
  }

  get needsNames(): boolean {
    const policy = this.policy;
    return policy !== null && (policy.namesMatter || this.mask?.active === true);
  }

  /** True where the next statement can be judged by what is known now: role, search_path, and a catalog not newer than they are. */
  get namesReady(): boolean {
    if (this.readOnlyPending) return false;
    if (!this.needsNames) return !this.stateDirty || this.policy?.asksApproval !== true;
    if (this.stateDirty) return false;
    if (this.ddlOpen) return true;
    const catalog = this.parts.catalog.current();
    return catalog !== null && catalog.version === this.stateVersion;
  }

  /** A policy that came while the session was open makes it read only: the server is told between two transactions. */
  get readOnlyPending(): boolean {
    if (this.isReadOnly || this.tx !== 'I' || this.segmentSent) return false;
    return this.policy?.readOnly(this.parts.principals) === true;
  }

  /** Names can't be read as the server will read them. In a failed transaction only its end runs, and it names nothing. */
  get namesUnknown(): boolean {
    return this.needsNames && !this.namesReady && (this.tx !== 'E' || this.segmentSent);
  }

  /** Cursors end with their transaction, but for those that were declared to outlive it. */
  transactionEnded(): void {
    this.names.transactionEnded();
    if (this.cursors.size > 0)
      for (const [name, analysis] of this.cursors) if (!/\bwith\s+hold\b/i.test(analysis.sql)) this.cursors.delete(name);
    if (this.catalogChanged) this.#invalidateCatalog();
    this.catalogChanged = false;
    this.ddlOpen = false;
  }

  /** Other sessions of this target learn of it, too; this one waits for the new catalog with its next statement. */
  #invalidateCatalog(): void {
    this.parts.catalog.invalidate().catch(() => this.parts.context.log.warn({}, 'the catalog could not be read again'));
  }

  get busy(): boolean {
    return !this.queue.empty || this.held !== null || this.tx !== 'I';
  }

  analyse(sql: string): Analysis {
    const mask = this.mask;
    const analysis = analyse({
      sql,
      catalog: this.needsNames && !this.ddlOpen ? this.parts.catalog.current() : null,
      state: this.state,
      mask: mask ?? NO_MASK,
      prepared: this.#prepared,
      cursor: this.#cursor,
    });
    if (analysis.unfit.length > 0) this.#sayUnfit(analysis.unfit);
    return analysis;
  }

  /** Once in a session. */
  #sayUnfit(unfit: readonly string[]): void {
    const { log, resource } = { ...this.parts, ...this.parts.context };
    for (const what of unfit) {
      if (this.#unfit.has(what)) continue;
      this.#unfit.add(what);
      log.warn(
        { resource: `${resource.namespace}/${resource.name}`, strategy: what },
        'a strategy has no form in the type of its column: the placeholder stands there',
      );
    }
  }

  readonly #prepared = (name: string): Analysis | undefined => this.statement(name)?.analysis;

  // A protocol portal of that name would be what FETCH runs, and nobody judged it as one.
  readonly #cursor = (name: string): Analysis | 'any' | undefined => {
    if (this.names.lookup('portal', name, this.segment).type !== 'unknown') return undefined;
    // A function that was allowed may have opened it. What it gives matters only where something is masked or names are judged.
    return this.cursors.get(name) ?? (this.needsNames ? undefined : 'any');
  };

  /** Text as a recording or an approver may see it: what a detector finds is masked there too. */
  recordedText(text: string): string {
    return this.detectors === null ? text : this.detectors.mask(text).text;
  }

  /** For SQL's EXECUTE: a statement that is confirmed or of this segment. */
  statement(name: string): Prepared | undefined {
    const found = this.names.lookup('statement', name, this.segment);
    return found.type === 'known' && found.value.type === 'statement' ? found.value : undefined;
  }

  /** Sends what was permitted and recorded: the only way for a command to reach the target. */
  sendPermitted(recorded: Recorded): void {
    this.toServer.add(recorded.permit.bytes as Buffer);
    this.segmentSent = true;
  }

  /** Messages that carry no command of their own and follow one that was permitted: Bind, Describe, Close, CopyData. */
  sendFollowing(bytes: Buffer): void {
    this.toServer.add(bytes);
    this.segmentSent = true;
  }

  nextSegment(): void {
    this.segment++;
    this.segmentSent = false;
  }

  notice(fields: ErrorFields): void {
    if (this.midFrame) {
      this.#notices.push(fields);
      return;
    }
    this.toClient.add(encodeNoticeResponse(fields));
    this.toClient.flush();
  }

  /** The server's frame is out: what waited for its end may follow. */
  frameEnded(): void {
    this.midFrame = false;
    if (this.#notices.length === 0) return;
    for (const fields of this.#notices.splice(0)) this.toClient.add(encodeNoticeResponse(fields));
  }

  /** The server answered something: who waits for a name or for an empty queue looks again. */
  settled(): void {
    if (this.#settled.length === 0) return;
    const settled = this.#settled;
    this.#settled = [];
    for (const wake of settled) wake();
  }

  waitSettled(): Promise<void> {
    if (this.ended) return Promise.resolve();
    return new Promise((resolve) => this.#settled.push(resolve));
  }

  /** Ends the session with an error that the client sees. */
  fatal(sqlstate: string, message: string, reason: EndEvent['reason'], hint?: string): void {
    if (this.ended) return;
    if (!this.midFrame) this.toClient.add(encodeErrorResponse(fatalFields(sqlstate, message, hint)));
    this.end(reason, message);
  }

  /** Every error ends the session, with words that hold nothing of what was received. */
  failed(error: unknown): void {
    if (error instanceof WireError) return this.#malformed(error);
    this.parts.context.log.error({ session: this.parts.recorder.session, error: codeOf(error) }, 'a session failed');
    const recording = error instanceof Error && error.name === 'RecordingError';
    if (recording) return this.fatal('58030', 'the session can no longer be recorded, so it ends', 'error');
    this.fatal('XX000', 'an internal error', 'error');
  }

  #malformed(error: WireError): void {
    try {
      this.use.noteError(error);
    } catch (failure: unknown) {
      return this.failed(failure);
    }
    this.fatal(error.sqlstate, error.message, 'error');
  }

  fatalDenial(verdict: Verdict, sqlstate: string, reason: EndEvent['reason']): void {
    if (this.ended) return;
    if (!this.midFrame) this.toClient.add(encodeErrorResponse(denialFields(verdict, sqlstate, 'FATAL')));
    this.end(reason, verdict.message);
  }

  /** What the server returned counts at once, not only when the limits are looked at next. */
  checkReturned(): void {
    const limits = this.policy?.limits(this.parts.principals);
    const over = limits === undefined ? null : this.meter.overReturned(limits);
    if (over !== null) this.fatal('54000', `the session's limit ${over} is exceeded`, 'limit');
  }

  /** FIN after what was written; a client that does not close on its own is cut off. */
  #closeClient(): void {
    const { client } = this.parts;
    const timer = setTimeout(() => client.destroy(), CLOSE_GRACE_MS);
    timer.unref();
    const done = () => {
      clearTimeout(timer);
      client.destroy();
    };
    client.start({ data: () => {}, drained: () => {}, ended: done, closed: done });
    client.end();
  }

  /** Closes both legs and the recording. Open transactions end with the upstream connection. */
  end(reason: EndEvent['reason'], message?: string): void {
    if (this.ended) return;
    this.ended = true;
    this.toClient.flush();
    this.held?.abort('the client went away');
    const now = this.parts.context.now();
    try {
      for (const run of [...this.queue.runs(), this.heldBack]) run?.release('aborted', now);
      this.later.run();
    } catch (error: unknown) {
      this.parts.context.log.error({ session: this.parts.recorder.session, error: codeOf(error) }, 'a result could not be recorded');
    }
    this.parts.server.stream.destroy();
    this.#closeClient();
    this.settled();
    this.parts.recorder
      .end(reason, message)
      .catch((error: unknown) => {
        this.parts.context.log.error({ session: this.parts.recorder.session, error: codeOf(error) }, 'a recording could not be closed');
      })
      .finally(this.#finish);
  }
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : error instanceof Error ? error.name : 'unknown';
}

const NO_MASK: MaskPolicy = { active: false, column: () => null, detectors: [], functions: new Set(), key: '' };
