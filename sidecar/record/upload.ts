import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { linesOf } from '#crds/record/bytes.ts';
import { type LedgerHead, ledgerFile, storedFile } from '#crds/record/format.ts';
import { parseLedgerEntry } from '#crds/record/parse.ts';
import type { Log } from '../pipeline.ts';
import { causeOf } from './error.ts';
import { type PutResult, Putter } from './put.ts';
import { Spool, type WaitingSegment } from './spool.ts';
import { LedgerUpload } from './upload-ledger.ts';

/** RecordingObject and RecordingSlot of the protocol have these shapes. */
export interface SlotRequest {
  readonly path: string;
  readonly sha256: Uint8Array;
  readonly sizeBytes: bigint;
  readonly recorder: string;
  readonly mayBeStored: boolean;
}

export interface SlotReply {
  readonly path: string;
  readonly url: string;
  readonly headers: { readonly [name: string]: string };
  readonly refusal: string;
  readonly stored: boolean;
}

export interface UploaderOptions {
  /** The state folder, as `openRecordings` has it; that must have resolved before. */
  readonly dir: string;
  /** UUID of this process's recorder. */
  readonly recorder: string;
  readonly slots: (request: { objects: SlotRequest[] }) => Promise<{ readonly slots: readonly SlotReply[]; readonly caBundle?: string }>;
  readonly countersign: (request: { recorder: string; entries: bigint; head: string }) => Promise<unknown>;
  readonly log: Log;
  readonly clock: () => number;
  /** PEM of the authority of the bucket's certificate, until the operator says which it is. */
  readonly ca?: string;
  readonly limits?: Partial<UploadLimits>;
}

export interface UploadLimits {
  /** More than this may not wait: then `isFull`. Default 512 MiB. */
  readonly spoolBytes: number;
  /** PUTs at once. Default 4. */
  readonly parallel: number;
  /** How often the ledgers are looked at. Default 1 s. */
  readonly everyMs: number;
  /** How long entries of the ledger wait for others before they are stored as one piece. Default 10 s. */
  readonly ledgerEveryMs: number;
  /** The longest pause after failures. Default 30 s. */
  readonly maxPauseMs: number;
}

export const DEFAULT_UPLOAD_LIMITS: UploadLimits = {
  spoolBytes: 512 * 1024 * 1024,
  parallel: 4,
  everyMs: 1000,
  ledgerEveryMs: 10_000,
  maxPauseMs: 30_000,
};

export interface UploadStats {
  /** Sealed segments and entries of ledgers that the bucket does not have. */
  readonly spoolBytes: number;
  readonly waitingSegments: number;
  /** Age of the oldest segment that waits; 0 where none does. */
  readonly oldestMs: number;
  readonly storedObjects: number;
  readonly failures: number;
  /** Objects that were refused for good, as far as can be told; tried again every few minutes. */
  readonly stuck: number;
  /** The last head that the operator countersigned. */
  readonly countersigned: LedgerHead | null;
}

export interface Uploader {
  /** For `openRecordings`: no more may be recorded. */
  isFull(): boolean;
  stats(): UploadStats;
  /** After the recordings are closed: stores all that waits, without pauses. True where nothing is left after at most `graceMs`. Then it has ended. */
  drain(graceMs: number): Promise<boolean>;
  /** Ends at once; what waits stays in the folder for the next start. */
  close(): Promise<void>;
}

const SLOTS_AT_ONCE = 16;
const FIRST_PAUSE_MS = 500;
const STUCK_RETRY_MS = 5 * 60_000;
const REFUSAL_RETRY_MS = 5000;
const PUT_TIMEOUT_MS = 110_000;
/** What the operator's call answers where it was started without one. */
const NO_BUCKET = /\bno bucket is configured\b/;
/** Refusals that no waiting mends. */
const FOR_GOOD = /^(PathInvalid|SizeInvalid|HashInvalid|ClusterForeign|RecorderForeign|StoredDifferently)\b/;
/** One that waiting may mend: the operator may have heard of the policy later than we did, or be started anew and not know what there was before. */
const FOR_LONG = /^NamespaceForeign\b/;
const LONG_ATTEMPTS = 60;

