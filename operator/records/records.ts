import { type AskedObject, type Refusal, type RefusalCode, refusalOf } from './allow.ts';
import { Bucket, problemOf, type Slot } from './bucket.ts';
import { Heads, notOwned } from './heads.ts';
import { RateLimits } from './rate.ts';
import { type BucketCheck, checkBucket } from './self-check.ts';
import { authorityOf, type BucketSettings } from './settings.ts';

/** The caller, as its certificate names it. */
export interface RecordsPeer {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly pod: string;
  readonly podUid: string;
}

/** The key that countersigns: Ed25519, certified for `recordingAuthorityId` (crds/control/spiffe.ts). */
export interface RecordingAuthority {
  /** SHA-256 of the SPKI DER, hex. */
  readonly keyId: string;
  /** PEM, leaf first. */
  readonly certificates: readonly string[];
  readonly sign: (message: Uint8Array) => Uint8Array;
}

export interface RecordsOptions {
  readonly bucket: BucketSettings;
  readonly cluster: string;
  /** Namespaces of the resources that the caller has or had; null where they are not known yet. */
  readonly namespaces: (peer: RecordsPeer) => ReadonlySet<string> | null;
  readonly authority: () => RecordingAuthority;
  readonly log: Log;
  readonly observe?: Partial<RecordsObserver>;
  readonly clock?: () => number;
  readonly checkEveryMs?: number;
}

interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** For metrics. */
export interface RecordsObserver {
  slotsGiven(count: number): void;
  refused(code: RefusalCode): void;
  countersigned(): void;
  checked(check: BucketCheck): void;
}

/** What the RecordingSlots call answers: RecordingSlot of the protocol has this shape. */
export interface SlotAnswer {
  readonly path: string;
  readonly url: string;
  readonly headers: { [name: string]: string };
  readonly expiresAtSeconds: bigint;
  readonly refusal: string;
  readonly stored: boolean;
}

export interface SlotsAnswer {
  readonly slots: SlotAnswer[];
  /** PEM of the authority of the bucket's certificate; empty where it is a public one. */
  readonly caBundle: string;
}

export interface Records {
  slots(peer: RecordsPeer, request: { readonly objects: readonly AskedObject[] }): Promise<SlotsAnswer>;
  /** Rejects with RecordsError where the head is not signed. */
  countersign(
    peer: RecordsPeer,
    request: { readonly recorder: string; readonly entries: bigint; readonly head: string },
  ): Promise<{ readonly statement: Uint8Array }>;
  /** As the last check found it. */
  readonly bucket: BucketCheck;
  /** Checks the bucket now. */
  check(): Promise<BucketCheck>;
  close(): void;
}

/** Why a head was not signed. `BucketNotReady`, `BucketFailed` and `RateLimited` may go by; the others stay. */
export class RecordsError extends Error {
  override readonly name = 'RecordsError';
  readonly code: RefusalCode;

  constructor({ code, message }: Refusal) {
    super(`${code}: ${message}`);
    this.code = code;
  }
}

const CHECK_EVERY_MS = 5 * 60_000;
/** After a check that failed the next one is sooner. */
const CHECK_AGAIN_MS = 10_000;
const MAX_OBJECTS = 64;
/** Characters of what a caller sent. */
const MAX_LOGGED = 256;
/** Per pod. A busy one seals a segment per session every ten seconds; twenty sessions are 120 a minute. */
const SLOTS = { perMinute: 1200, burst: 2400 };
const MEBIBYTES = { perMinute: 1024, burst: 2048 };
const HEADS = { perMinute: 60, burst: 60 };

/** Throws where the settings can't be used. Checks the bucket at once and then again and again; until it is good every slot is refused. */
export function openRecords(options: RecordsOptions): Records {
  return new OperatorRecords(options);
}

