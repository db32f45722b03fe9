import { hash } from 'node:crypto';
import { close, closeSync, ftruncateSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FORMAT_VERSION, type SegmentHeader, type SessionPlace, segmentName, sessionFolder } from '#crds/record/format.ts';
import { syncData, syncNow } from '../system/fsync.ts';
import { MappedStretch } from '../system/mapped.ts';
import { Hasher } from '../system/sha256.ts';
import { writeText } from './ledger.ts';

/** What of a segment the seal must say, and where its open file lies. Taken from memory, not from the file: the file may have been changed. */
export interface FinishedSegment {
  readonly place: SessionPlace;
  readonly segment: number;
  readonly openFile: string;
  readonly sealedFile: string;
  /** Header line and events, with newlines; what is longer in the file was never recorded. */
  readonly bytes: number;
  readonly headerBytes: number;
  readonly events: number;
  readonly lastSeq: number;
  readonly head: string;
}

export interface SegmentStart {
  readonly recordings: string;
  readonly place: SessionPlace;
  readonly segment: number;
  readonly firstSeq: number;
  readonly previous: string | null;
  readonly recorder: string;
  readonly keyId: string;
  /** PEM, leaf first; empty without an authority. */
  readonly certificates: readonly string[];
  /** Unix time in milliseconds. */
  readonly nowMs: number;
}

export function segmentFiles(
  recordings: string,
  place: SessionPlace,
  segment: number,
): { readonly openFile: string; readonly sealedFile: string } {
  const folder = join(recordings, sessionFolder(place));
  return { openFile: join(folder, segmentName(segment, 'open')), sealedFile: join(folder, segmentName(segment, 'sealed')) };
}

/** A segment that comes to this length is one of a session with much to say: room for more is taken ahead. */
const MAPPED_FROM_BYTES = 16 * 1024;
const STRETCH_BYTES = 256 * 1024;

/** Of the hash that stands before an event when it is hashed, and of its own behind it. */
const HASH_CHARS = 64;
const BEFORE_HASH = Buffer.from(',"hash":"');
const AFTER_HASH = Buffer.from('"}\n');

/** An event is put together here, whatever session it is of, and hashed where it lies. */
const lines = new Hasher(64 * 1024);
/** UTF-8 takes three bytes for a character at most. */
const MAX_LINE_CHARS = (lines.capacity - HASH_CHARS) / 3;

/** Events that wait in memory are written when they are this long. */
const WAITING_CHARS = 32 * 1024;

/**
 * The open segment of a session: plain lines, each with the kernel (by `write`, or in memory that is the file's) when `append` returns, but for those
 * that may wait. The header is written with the first event,
 * so that a segment is never without one. Throws what the file system says; then nothing more may be appended.
 */
export class SegmentFile {
  readonly startedMs: number;
  readonly #start: SegmentStart;
  readonly #files: { readonly openFile: string; readonly sealedFile: string };
  readonly #fd: number;
  #header: string | null;
  readonly #headerBytes: number;
  /** In hex. */
  readonly #head: Buffer;
  #bytes = 0;
  #events = 0;
  #seq: number;
  #waiting = '';
  readonly #written: { readonly head: Buffer; events: number; seq: number };
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #foldersSynced = false;
  /** Null before there is one; undefined where there can't be. */
  #stretch: MappedStretch | null | undefined = null;

  constructor(start: SegmentStart) {
    this.#start = start;
    this.startedMs = start.nowMs;
    this.#files = segmentFiles(start.recordings, start.place, start.segment);
    const header = JSON.stringify(headerOf(start));
    this.#header = `${header}\n`;
    this.#headerBytes = Buffer.byteLength(header) + 1;
    this.#head = Buffer.from(hash('sha256', header), 'latin1');
    this.#seq = start.firstSeq - 1;
    this.#written = { head: Buffer.from(this.#head), events: 0, seq: this.#seq };
    this.#fd = openSync(this.#files.openFile, 'ax+', 0o600);
  }

  get bytes(): number {
    return this.#bytes + this.#waiting.length;
  }

  /** Sequence of the last event, written or waiting. */
  get seq(): number {
    return this.#seq;
  }