type Stored = 'stored' | 'later' | 'stuck';

/** Begins to bring the recordings of a state folder to the bucket, and goes on until it is told to end. Throws where the folder can't be read. */
export function startUploader(options: UploaderOptions): Uploader {
  return new FolderUploader(options);
}

class FolderUploader implements Uploader {
  readonly #options: UploaderOptions;
  readonly #limits: UploadLimits;
  readonly #spool: Spool;
  /** The oldest first: what a later ledger found must be there before it. */
  readonly #ledgers: readonly LedgerUpload[];
  readonly #putter: Putter;
  readonly #abort = new AbortController();
  readonly #running: Promise<void>;
  readonly #pollTimer: NodeJS.Timeout;
  #polling: Promise<void> | null = null;
  #wake = new AbortController();
  #draining = false;
  #pauseMs = 0;
  #stored = 0;
  #failures = 0;
  #countersigned: LedgerHead | null = null;
  /** False where the operator says that it was given none: then nothing is waited for at the end. */
  #hasBucket = true;
  #refusedHead = '';

  constructor(options: UploaderOptions) {
    this.#options = options;
    this.#limits = { ...DEFAULT_UPLOAD_LIMITS, ...options.limits };
    this.#spool = new Spool(join(options.dir, 'recordings'));
    this.#putter = new Putter(options.ca);
    this.#ledgers = ledgersOf(options.dir).map((recorder) => new LedgerUpload(options.dir, recorder, recorder !== options.recorder));
    // Beside the uploads, which may hang: what waits must be known, or the limit would not hold.
    this.#pollTimer = setInterval(() => void this.#poll().catch(() => {}), this.#limits.everyMs).unref();
    this.#running = this.#run();
  }

  isFull(): boolean {
    return this.#spool.bytes >= this.#limits.spoolBytes;
  }

  stats(): UploadStats {
    const { waiting } = this.#spool;
    const oldest = Math.min(...waiting.map((one) => one.sinceMs));
    return {
      spoolBytes: this.#spool.bytes + this.#ledgers.reduce((sum, ledger) => sum + ledger.waitingBytes, 0),
      waitingSegments: waiting.length,
      oldestMs: waiting.length === 0 ? 0 : Math.max(0, this.#options.clock() - oldest),
      storedObjects: this.#stored,
      failures: this.#failures,
      stuck: waiting.filter((one) => one.stuck).length,
      countersigned: this.#countersigned,
    };
  }

  async drain(graceMs: number): Promise<boolean> {
    this.#draining = true;
    this.#pauseMs = 0;
    this.#wake.abort();
    const grace = setTimeout(graceMs, undefined, { signal: this.#abort.signal }).catch(() => {});
    if (this.#hasBucket) await Promise.race([this.#running, grace]);
    const isDone = this.#isDone();
    if (!isDone)
      this.#options.log.error(
        this.stats(),
        'not all recordings were stored in the bucket before the end; they are still in the state folder',
      );
    await this.close();
    return isDone;
  }

  async close(): Promise<void> {
    this.#abort.abort();
    this.#wake.abort();
    clearInterval(this.#pollTimer);
    await this.#running;
    this.#putter.close();
  }

  async #run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      let moved = false;
      try {
        moved = await this.#round();
        this.#hasBucket = true;
      } catch (error: unknown) {
        this.#failedRound(causeOf(error));
      }
      if (this.#draining && (await this.#isAllDone())) return;
      if (!moved || this.#pauseMs > 0) await this.#pause();
    }
  }

  #failedRound(error: string): void {
    if (!NO_BUCKET.test(error)) return this.#fail({ error }, 'recordings could not be brought to the bucket; it is tried again');
    if (this.#hasBucket)
      this.#options.log.error({ error }, 'recordings stay in the state folder, and end with it: the operator has no bucket');
    this.#hasBucket = false;
    this.#pauseMs = this.#limits.maxPauseMs;
  }

  /** True where something was stored, so that there may be more to do at once. */
  async #round(): Promise<boolean> {
    await this.#poll();
    const nowMs = this.#options.clock();
    const segments = await this.#storeSegments(nowMs);
    const ledgers = await this.#storeLedgers(nowMs);
    return segments || ledgers;
  }

  /** Reads what the ledgers have come to say. One at a time: who comes while one runs waits for that. */
  #poll(): Promise<void> {
    this.#polling ??= this.#pollNow().finally(() => {
      this.#polling = null;
    });
    return this.#polling;
  }

