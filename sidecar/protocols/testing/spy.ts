import type { NewEvent } from '#crds/record/event.ts';
import type { Denial, Permit, Recorded } from '../../permit.ts';
import type { RecordingStore, SessionRecorder } from '../../pipeline.ts';

/** What the recorder was told, in order. */
export interface Seen {
  readonly session: string;
  /** `start`, `end`, `permit`, `deny`, or the type of an event. */
  readonly what: string;
  readonly detail: object;
}

export interface RecordingFaults {
  open: boolean;
  permit: boolean;
}

/** The real store, watched; it can be made to fail as a full disk would. */
export class SpyRecordings implements RecordingStore {
  readonly seen: Seen[] = [];
  readonly faults: RecordingFaults = { open: false, permit: false };
  /** Called when a permit has been recorded, before the driver has the proof of it. */
  onPermit: (permit: Permit) => void = () => {};
  readonly #store: RecordingStore;

  constructor(store: RecordingStore) {
    this.#store = store;
  }

  async open(start: Parameters<RecordingStore['open']>[0], session: string): Promise<SessionRecorder> {
    if (this.faults.open) throw new Error('ENOSPC');
    const recorder = await this.#store.open(start, session);
    this.seen.push({ session, what: 'start', detail: start });
    return this.#watch(recorder);
  }

  #watch(recorder: SessionRecorder): SessionRecorder {
    const note = (what: string, detail: object): void => void this.seen.push({ session: recorder.session, what, detail });
    return {
      session: recorder.session,
      permit: (permit, action): Recorded => {
        if (this.faults.permit) throw new Error('ENOSPC');
        const recorded = recorder.permit(permit, action);
        note('permit', { ...permit, action });
        this.onPermit(permit);
        return recorded;
      },
      deny: (denial: Denial, action) => {
        recorder.deny(denial, action);
        note('deny', { ...denial.verdict, action });
      },
      event: (event: NewEvent) => {
        const seq = recorder.event(event);
        note(event.type, event);
        return seq;
      },
      durable: () => recorder.durable(),
      end: async (reason, message) => {
        note('end', { reason, message });
        await recorder.end(reason, message);
      },
      tokenise: (value) => recorder.tokenise(value),
    };
  }
}
