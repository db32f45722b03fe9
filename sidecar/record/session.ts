import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ReasonCode, Verdict } from '#crds/policy/verdict.ts';
import { type EndEvent, type NewEvent, RECORD_VERSION, type RecordedAction } from '#crds/record/event.ts';
import { type SessionPlace, sessionFolder } from '#crds/record/format.ts';
import { type Denial, type Permit, type Recorded, recorded } from '../permit.ts';
import type { Log, SessionRecorder } from '../pipeline.ts';
import { ActionMembers, type ActionPhase } from './action-members.ts';
import { causeOf, RecordingError, type RecordingErrorCode } from './error.ts';
import { limitEvent, splitRows } from './limit.ts';
import { eventMembers } from './members.ts';
import { type Sealer, sealSegment } from './seal.ts';
import { type FinishedSegment, SegmentFile } from './segment-file.ts';
import type { RecordingLimits } from './store.ts';
import { TimeText } from './time-text.ts';

/** What all sessions of one recorder share. */
export interface SessionHost extends Sealer {
  readonly recordings: string;
  readonly log: Log;
  readonly limits: RecordingLimits;
  /** Version of the policy in force; that of the session's start where absent. */
  readonly snapshot?: () => string;
  /** No room for what waits to be uploaded: nothing more may be recorded, and so nothing more forwarded. */
  readonly isFull: () => boolean;
  /** Runs a seal when there is room for it. */
  readonly whenRoom: <T>(work: () => Promise<T>) => Promise<T>;
  /** The session's end is in the ledger, or can't be brought there. */
  readonly onSettled: (session: string, clean: boolean) => void;
}

/** Denials that follow a hold: the second look at the same action. */
const AFTER_HOLD: ReadonlySet<ReasonCode> = new Set([
  'ApprovalDenied',
  'ApprovalTimedOut',
  'ApprovalWithdrawn',
  'ApprovalUnavailable',
  'PolicyChanged',
]);

/** How commands ended: a crash may lose the last of them, never a verdict. */
const MAY_WAIT: ReadonlySet<NewEvent['type']> = new Set(['result', 'rows']);

export const SPOOL_FULL =
  'the recordings that wait to be uploaded have reached their limit: the bucket, or the operator, can not be reached';

/** Writes one session. An open segment costs a file; a session that rotated and says nothing has none. */
export class SessionWriter implements SessionRecorder {
  readonly session: string;
  readonly #place: SessionPlace;
  readonly #host: SessionHost;
  readonly #snapshot: string;
  readonly #prefix: string;
  #file: SegmentFile | null = null;
  #segment = 0;
  #seq = 0;
  #head: string | null = null;
  #lastFile: string | null = null;
  #failed: RecordingError | null = null;
  #sealFailed = false;
  #sealing: Promise<void> = Promise.resolve();
  #rotationSync: Promise<unknown> = Promise.resolve();
  #wantsSync = false;
  readonly #actions: ActionMembers;
  readonly #time = new TimeText();
  #ledgerSync: Promise<void> | null = null;
  #ended: Promise<void> | null = null;

  constructor(host: SessionHost, place: SessionPlace, snapshot: string) {
    this.session = place.session;
    this.#place = place;
    this.#host = host;
    this.#snapshot = snapshot;
    this.#actions = new ActionMembers(host.limits.textBytes);
    this.#prefix = `{"v":${RECORD_VERSION},"session":"${place.session}","seq":`;
  }