  async #pollNow(): Promise<void> {
    for (const ledger of this.#ledgers) {
      const missing = await ledger.poll(this.#spool, this.#options.clock());
      if (missing.length > 0) this.#options.log.error({ segments: missing }, 'sealed segments are gone from the recordings folder');
    }
  }

  async #storeSegments(nowMs: number): Promise<boolean> {
    const due = this.#spool.waiting.filter((one) => one.retryAtMs <= nowMs).slice(0, SLOTS_AT_ONCE);
    if (due.length === 0) return false;
    const asked = due.map((one) => ({
      path: one.path,
      sha256: Buffer.from(one.sha256, 'hex'),
      sizeBytes: BigInt(one.sizeBytes),
      recorder: one.recorder,
      mayBeStored: one.mayBeStored,
    }));
    const slots = await this.#slots(asked);
    let moved = false;
    const queue = due.entries();
    const work = async () => {
      for (const [index, segment] of queue) {
        const result = await this.#store(slots[index], segment, () => readFile(this.#spool.fileOf(segment)));
        if (result === 'stored') {
          moved = true;
          this.#spool.stored(segment);
        } else this.#putOff(segment, result);
      }
    };
    await Promise.all(Array.from({ length: this.#limits.parallel }, work));
    return moved;
  }

  async #slots(objects: SlotRequest[]): Promise<readonly SlotReply[]> {
    const { slots, caBundle = '' } = await this.#options.slots({ objects });
    this.#putter.trust(caBundle);
    return slots;
  }

  #putOff(segment: WaitingSegment, result: 'later' | 'stuck'): void {
    segment.attempts += 1;
    segment.stuck ||= result === 'stuck';
    const waitMs = segment.stuck ? STUCK_RETRY_MS : Math.min(REFUSAL_RETRY_MS, FIRST_PAUSE_MS * 2 ** segment.attempts);
    segment.retryAtMs = this.#draining ? 0 : this.#options.clock() + waitMs;
  }

  async #storeLedgers(nowMs: number): Promise<boolean> {
    let moved = false;
    for (const ledger of this.#ledgers) {
      const everyMs = this.#draining ? 0 : this.#limits.ledgerEveryMs;
      const chunk = await ledger.chunk(this.#spool, nowMs, everyMs);
      if (chunk !== null) {
        const { path, bytes, sha256 } = chunk;
        const object = { path, sha256, sizeBytes: BigInt(bytes.length), recorder: ledger.recorder, mayBeStored: ledger.mayBeStored };
        const slots = await this.#slots([object]);
        const result = await this.#store(slots[0], ledger, async () => bytes);
        if (result !== 'stored') return moved;
        await ledger.stored(nowMs);
        moved = true;
      }
      await this.#countersign(ledger);
      // A later ledger names the last entry of this one.
      if (ledger.isOld && !ledger.isDone && ledger.waitingBytes > 0) return moved;
    }
    return moved;
  }

  async #countersign(ledger: LedgerUpload): Promise<void> {
    const head = ledger.unsigned;
    if (head === null || head.head === this.#refusedHead) return;
    try {
      await this.#options.countersign({ recorder: head.recorder, entries: BigInt(head.entries), head: head.head });
    } catch (error: unknown) {
      if (!/\b(HeadGoesBack|HeadInvalid|RecorderForeign)\b/.test(causeOf(error))) throw error;
      this.#refusedHead = head.head;
      this.#fail({ ...head, error: causeOf(error) }, 'the operator does not countersign the ledger');
      return;
    }
    this.#countersigned = head;
    await ledger.signed(head.entries);
  }

