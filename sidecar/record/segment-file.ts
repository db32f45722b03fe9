import { hash } from 'node:crypto';
import { close, closeSync, ftruncateSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { FORMAT_VERSION, type SegmentHeader, type SessionPlace, segmentName, sessionFolder } from '#crds/record/format.ts';
import { syncData, syncNow } from '../system/fsync.ts';
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

/** Events that wait in memory are written when they are this long. */
const WAITING_CHARS = 32 * 1024;

/**
 * The open segment of a session: plain lines, each on disk (`write`) when `append` returns, but for those that may wait. The header is written with the first event,
 * so that a segment is never without one. Throws what the file system says; then nothing more may be appended.
 */
export class SegmentFile {
  readonly startedMs: number;
  readonly #start: SegmentStart;
  readonly #files: { readonly openFile: string; readonly sealedFile: string };
  readonly #fd: number;
  #header: string | null;
  readonly #headerBytes: number;
  #head: string;
  #bytes = 0;
  #events = 0;
  #seq: number;
  #waiting = '';
  #written: { readonly head: string; readonly events: number; readonly seq: number };
  #running: Promise<void> | null = null;
  #next: Promise<void> | null = null;
  #foldersSynced = false;

  constructor(start: SegmentStart) {
    this.#start = start;
    this.startedMs = start.nowMs;
    this.#files = segmentFiles(start.recordings, start.place, start.segment);
    const header = JSON.stringify(headerOf(start));
    this.#header = `${header}\n`;
    this.#headerBytes = Buffer.byteLength(header) + 1;
    this.#head = hash('sha256', header);
    this.#seq = start.firstSeq - 1;
    this.#written = { head: this.#head, events: 0, seq: this.#seq };
    this.#fd = openSync(this.#files.openFile, 'ax', 0o600);
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
    const chained = this.#head + open;
    const head = hash('sha256', chained);
    // As `withLastMember` would put it. Hashing has made one piece of the text: a part of that is copied at once, `open` would be put together again.
    this.#waiting += `${chained.slice(this.#head.length)},"hash":"${head}"}\n`;
    this.#head = head;
    this.#events += 1;
    this.#seq += 1;
    if (!later || this.#waiting.length >= WAITING_CHARS) this.flush();
  }

  /** Writes what waits. Throws what the file system says; `cutTorn` then goes back to what was written. */
  flush(): void {
    if (this.#waiting === '') return;
    this.#bytes += writeText(this.#fd, this.#header === null ? this.#waiting : this.#header + this.#waiting);
    this.#header = null;
    this.#waiting = '';
    this.#written = { head: this.#head, events: this.#events, seq: this.#seq };
  }

  /** Cuts what a failed write left, and forgets what waited for it. */
  cutTorn(): void {
    this.#waiting = '';
    this.#head = this.#written.head;
    this.#events = this.#written.events;
    this.#seq = this.#written.seq;
    ftruncateSync(this.#fd, this.#bytes);
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
      head: this.#head,
    };
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
    return this.#head;
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
