import { hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { linesOf } from '#crds/record/bytes.ts';
import { type LedgerEntry, NO_HASH } from '#crds/record/format.ts';
import { parseLedgerEntry } from '#crds/record/parse.ts';
import { syncData } from '../system/fsync.ts';
import type { LedgerMark } from './upload-state.ts';

export interface ReadEntry {
  readonly entry: LedgerEntry;
  /** Where the ledger stands after it. */
  readonly after: LedgerMark;
}

const SLICE_BYTES = 1024 * 1024;

/** Reads what a ledger has come to say since it was last read. An entry that is handed out is on the disk, so that the bucket never knows more than it. */
export class LedgerTail {
  readonly #file: string;
  #mark: LedgerMark = { bytes: 0, entries: 0, head: NO_HASH };

  constructor(file: string) {
    this.#file = file;
  }

  /** A mebibyte of entries or so. Rejects with what the file system says, and where a line is not an entry. */
  async next(): Promise<readonly ReadEntry[]> {
    const file = await open(this.#file, 'r');
    try {
      const left = (await file.stat()).size - this.#mark.bytes;
      let read: readonly ReadEntry[] = [];
      // Further where one entry is longer than a slice.
      for (
        let length = Math.min(left, SLICE_BYTES), past = 0;
        read.length === 0 && length > past;
        past = length, length = Math.min(left, length * 4)
      ) {
        read = this.#entries(await readRange(file, this.#mark.bytes, length));
      }
      if (read.length > 0) await syncData(file.fd);
      return read;
    } finally {
      await file.close();
    }
  }

  /** Bytes between two marks. */
  async bytes(from: LedgerMark, to: LedgerMark): Promise<Buffer> {
    const file = await open(this.#file, 'r');
    try {
      return await readRange(file, from.bytes, to.bytes - from.bytes);
    } finally {
      await file.close();
    }
  }

  #entries(bytes: Buffer): readonly ReadEntry[] {
    const read: ReadEntry[] = [];
    for (const line of linesOf(bytes)) {
      if (!line.whole) break;
      const entry = parseLedgerEntry(line.bytes)?.value;
      if (entry === undefined) throw new Error(`${this.#file} has a line that is not an entry, after entry ${this.#mark.entries}`);
      this.#mark = { bytes: this.#mark.bytes + line.bytes.length + 1, entries: entry.entry, head: hash('sha256', line.bytes) };
      read.push({ entry, after: this.#mark });
    }
    return read;
  }
}

async function readRange(file: FileHandle, from: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let at = 0;
  while (at < length) {
    const { bytesRead } = await file.read(bytes, at, length - at, from + at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return bytes.subarray(0, at);
}