class OperatorRecords implements Records {
  bucket: BucketCheck = { ready: false, reason: 'NotChecked', message: 'the bucket was not checked yet' };
  readonly #options: RecordsOptions;
  readonly #bucket: Bucket;
  readonly #caBundle: string;
  readonly #heads: Heads;
  readonly #slotRate: RateLimits;
  readonly #byteRate: RateLimits;
  readonly #headRate: RateLimits;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: RecordsOptions) {
    const clock = options.clock ?? Date.now;
    this.#options = options;
    this.#bucket = new Bucket(options.bucket, clock);
    this.#caBundle = authorityOf(options.bucket);
    this.#heads = new Heads(this.#bucket, options.cluster, options.authority, clock);
    this.#slotRate = new RateLimits(SLOTS.perMinute, SLOTS.burst, clock);
    this.#byteRate = new RateLimits(MEBIBYTES.perMinute, MEBIBYTES.burst, clock);
    this.#headRate = new RateLimits(HEADS.perMinute, HEADS.burst, clock);
    void this.check();
  }

  async slots(peer: RecordsPeer, { objects }: { readonly objects: readonly AskedObject[] }): Promise<SlotsAnswer> {
    const early = this.#refusesAll(peer, objects);
    if (early !== null) {
      // Once for all of them, however many it asked for.
      this.#refuse(peer, early, { objects: objects.length });
      return { slots: objects.slice(0, MAX_OBJECTS).map(({ path }) => answerOf(path, early)), caBundle: this.#caBundle };
    }
    const answers = objects.map((object) => this.#slotFor(peer, object));
    const slots: SlotAnswer[] = [];
    for (const [index, object] of objects.entries()) {
      const answer = (await answers[index]) ?? { code: 'BucketFailed', message: 'no answer' };
      slots.push(answerOf(object.path, answer));
      if (typeof answer !== 'string' && 'code' in answer)
        this.#refuse(peer, answer, { path: object.path.slice(0, MAX_LOGGED), recorder: object.recorder.slice(0, MAX_LOGGED) });
    }
    const given = slots.filter((slot) => slot.url !== '').length;
    if (given > 0) this.#options.observe?.slotsGiven?.(given);
    return { slots, caBundle: this.#caBundle };
  }

  async countersign(
    peer: RecordsPeer,
    { recorder, entries, head }: { readonly recorder: string; readonly entries: bigint; readonly head: string },
  ): Promise<{ readonly statement: Uint8Array }> {
    const fail = (refusal: Refusal): never => {
      this.#refuse(peer, refusal, { recorder: recorder.slice(0, MAX_LOGGED), entries: Number(entries) });
      throw new RecordsError(refusal);
    };
    if (!this.bucket.ready) return fail({ code: 'BucketNotReady', message: this.bucket.reason });
    if (!this.#headRate.take(peer.podUid, 1)) return fail({ code: 'RateLimited', message: 'too many heads' });
    const signed = await this.#heads
      .sign(peer, recorder, entries, head)
      .catch((error: unknown) => fail({ code: 'BucketFailed', message: problemOf(error) }));
    if (signed.type === 'refused') return fail(signed.refusal);
    this.#options.observe?.countersigned?.();
    return { statement: signed.statement };
  }

  async check(): Promise<BucketCheck> {
    clearTimeout(this.#timer);
    const before = this.bucket;
    const check = await checkBucket(this.#bucket, this.#options.bucket.objectLockDays);
    if (this.#closed) return check;
    this.bucket = check;
    this.#options.observe?.checked?.(check);
    const { url } = this.#options.bucket;
    if (!check.ready) this.#options.log.error({ bucket: url, reason: check.reason }, `the bucket can't take recordings: ${check.message}`);
    else if (!before.ready) this.#options.log.info({ bucket: url }, 'the bucket takes recordings');
    const everyMs = this.#options.checkEveryMs ?? CHECK_EVERY_MS;
    this.#timer = setTimeout(() => void this.check(), check.ready ? everyMs : Math.min(everyMs, CHECK_AGAIN_MS)).unref();
    return check;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#bucket.close();
  }

  #refusesAll({ podUid }: RecordsPeer, objects: readonly AskedObject[]): Refusal | null {
    if (!this.bucket.ready) return { code: 'BucketNotReady', message: this.bucket.reason };
    if (objects.length > MAX_OBJECTS) return { code: 'TooMany', message: `at most ${MAX_OBJECTS} objects in one request` };
    const mebibytes = objects.reduce((sum, object) => sum + Number(object.sizeBytes) / 2 ** 20, 0);
    if (!this.#slotRate.take(podUid, objects.length))
      return { code: 'RateLimited', message: `more than ${SLOTS.perMinute} objects a minute` };
    if (!this.#byteRate.take(podUid, Math.max(0, mebibytes)))
      return { code: 'RateLimited', message: `more than ${MEBIBYTES.perMinute} MiB a minute` };
    return null;
  }

  async #slotFor(peer: RecordsPeer, object: AskedObject): Promise<Slot | Refusal | 'stored'> {
    try {
      const refusal = refusalOf(object, { cluster: this.#options.cluster, namespaces: this.#options.namespaces(peer) });
      if (refusal !== null) return refusal;
      const owned = await this.#heads.owns(peer, object.recorder);
      if (owned !== true) return notOwned(owned);
      const stored = object.mayBeStored ? await this.#bucket.storedAs(object.path) : null;
      if (stored === null) return await this.#bucket.slot(object.path, object.sha256, Number(object.sizeBytes));
      const isSame = stored.sha256 === Buffer.from(object.sha256).toString('base64') && BigInt(stored.sizeBytes) === object.sizeBytes;
      return isSame ? 'stored' : { code: 'StoredDifferently', message: 'other bytes are stored under this name' };
    } catch (error: unknown) {
      return { code: 'BucketFailed', message: problemOf(error) };
    }
  }

  #refuse({ namespace, serviceAccount, pod }: RecordsPeer, { code, message }: Refusal, what: object): void {
    this.#options.observe?.refused?.(code);
    this.#options.log.warn({ namespace, serviceAccount, pod, code, ...what }, `refused to store a recording: ${message}`);
  }
}

function answerOf(path: string, answer: Slot | Refusal | 'stored'): SlotAnswer {
  const none = { path, url: '', headers: {}, expiresAtSeconds: 0n, refusal: '', stored: false };
  if (answer === 'stored') return { ...none, stored: true };
  if ('code' in answer) return { ...none, refusal: `${answer.code}: ${answer.message}` };
  return { ...none, url: answer.url, headers: { ...answer.headers }, expiresAtSeconds: BigInt(answer.expiresAtSeconds) };
}
