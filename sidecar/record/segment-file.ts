import { hash } from 'node:crypto';
import { close, closeSync, fdatasync, fsyncSync, ftruncateSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { withLastMember } from '#crds/record/bytes.ts';
import { FORMAT_VERSION, type SegmentHeader, type SessionPlace, segmentName, sessionFolder } from '#crds/record/format.ts';
import { writeAll } from './ledger.ts';

const syncData = promisify(fdatasync);

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

/**
 * The open segment of a session: plain lines, each on disk (`write`) when `append` returns. The header is written with the first event,
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
    this.#fd = openSync(this.#files.openFile, 'ax', 0o600);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** `body` is the event's JSON without its hash. */
  append(body: string): void {
    const head = hash('sha256', this.#head + body.slice(0, -1));
    const bytes = Buffer.from(`${this.#header ?? ''}${withLastMember(body, 'hash', head)}\n`);
    writeAll(this.#fd, bytes);
    this.#header = null;
    this.#head = head;
    this.#bytes += bytes.length;
    this.#events += 1;
    this.#seq += 1;
  }

  /** Cuts what a failed write left. */
  cutTorn(): void {
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
    if (!this.#foldersSynced) syncFolders(dirname(this.#files.openFile), this.#start.recordings);
    this.#foldersSynced = true;
    await syncData(this.#fd);
  }

  /** Closes the file once no fsync uses it. Null where it holds no event. */
  finish(): FinishedSegment | null {
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
    certificates: [],
    encryption: null,
  };
}

/** A new file is only there after a power cut if its folder, and what is new above it, was synced too. */
function syncFolders(folder: string, top: string): void {
  for (let one = folder; one.length >= top.length; one = dirname(one)) {
    const fd = openSync(one, 'r');
    try {
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
  }
}