  /**
   * `open` is the event's JSON without its hash and its closing brace. With `later` it may wait in memory for the next one that may not: what a command
   * returned is worth less than a write of its own, the verdict on it is not. Order and chain are the same either way.
   */
  append(open: string, later = false): void {
    const short = open.length <= MAX_LINE_CHARS;
    const end = short ? this.#chain(open) : 0;
    if (!short) this.#head.write(hash('sha256', this.head + open), 'latin1');
    this.#events += 1;
    this.#seq += 1;
    // In memory nothing has to wait.
    const put = short && this.#waiting === '' && this.#stretch ? this.#stretch.put(this.#bytes, lines.bytes, HASH_CHARS, end) : null;
    if (put !== null) return this.#isWritten(put);
    // As `withLastMember` would put it.
    this.#waiting += `${open},"hash":"${this.head}"}\n`;
    if (!later || this.#waiting.length >= WAITING_CHARS) this.flush();
  }

  /** Puts the line behind the hash of the one before, and its own hash behind it. Where it ends. */
  #chain(open: string): number {
    const { bytes, hex } = lines;
    bytes.set(this.#head);
    const end = HASH_CHARS + bytes.write(open, HASH_CHARS, 'utf8');
    lines.digest(end);
    this.#head.set(hex);
    bytes.set(BEFORE_HASH, end);
    bytes.set(hex, end + BEFORE_HASH.length);
    bytes.set(AFTER_HASH, end + BEFORE_HASH.length + HASH_CHARS);
    return end + BEFORE_HASH.length + HASH_CHARS + AFTER_HASH.length;
  }

  /** Writes what waits. Throws what the file system says; `cutTorn` then goes back to what was written. */
  flush(): void {
    if (this.#waiting === '') return;
    const put = this.#put(this.#header === null ? this.#waiting : this.#header + this.#waiting);
    this.#header = null;
    this.#waiting = '';
    this.#isWritten(put);
  }

  #isWritten(bytes: number): void {
    this.#bytes += bytes;
    const written = this.#written;
    written.head.set(this.#head);
    written.events = this.#events;
    written.seq = this.#seq;
  }

  #put(text: string): number {
    if (this.#stretch === undefined || this.#bytes < MAPPED_FROM_BYTES) return writeText(this.#fd, text);
    const taken = this.#stretch?.write(this.#bytes, text) ?? null;
    if (taken !== null) return taken;
    this.#stretch?.end();
    this.#stretch = MappedStretch.of(this.#fd, this.#bytes, Math.max(STRETCH_BYTES, text.length * 3)) ?? undefined;
    const put = this.#stretch?.write(this.#bytes, text) ?? null;
    if (put !== null) return put;
    // What is appended would come behind the room that was taken.
    this.#cut();
    return writeText(this.#fd, text);
  }

  /** Gives back the room that was taken, and cuts what else is behind the last line. No memory of the file may be left when it gets shorter. */
  #cut(): void {
    this.#stretch?.end();
    this.#stretch = undefined;
    ftruncateSync(this.#fd, this.#bytes);
  }

  /** Cuts what a failed write left, and forgets what waited for it. */
  cutTorn(): void {
    this.#waiting = '';
    this.#head.set(this.#written.head);
    this.#events = this.#written.events;
    this.#seq = this.#written.seq;
    this.#cut();
  }

  /** Group commit: all who ask while one fsync runs share the next. Rejects with what the file system says. */
  sync(): Promise<void> {
    if (this.#running === null) return this.#startSync();
    this.#next ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#next = null;
        return this.#running ?? this.#startSync();
      });
    return this.#next;
  }

  #startSync(): Promise<void> {
    this.#running = this.#syncNow().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #syncNow(): Promise<void> {
    this.flush();
    if (!this.#foldersSynced) syncFolders(dirname(this.#files.openFile), this.#start.recordings);
    this.#foldersSynced = true;
    await syncData(this.#fd);
  }

  /** Closes the file once no fsync uses it. Null where it holds no event. */
  finish(): FinishedSegment | null {
    this.#flushOrCut();
    if (this.#stretch) this.#giveBack();
    const closeNow = () => close(this.#fd, () => {});
    if (this.#running === null) closeNow();
    else void Promise.allSettled([this.#running, this.#next]).then(closeNow);
    if (this.#events === 0) return null;
    const { place, segment } = this.#start;
    const { openFile, sealedFile } = this.#files;
    return {
      place,
      segment,
      openFile,
      sealedFile,
      bytes: this.#bytes,
      headerBytes: this.#headerBytes,
      events: this.#events,
      lastSeq: this.#seq,
      head: this.head,
    };
  }

  #giveBack(): void {
    try {
      this.#cut();
    } catch {
      // Who reads the file knows how long it is, and what a line is.
    }
  }

  #flushOrCut(): void {
    try {
      this.flush();
    } catch {
      // What waited is lost with the disk; the segment ends where it was written.
      try {
        this.cutTorn();
      } catch {
        // Then the next start cuts what is torn.
      }
    }
  }

  get head(): string {
    return this.#head.toString('latin1');
  }
}

function headerOf(start: SegmentStart): SegmentHeader {
  const { session, date, cluster, namespace } = start.place;
  return {
    v: FORMAT_VERSION,
    format: 'chaperone-recording',
    session,
    segment: start.segment,
    firstSeq: start.firstSeq,
    previous: start.previous,
    opened: new Date(start.nowMs).toISOString(),
    date,
    cluster,
    namespace,
    recorder: start.recorder,
    algorithms: { hash: 'sha256', signature: 'ed25519', compression: 'zstd' },
    keyId: start.keyId,
    certificates: start.certificates,
    encryption: null,
  };
}

/** A new file is only there after a power cut if its folder, and what is new above it, was synced too. */
function syncFolders(folder: string, top: string): void {
  for (let one = folder; one.length >= top.length; one = dirname(one)) {
    const fd = openSync(one, 'r');
    try {
      syncNow(fd);
    } finally {
      closeSync(fd);
    }
  }
}
