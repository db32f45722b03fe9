import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type LedgerHead, ledgerChunkFile, ledgerFile } from '#crds/record/format.ts';
import { LedgerTail, type ReadEntry } from './ledger-tail.ts';
import type { Spool } from './spool.ts';
import { type LedgerState, NOTHING_STORED, readState, writeState } from './upload-state.ts';

/** A piece of a ledger that is to be stored. */
export interface LedgerChunk {
  readonly path: string;
  readonly bytes: Buffer;
  readonly sha256: Buffer;
}

const MAX_CHUNK_BYTES = 1024 * 1024;

/** One ledger on its way to the bucket, in pieces. A piece never names a segment that is not there before it. */
export class LedgerUpload {
  readonly recorder: string;
  /** Not this process's: it does not grow. */
  readonly isOld: boolean;
  /** A piece was tried before, perhaps with success. */
  mayBeStored: boolean;
  readonly #tail: LedgerTail;
  readonly #stateFile: string;
  #state: LedgerState = NOTHING_STORED;
  #wasRead = false;
  #unstored: ReadEntry[] = [];
  #unstoredSinceMs: number | null = null;

  /** Throws where its state can't be read. */
  constructor(dir: string, recorder: string, isOld: boolean) {
    this.recorder = recorder;
    this.isOld = isOld;
    this.#tail = new LedgerTail(join(dir, 'recordings', ledgerFile(recorder)));
    this.#stateFile = join(dir, 'upload', `${recorder}.json`);
    this.#state = readState(this.#stateFile);
    this.mayBeStored = this.#state.trying !== null;
  }

  /** Reads on, and tells the spool. Returns segments that are named and gone. */
  async poll(spool: Spool, nowMs: number): Promise<readonly string[]> {
    if (this.isOld && this.#wasRead) return [];
    this.#wasRead = true;
    const missing: string[] = [];
    for (let read = await this.#tail.next(); read.length > 0; read = await this.#tail.next()) {
      for (const one of read) {
        const told = spool.read(this.recorder, one.entry, nowMs, this.isOld);
        if (told.missing && one.entry.type === 'segment') missing.push(`${one.entry.session}/${one.entry.segment}`);
        if (one.after.bytes > this.#state.stored.bytes) this.#unstored.push(one);
      }
    }
    if (this.#unstored.length > 0) this.#unstoredSinceMs ??= nowMs;
    return missing;
  }

  /** Everything that was read is in the bucket, and countersigned. */
  get isDone(): boolean {
    return this.#unstored.length === 0 && this.unsigned === null;
  }

  get waitingBytes(): number {
    return (this.#unstored.at(-1)?.after.bytes ?? this.#state.stored.bytes) - this.#state.stored.bytes;
  }

  /** The head that the bucket has and the operator has not countersigned. */
  get unsigned(): LedgerHead | null {
    const { stored, signed } = this.#state;
    return stored.entries > signed ? { recorder: this.recorder, entries: stored.entries, head: stored.head } : null;
  }

  /**
   * The next piece, up to the first segment that still waits; null where there is none, or where more is to come within `everyMs`.
   * The same piece again until `stored` is called.
   */
  async chunk(spool: Spool, nowMs: number, everyMs: number): Promise<LedgerChunk | null> {
    if (this.#state.trying === null) {
      const end = this.#end(spool);
      if (end === null) return null;
      const waitedMs = nowMs - (this.#unstoredSinceMs ?? nowMs);
      const isFirst = this.#state.chunks === 0;
      if (!this.isOld && !isFirst && waitedMs < everyMs && end.after.bytes - this.#state.stored.bytes < MAX_CHUNK_BYTES / 4) return null;
      this.#state = { ...this.#state, trying: end.after };
      await writeState(this.#stateFile, this.#state);
    }
    const { stored, trying, chunks } = this.#state;
    const bytes = await this.#tail.bytes(stored, trying ?? stored);
    return { path: ledgerChunkFile(this.recorder, chunks + 1), bytes, sha256: createHash('sha256').update(bytes).digest() };
  }

  /** The bucket has the piece that `chunk` gave last. */
  async stored(nowMs: number): Promise<void> {
    const { trying, chunks } = this.#state;
    if (trying === null) return;
    this.#state = { ...this.#state, chunks: chunks + 1, stored: trying, trying: null };
    this.#unstored = this.#unstored.filter((one) => one.after.bytes > trying.bytes);
    this.#unstoredSinceMs = this.#unstored.length > 0 ? nowMs : null;
    this.mayBeStored = false;
    await writeState(this.#stateFile, this.#state);
  }

  async signed(entries: number): Promise<void> {
    this.#state = { ...this.#state, signed: Math.max(entries, this.#state.signed) };
    await writeState(this.#stateFile, this.#state);
  }

  #end(spool: Spool): ReadEntry | null {
    let end: ReadEntry | null = null;
    for (const one of this.#unstored) {
      const { entry, after } = one;
      if (entry.type === 'segment' && spool.isWaiting(entry.session, entry.segment)) break;
      if (end !== null && after.bytes - this.#state.stored.bytes > MAX_CHUNK_BYTES) break;
      end = one;
    }
    return end;
  }
}
