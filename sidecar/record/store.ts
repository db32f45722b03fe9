import type { LedgerHead } from '#crds/record/format.ts';
import type { Log, RecordingStore } from '../pipeline.ts';
import { RecordingError } from './error.ts';

export interface RecordingLimits {
  /** A segment rotates when its events are this long. Default 8 MiB. */
  readonly segmentBytes: number;
  /** A segment rotates when it is this old. Default 15 minutes. */
  readonly segmentAgeMs: number;
  /** Text of an action, a parameter, a cell or an error is cut at this many bytes. Default 64 KiB. */
  readonly textBytes: number;
  /** An event whose line is longer is an error. Default 1 MiB. */
  readonly eventBytes: number;
}

export interface RecordingOptions {
  /** The state folder; made where it is missing. Holds `keys/`, `recordings/` and the lock. */
  readonly dir: string;
  /** Unix time in milliseconds. */
  readonly clock: () => number;
  readonly log: Log;
  readonly limits?: Partial<RecordingLimits>;
}

export interface Recordings extends RecordingStore {
  /** UUID of this recorder: one process, one ledger. */
  readonly recorder: string;
  /** Public key, PEM: what `sessions verify --public-key` takes. */
  readonly publicKeyFile: string;
  /** Of this recorder's ledger now: what `sessions verify --expect-head` takes. */
  head(): LedgerHead;
  /** Ends open sessions with `drain`, waits for all seals, ends the ledger and lets go of the lock. Never rejects. */
  close(): Promise<void>;
}

/** Takes the lock, makes or reads the keys, and seals what the last recorder left open. Rejects with RecordingError. */
export async function openRecordings(_options: RecordingOptions): Promise<Recordings> {
  throw new RecordingError('Closed', 'recordings are not supported yet');
}
