import type { SnapshotRecording } from '#crds/policy/snapshot.ts';
import type { Analysis } from '../../mask/postgres/analyse.ts';
import { CopyInCheck } from '../../mask/postgres/copy-in.ts';
import type { RowFilter } from '../../mask/postgres/rows.ts';
import type { Denial, Recorded } from '../../permit.ts';
import type { SessionRecorder } from '../../pipeline.ts';
import { decodeDataRow } from '../../wire/postgres/messages/data_row.ts';
import type { Column } from '../../wire/postgres/messages/row_description.ts';

/** Rows per event with `results: All`. */
const ROWS_PER_EVENT = 100;
/** Characters kept of one value. */
const VALUE_CHARS = 1024;

/** What a run needs of its session. */
export interface RunHost {
  readonly recorder: SessionRecorder;
  readonly recording: SnapshotRecording;
  /** Does the work once the client has its bytes: how a command ended is not what it waits for. */
  readonly afterwards: (work: () => void) => void;
}

/** One allowed action on its way: a simple Query, or a portal that is executed. Counts what comes back and writes how it ended. */
export class Run {
  readonly recorded: Recorded;
  readonly analysis: Analysis;
  readonly #recorder: SessionRecorder;
  readonly #afterwards: RunHost['afterwards'];
  readonly #startedMs: number;
  readonly #recording: SnapshotRecording;
  rows = 0;
  bytesOut = 0;
  bytesIn = 0;
  /** Values that detectors masked in results that are complete, and in COPY data. */
  #maskedBefore = 0;
  copyMasked = 0;
  tags: string[] = [];
  sqlstate: string | undefined;
  error: string | undefined;
  /** Row filter of the result set that is under way. */
  filter: RowFilter | null = null;
  copy: 'none' | 'in' | 'out' = 'none';
  /** Looks at what COPY FROM STDIN writes; null where nothing is to be looked for. */
  readonly copyCheck: CopyInCheck | null;
  /** We made the server give it up: this is told in place of the server's error. */
  denied: Denial | null = null;
  ended = false;
  /** How it ended, where that is held back; `waits` until it has. */
  #heldBack: 'no' | 'waits' | 'ok' | 'error' | 'aborted' = 'no';
  #answered: () => void = () => {};
  #answer: Promise<void> = Promise.resolve();
  /** The columns of the result that comes are known. */
  described = false;
  #stopped = false;
  #columns: readonly string[] = [];
  #formats: readonly number[] = [];
  #kept: (string | null)[][] = [];
  #keptRows = 0;
  readonly #waiters: (() => void)[] = [];

  constructor(recorded: Recorded, analysis: Analysis, host: RunHost, nowMs: number) {
    this.recorded = recorded;
    this.analysis = analysis;
    this.copyCheck = analysis.copyIn === null ? null : new CopyInCheck(analysis.copyIn);
    this.#recorder = host.recorder;
    this.#recording = host.recording;
    this.#afterwards = host.afterwards;
    this.#startedMs = nowMs;
  }

  get maskedValues(): number {
    return this.#maskedBefore + this.copyMasked + (this.filter?.maskedValues ?? 0);
  }

  get keepsRows(): boolean {
    return this.#recording.results !== 'None';
  }

  describe(fields: readonly Column[], formats: readonly number[]): void {
    this.#flushRows();
    this.#columns = fields.map((field) => field.name);
    this.#formats = formats;
  }

  /** A row as it goes to the client, after masking. */
  keepRow(buffer: Buffer, start: number, end: number): void {
    if (this.#recording.results === 'Sample' && this.#keptRows >= this.#recording.sampleRows) return;
    const row = decodeDataRow(buffer, start, end).map((value, index) => {
      const format = this.#formats.length === 1 ? this.#formats[0] : this.#formats[index];
      return value === null ? null : valueText(value, format);
    });
    this.#kept.push(row);
    this.#keptRows++;
    if (this.#kept.length >= ROWS_PER_EVENT) this.#flushRows();
  }

  /** Resolves when the run has ended, or (for COPY FROM STDIN) when the server waits for data. */
  progress(): Promise<void> {
    if (this.ended || this.#stopped || this.copy === 'in') return Promise.resolve();
    return new Promise((resolve) => this.#waiters.push(resolve));
  }

  /** The next statement of the same text begins. */
  nextResult(): void {
    this.#maskedBefore += this.filter?.maskedValues ?? 0;
    this.filter = null;
    this.described = false;
    this.copy = 'none';
  }

  /** The server refused it: who waits to send COPY data need not wait longer. */
  failed(): void {
    this.copy = 'none';
    this.#stopped = true;
    this.#wake();
  }

  /** How it ends counts, and is recorded, only with `release`. */
  holdBack(): void {
    this.#heldBack = 'waits';
    this.#answer = new Promise((resolve) => {
      this.#answered = resolve;
    });
  }

  get isHeldBack(): boolean {
    return this.#heldBack !== 'no';
  }

  /** How it ended, as the server says. */
  async answered(): Promise<'ok' | 'error' | 'aborted'> {
    await this.#answer;
    return this.#heldBack === 'ok' || this.#heldBack === 'error' ? this.#heldBack : 'aborted';
  }

  release(status: 'ok' | 'error' | 'aborted', nowMs: number): void {
    this.#heldBack = 'no';
    this.#answered();
    this.end(status, nowMs);
  }

  copyStarted(direction: 'in' | 'out'): void {
    this.copy = direction;
    this.#wake();
  }

  end(status: 'ok' | 'error' | 'aborted', nowMs: number): void {
    if (this.ended) return;
    if (this.#heldBack !== 'no') {
      if (this.#heldBack === 'waits') this.#heldBack = status;
      this.#stopped = true;
      this.copy = 'none';
      this.#answered();
      this.#wake();
      return;
    }
    this.ended = true;
    this.copy = 'none';
    this.#afterwards(() => this.#writeResult(status, nowMs));
    this.#wake();
  }

  #writeResult(status: 'ok' | 'error' | 'aborted', nowMs: number): void {
    this.#flushRows();
    const { rows, bytesOut, bytesIn, tags, sqlstate, error, maskedValues } = this;
    const parent = this.recorded.seq;
    const durationMs = Math.max(0, nowMs - this.#startedMs);
    const [tag] = tags;
    // Nearly all end so.
    if (bytesIn === 0 && maskedValues === 0 && tags.length === 1 && tag !== undefined && sqlstate === undefined && error === undefined) {
      this.#recorder.event({ type: 'result', parent, status, rows, bytesOut, tag, durationMs });
      return;
    }
    this.#recorder.event({
      type: 'result',
      parent,
      status,
      rows,
      bytesOut,
      ...(bytesIn > 0 && { bytesIn }),
      ...(tags.length > 0 && { tag: tags.join('; ') }),
      ...(sqlstate !== undefined && { sqlstate }),
      ...(error !== undefined && { error }),
      ...(maskedValues > 0 && { maskedValues }),
      durationMs,
    });
  }

  #flushRows(): void {
    if (this.#kept.length === 0) return;
    this.#recorder.event({ type: 'rows', parent: this.recorded.seq, columns: this.#columns, rows: this.#kept });
    this.#kept = [];
  }

  #wake(): void {
    if (this.#waiters.length > 0) for (const wake of this.#waiters.splice(0)) wake();
  }
}

function valueText(value: Buffer, format: number | undefined): string {
  if (format === 1) return `\\x${value.toString('hex', 0, VALUE_CHARS / 2)}`;
  return value.toString('utf8', 0, VALUE_CHARS);
}
