import type { LimitName, ResourceLimitName, ResourceLimits } from '#crds/policy/limits.ts';
import { denialOf } from '../../decide/decide.ts';
import type { Denial } from '../../permit.ts';
import type { Connection, DriverContext, SessionRecorder } from '../../pipeline.ts';
import { WireError } from '../../wire/postgres/errors.ts';
import { PerMinute } from '../limits.ts';

export interface LimitParts {
  readonly context: DriverContext;
  readonly connection: Connection;
  readonly recorder: SessionRecorder;
}

/** What one session has used of its resource's limits, and what is done when one is exceeded: it is counted, and recorded. */
export class LimitUse {
  readonly #parts: LimitParts;
  readonly #limits: ResourceLimits;
  readonly #cancels = new PerMinute();
  /** Channels of LISTEN. */
  readonly listening = new Set<string>();
  /** Notices of the command under way. */
  notices = 0;
  /** Messages since the last Sync. */
  sinceSync = 0;

  constructor(parts: LimitParts, limits: ResourceLimits) {
    this.#parts = parts;
    this.#limits = limits;
  }

  count(limit: LimitName): void {
    this.#parts.context.onLimit?.(limit, this.#parts.connection.resource);
  }

  /** With a note in the recording, for what ends in no denial. Throws RecordingError. */
  exceeded(limit: LimitName, message: string): void {
    this.count(limit);
    this.#parts.recorder.event({ type: 'note', code: 'LimitExceeded', message: `${limit}: ${message}` });
  }

  /** The denial for it, which is recorded as any other. */
  over(limit: ResourceLimitName, what: string): Denial {
    this.count(limit);
    return denialOf(limit, 'LimitExceeded', `more than ${this.#limits[limit]} ${what}`);
  }

  /** Counts a notice. True where it is one too many: noted once a command. */
  tooManyNotices(): boolean {
    if (++this.notices <= this.#limits.maxNotices) return false;
    if (this.notices === this.#limits.maxNotices + 1) this.exceeded('maxNotices', 'further notices of this command are dropped');
    return true;
  }

  /** Counts a message. */
  tooManyMessages(): Denial | null {
    if (++this.sinceSync <= this.#limits.maxMessagesBeforeSync) return null;
    return this.over('maxMessagesBeforeSync', 'messages before a Sync');
  }

  /** Counted, and not noted: what is asked for again and again must not fill a recording. */
  mayCancel(nowMs: number): boolean {
    if (this.#cancels.take(this.#limits.maxCancelsPerMinute, nowMs)) return true;
    this.count('maxCancelsPerMinute');
    return false;
  }

  /** Where the error that ends a session is a limit. Throws RecordingError. */
  noteError(error: unknown): void {
    if (!(error instanceof WireError)) return;
    if (error.code === 'too_long') this.exceeded('maxMessageBytes', error.message);
    if (error.code === 'too_much') this.exceeded('maxBufferedTotalBytes', error.message);
  }
}
