import { hash } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { withLastMember } from '#crds/record/bytes.ts';
import { FORMAT_VERSION, LEDGER_DOMAIN, type LedgerHead, ledgerFile, type NewLedgerEntry, NO_HASH } from '#crds/record/format.ts';
import { syncData } from '../system/fsync.ts';
import { causeOf, RecordingError } from './error.ts';
import type { RecordingKeys } from './keys.ts';

/** Writes one recorder's ledger. An entry is on disk (`write`) when `append` returns. */
export class Ledger {
  readonly recorder: string;
  readonly #fd: number;
  readonly #keys: RecordingKeys;
  readonly #clock: () => number;
  #entries = 0;
  #head = NO_HASH;
  #bytes = 0;
  #open = true;

  /** `recordings` is the folder. Throws RecordingError. */
  constructor(recordings: string, recorder: string, keys: RecordingKeys, clock: () => number) {
    const file = join(recordings, ledgerFile(recorder));
    this.recorder = recorder;
    this.#keys = keys;
    this.#clock = clock;
    try {
      mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
      this.#fd = openSync(file, 'ax', 0o600);
    } catch (error: unknown) {
      throw new RecordingError('WriteFailed', `the ledger can't be made: ${causeOf(error)}`, error);
    }
  }

  head(): LedgerHead {
    return { recorder: this.recorder, entries: this.#entries, head: this.#head };
  }

  /** Throws RecordingError; then nothing was added. */
  append(entry: NewLedgerEntry): void {
    if (!this.#open) throw new RecordingError('Closed', 'the ledger is closed');
    const stamp = {
      v: FORMAT_VERSION,
      recorder: this.recorder,
      entry: this.#entries + 1,
      previous: this.#head,
      time: new Date(this.#clock()).toISOString(),
    };
    const body = JSON.stringify({ ...stamp, ...entry, keyId: this.#keys.keyId });
    const line = withLastMember(body, 'signature', this.#keys.sign(LEDGER_DOMAIN + body.slice(0, -1)));
    const bytes = Buffer.from(`${line}\n`);
    try {
      writeAll(this.#fd, bytes);
    } catch (error: unknown) {
      this.#cut();
      throw new RecordingError('WriteFailed', `the ledger can't be written: ${causeOf(error)}`, error);
    }
    this.#entries += 1;
    this.#head = hash('sha256', line);
    this.#bytes += bytes.length;
  }

  async durable(): Promise<void> {
    if (this.#open) await syncData(this.#fd);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeSync(this.#fd);
  }

  /** Takes back a half-written line. Where even that fails the line stays torn, and nothing may follow it. */
  #cut(): void {
    try {
      ftruncateSync(this.#fd, this.#bytes);
    } catch {
      this.close();
    }
  }
}

/** Writes the text in UTF-8, without a copy of ours; returns its bytes. Throws what the file system says. */
export function writeText(fd: number, text: string): number {
  const size = Buffer.byteLength(text);
  const written = writeSync(fd, text);
  if (written < size) writeAll(fd, Buffer.from(text).subarray(written));
  return size;
}

/** `writeSync` may write less than it was given. Throws what the file system says. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}