  /**
   * An empty file, the ledger's entry, then the start event: a file without an entry was never a session, and a session without a file
   * was taken away. Throws RecordingError; then nothing of the session is left but what the ledger says of its end.
   */
  begin(start: NewEvent): void {
    let told = false;
    try {
      this.#file = this.#openSegment();
      this.#host.ledger.append({ type: 'sessionStart', ...this.#place });
      told = true;
      this.#append(start);
    } catch (error: unknown) {
      const failure = this.#fail('WriteFailed', error);
      this.#ended = Promise.resolve();
      if (told) this.#settle('error', { segments: 0, lastSeq: 0 });
      else this.#host.onSettled(this.session, true);
      this.#file?.finish();
      rmSync(join(this.#host.recordings, sessionFolder(this.#place)), { recursive: true, force: true });
      throw failure;
    }
  }

  permit(permit: Permit, action: RecordedAction): Recorded {
    const phase = permit.approval === undefined ? 'first' : 'again';
    return recorded(permit, this.#writeAction(permit.verdict, action, phase, permit.approval));
  }

  deny(denial: Denial, action: RecordedAction): void {
    this.#writeAction(denial.verdict, action, AFTER_HOLD.has(denial.verdict.code) ? 'again' : 'first');
  }

  event(event: NewEvent): number {
    if (event.type !== 'rows') return this.#write(event);
    let seq = this.#seq;
    for (const part of splitRows(event, this.#host.limits.textBytes)) seq = this.#write(part);
    return seq;
  }

  async durable(): Promise<void> {
    this.#throwIfDone();
    this.#wantsSync = true;
    // Once: that the session began.
    this.#ledgerSync ??= this.#host.ledger.durable();
    try {
      await Promise.all([this.#rotationSync, this.#file?.sync(), this.#ledgerSync]);
    } catch (error: unknown) {
      throw this.#fail('SyncFailed', error);
    }
  }

  tokenise(value: Uint8Array | string): string {
    return this.#host.keys.tokenise(value);
  }

  /** Resolves when the session is sealed and its end is in the ledger, or when that failed and was logged: the next start then does it. */
  end(reason: EndEvent['reason'], message?: string): Promise<void> {
    this.#ended ??= this.#finish(reason, message);
    return this.#ended;
  }

  /** Rotates where the open segment is too old. */
  checkAge(): void {
    if (this.#file === null || this.#ended !== null || this.#failed !== null) return;
    if (this.#host.clock() - this.#file.startedMs >= this.#host.limits.segmentAgeMs) this.#rotate();
  }

  /** Writes results that wait for the next verdict. Called every few moments, so that a quiet session's recording is whole. */
  flush(): void {
    if (this.#file === null || this.#failed !== null) return;
    try {
      this.#file.flush();
    } catch (error: unknown) {
      this.#fail('WriteFailed', error);
    }
  }

  #writeAction(verdict: Verdict, action: RecordedAction, phase: ActionPhase, approval?: string): number {
    this.#throwIfDone();
    if (this.#host.isFull()) throw this.#fail('SpoolFull', new RecordingError('SpoolFull', SPOOL_FULL));
    const version = this.#host.snapshot?.() ?? this.#snapshot;
    return this.#appendMembers(this.#actions.of(verdict, action, phase, version, approval), false);
  }

  #write(event: NewEvent): number {
    this.#throwIfDone();
    return this.#append(limitEvent(event, this.#host.limits.textBytes));
  }

  #append(event: NewEvent): number {
    const later = MAY_WAIT.has(event.type);
    if (event.channel === undefined) return this.#appendMembers(`0,${eventMembers(event)}`, later);
    const { channel, ...rest } = event;
    return this.#appendMembers(`${channel},${eventMembers(rest)}`, later);
  }

  /** `members` begins with the channel's number; only the event's closing brace is left out. */
  #appendMembers(members: string, later: boolean): number {
    const seq = this.#seq + 1;
    const open = `${this.#prefix}${seq},"time":"${this.#time.of(this.#host.clock())}","channel":${members}`;
    if (open.length >= this.#host.limits.eventBytes) {
      const message = `an event of ${open.length + 1} characters can't be recorded`;
      throw this.#fail('EventTooLarge', new RecordingError('EventTooLarge', message));
    }
    try {
      this.#file ??= this.#openSegment();
      this.#file.append(open, later);
    } catch (error: unknown) {
      throw this.#fail('WriteFailed', error);
    }
    this.#seq = seq;
    if (this.#file.bytes >= this.#host.limits.segmentBytes) this.#rotate();
    return seq;
  }

  #openSegment(): SegmentFile {
    const file = new SegmentFile({
      recordings: this.#host.recordings,
      place: this.#place,
      segment: this.#segment + 1,
      firstSeq: this.#seq + 1,
      previous: this.#head,
      recorder: this.#host.ledger.recorder,
      keyId: this.#host.keys.keyId,
      certificates: this.#host.certificates(),
      nowMs: this.#host.clock(),
    });
    this.#segment += 1;
    return file;
  }

  #rotate(): void {
    const file = this.#file;
    if (file === null) return;
    this.flush();
    this.#file = null;
    if (this.#wantsSync) {
      const synced = Promise.all([this.#rotationSync, file.sync()]);
      synced.catch(() => {});
      this.#rotationSync = synced;
    }
    const finished = file.finish();
    this.#head = file.head;
    this.#seq = file.seq;
    if (finished === null) return;
    this.#sealing = this.#sealing.then(() => this.#seal(finished));
  }

  async #seal(finished: FinishedSegment): Promise<void> {
    // The next segment's seal names the hash of this one: none can be sealed after one that failed.
    if (this.#sealFailed) return;
    try {
      const how = { recovered: false, sync: this.#wantsSync };
      this.#lastFile = await this.#host.whenRoom(() => sealSegment(this.#host, finished, this.#lastFile, how));
    } catch (error: unknown) {
      this.#sealFailed = true;
      this.#fail('SealFailed', error);
    }
  }

  async #finish(reason: EndEvent['reason'], message: string | undefined): Promise<void> {
    try {
      if (this.#failed !== null && this.#file !== null) {
        this.#file.cutTorn();
        this.#seq = this.#file.seq;
      }
      this.#append(limitEvent({ type: 'end', reason, ...(message === undefined ? {} : { message }) }, this.#host.limits.textBytes));
    } catch (error: unknown) {
      this.#fail('WriteFailed', error);
      this.#file?.finish();
      await this.#sealing;
      this.#host.onSettled(this.session, false);
      return;
    }
    this.#rotate();
    await this.#sealing;
    if (this.#sealFailed) this.#host.onSettled(this.session, false);
    else this.#settle(reason, { segments: this.#segment, lastSeq: this.#seq });
  }

  #settle(reason: EndEvent['reason'], to: { readonly segments: number; readonly lastSeq: number }): void {
    try {
      this.#host.ledger.append({ type: 'sessionEnd', session: this.session, reason, ...to });
      this.#host.onSettled(this.session, true);
    } catch (error: unknown) {
      this.#fail('WriteFailed', error);
      this.#host.onSettled(this.session, false);
    }
  }

  #throwIfDone(): void {
    if (this.#failed !== null) throw this.#failed;
    if (this.#ended !== null) throw new RecordingError('SessionEnded', 'the session has ended');
  }

  /** The first failure is the one that the session ends with; each is logged. */
  #fail(code: RecordingErrorCode, error: unknown): RecordingError {
    const failure =
      error instanceof RecordingError ? error : new RecordingError(code, `the session can't be recorded: ${causeOf(error)}`, error);
    this.#host.log.error({ session: this.session, code: failure.code }, failure.message);
    this.#failed ??= failure;
    return failure;
  }
}