  async #store(
    slot: SlotReply | undefined,
    object: { mayBeStored: boolean; readonly attempts?: number },
    read: () => Promise<Uint8Array>,
  ): Promise<Stored> {
    if (slot === undefined) throw new Error('the operator answered with too few slots');
    if (slot.stored) return this.#done();
    if (slot.url === '') {
      const isForGood = FOR_GOOD.test(slot.refusal) || (FOR_LONG.test(slot.refusal) && (object.attempts ?? 0) >= LONG_ATTEMPTS);
      this.#fail({ path: slot.path, refusal: slot.refusal }, 'the operator refuses a place for a recording');
      return isForGood ? 'stuck' : 'later';
    }
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(PUT_TIMEOUT_MS)]);
    const result = await this.#putter.put({ url: slot.url, headers: slot.headers, body: await read(), signal });
    return this.#answered(slot.path, result, object);
  }

  #answered(path: string, result: PutResult, object: { mayBeStored: boolean }): Stored {
    if (result.type === 'failed') {
      object.mayBeStored = true;
      this.#fail({ path, why: result.why }, 'the bucket does not answer');
      return 'later';
    }
    const { status, code } = result;
    if (status >= 200 && status < 300) return this.#done();
    if (status === 412) {
      // Asked about it in the next round: the operator sees whether it is the same.
      object.mayBeStored = true;
      return 'later';
    }
    this.#fail({ path, status, code }, 'the bucket refuses a recording');
    if (status >= 500) object.mayBeStored = true;
    // The bytes are not those that the ledger names.
    return status === 400 ? 'stuck' : 'later';
  }

  #done(): 'stored' {
    this.#stored += 1;
    this.#pauseMs = 0;
    return 'stored';
  }

  #fail(fields: object, message: string): void {
    if (this.#abort.signal.aborted) return;
    this.#failures += 1;
    this.#pauseMs = Math.min(this.#limits.maxPauseMs, Math.max(FIRST_PAUSE_MS, this.#pauseMs * 2));
    this.#options.log.warn(fields, message);
  }

  async #pause(): Promise<void> {
    // Between half and all of it, so that a hundred pods do not come back in one moment.
    const failedMs = this.#pauseMs * (0.5 + Math.random() / 2);
    const waitMs = this.#draining ? Math.min(FIRST_PAUSE_MS, failedMs) : Math.max(this.#limits.everyMs, failedMs);
    this.#wake = new AbortController();
    if (this.#abort.signal.aborted) return;
    await setTimeout(waitMs, undefined, { signal: this.#wake.signal, ref: false }).catch(() => {});
  }

  /** Also of what was written while the last look was under way. */
  async #isAllDone(): Promise<boolean> {
    try {
      await this.#polling;
      await this.#poll();
      return this.#isDone();
    } catch {
      return false;
    }
  }

  #isDone(): boolean {
    return this.#spool.waiting.length === 0 && this.#ledgers.every((ledger) => ledger.isDone);
  }
}

/** By the time of their first entries. */
function ledgersOf(dir: string): readonly string[] {
  const recordings = join(dir, 'recordings');
  return readdirSync(join(recordings, 'ledger'))
    .map((name) => name.replace(/^recorder=/, ''))
    .filter((recorder) => storedFile(ledgerFile(recorder)).type === 'ledger')
    .map((recorder) => ({ recorder, begunMs: begunMs(join(recordings, ledgerFile(recorder))) }))
    .sort((a, b) => a.begunMs - b.begunMs)
    .map(({ recorder }) => recorder);
}

function begunMs(file: string): number {
  const first = linesOf(readFileSync(file)).next();
  const entry = first.done ? null : parseLedgerEntry(first.value.bytes)?.value;
  return entry === undefined || entry === null ? 0 : Date.parse(entry.time);
}
