import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { isLabel, isUuid, type LedgerHead, type SessionPlace, STANDALONE, sessionFolder } from '#crds/record/format.ts';
import { MAX_SEGMENT_BYTES } from '#crds/record/segment.ts';
import type { Log, RecordingStore, SessionRecorder } from '../pipeline.ts';
import { causeOf, RecordingError } from './error.ts';
import { findLedgers } from './find-ledgers.ts';
import { openKeys } from './keys.ts';
import { Ledger } from './ledger.ts';
import { takeLock } from './lock.ts';
import { recoverSessions } from './recover.ts';
import { type SessionHost, SessionWriter, SPOOL_FULL } from './session.ts';

export interface RecordingLimits {
  /** A segment rotates when its events are this long. Default 8 MiB. */
  readonly segmentBytes: number;
  /** A segment rotates when it is this old. Default 15 minutes. */
  readonly segmentAgeMs: number;
  /** Text of an action, its parameters together, a cell or an error is cut at this many bytes. Default 64 KiB. */
  readonly textBytes: number;
  /** An event whose line has more characters is an error. Default 1 Mi. */
  readonly eventBytes: number;
}

export const DEFAULT_RECORDING_LIMITS: RecordingLimits = {
  segmentBytes: 8 * 1024 * 1024,
  segmentAgeMs: 15 * 60_000,
  textBytes: 64 * 1024,
  eventBytes: 1024 * 1024,
};

export interface RecordingOptions {
  /** The state folder; made where it is missing. Holds `keys/`, `recordings/` and the lock. */
  readonly dir: string;
  /** Unix time in milliseconds. */
  readonly clock: () => number;
  readonly log: Log;
  readonly limits?: Partial<RecordingLimits>;
  /** Version of the policy in force, for action events; the one of the session's start where absent. */
  readonly snapshot?: () => string;
  /** Name of the cluster, in paths and headers. Default `standalone`. */
  readonly cluster?: string;
  /** PEM chain of the recording key, leaf first, where there is one at the start; `certify` brings later ones. */
  readonly certificates?: readonly string[];
  /** True while so much waits to be uploaded that no more may be recorded: sessions then wait, and end. */
  readonly isFull?: () => boolean;
}

export interface Recordings extends RecordingStore {
  /** UUID of this recorder: one process, one ledger. */
  readonly recorder: string;
  /** Public key, PEM: what `sessions verify --public-key` takes. */
  readonly publicKeyFile: string;
  /** From now on the key is proven by this chain (PEM, leaf first). Told to the ledger. Throws RecordingError. */
  certify(certificates: readonly string[]): void;
  /** Of this recorder's ledger now: what `sessions verify --expect-head` takes. */
  head(): LedgerHead;
  /** Writes results that wait in memory; done every few moments anyway. */
  flush(): void;
  /** Ends open sessions with `drain`, waits for all seals, ends the ledger and lets go of the lock. Never rejects. */
  close(): Promise<void>;
}

const CLOSED = 'recording has ended: the sidecar is going down';
const SEALS_AT_ONCE = 2;
const AGE_CHECK_MS = 10_000;
/** How long a new session waits for room in the spool before it is refused. */
const ROOM_WAIT_MS = 10_000;
const ROOM_LOOK_MS = 100;
const FLUSH_MS = 200;

/** Takes the lock, makes or reads the keys, and seals what the last recorder left open. Rejects with RecordingError. */
export async function openRecordings(options: RecordingOptions): Promise<Recordings> {
  const recordings = join(options.dir, 'recordings');
  const temporary = join(options.dir, 'recordings.tmp');
  makeFolders(options.dir, recordings);
  const unlock = takeLock(join(options.dir, 'recordings.lock'));
  try {
    makeAnew(temporary);
    const keys = openKeys(join(options.dir, 'keys'));
    const found = findLedgers(recordings, keys, options.log);
    const ledger = new Ledger(recordings, randomUUID(), keys, options.clock);
    ledger.append({ type: 'recorderStart', found: found.heads });
    const proof = { certificates: options.certificates ?? [] };
    if (proof.certificates.length > 0) ledger.append({ type: 'certificate', certificates: proof.certificates });
    const sealer = { ledger, keys, clock: options.clock, temporary, certificates: () => proof.certificates };
    const sessions = await recoverSessions(sealer, recordings, found.accounts, options.log);
    if (found.heads.length > 0) ledger.append({ type: 'recovered', sessions });
    return new Store(options, { ...sealer, recordings, unlock, proof });
  } catch (error: unknown) {
    unlock();
    throw error instanceof RecordingError ? error : new RecordingError('RecoveryFailed', `recording can't begin: ${causeOf(error)}`, error);
  }
}

interface StoreParts {
  readonly unlock: () => void;
  readonly proof: { certificates: readonly string[] };
}

class Store implements Recordings {
  readonly recorder: string;
  readonly publicKeyFile: string;
  readonly #host: SessionHost;
  readonly #clock: () => number;
  readonly #log: Log;
  readonly #unlock: () => void;
  readonly #proof: StoreParts['proof'];
  readonly #cluster: string;
  readonly #sessions = new Map<string, SessionWriter>();
  readonly #ageTimer: NodeJS.Timeout;
  readonly #flushTimer: NodeJS.Timeout;
  #unsettled = 0;
  #closed: Promise<void> | null = null;

  constructor(
    options: RecordingOptions,
    parts: Pick<SessionHost, 'ledger' | 'keys' | 'clock' | 'temporary' | 'recordings' | 'certificates'> & StoreParts,
  ) {
    const { unlock, proof, ...sealer } = parts;
    this.#proof = proof;
    this.#cluster = options.cluster ?? STANDALONE;
    this.recorder = parts.ledger.recorder;
    this.publicKeyFile = parts.keys.publicKeyFile;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#unlock = unlock;
    this.#host = {
      ...sealer,
      log: options.log,
      limits: limitsOf(options.limits),
      ...(options.snapshot === undefined ? {} : { snapshot: options.snapshot }),
      isFull: options.isFull ?? (() => false),
      whenRoom: roomFor(SEALS_AT_ONCE),
      onSettled: (session, clean) => {
        this.#sessions.delete(session);
        if (!clean) this.#unsettled += 1;
      },
    };
    this.#flushTimer = setInterval(() => this.flush(), FLUSH_MS).unref();
    this.#ageTimer = setInterval(() => this.#checkAges(), Math.min(AGE_CHECK_MS, this.#host.limits.segmentAgeMs / 4)).unref();
  }

  async open(start: Parameters<RecordingStore['open']>[0], session: string): Promise<SessionRecorder> {
    if (this.#closed !== null) throw new RecordingError('Closed', CLOSED);
    const { namespace } = start.resource;
    if (!isUuid(session) || !isLabel(namespace))
      throw new RecordingError('InvalidName', 'session and namespace must be names that a path can hold');
    const place: SessionPlace = { date: new Date(this.#clock()).toISOString().slice(0, 10), cluster: this.#cluster, namespace, session };
    await this.#waitForRoom();
    if (this.#sessions.has(session)) throw new RecordingError('SessionExists', `session ${session} is being recorded`);
    makeSessionFolder(join(this.#host.recordings, sessionFolder(place)), session);
    const writer = new SessionWriter(this.#host, place, start.snapshot);
    this.#sessions.set(session, writer);
    writer.begin({ type: 'start', ...start });
    return writer;
  }

  async #waitForRoom(): Promise<void> {
    for (let waitedMs = 0; this.#host.isFull(); waitedMs += ROOM_LOOK_MS) {
      if (waitedMs >= ROOM_WAIT_MS) throw new RecordingError('SpoolFull', SPOOL_FULL);
      await setTimeout(ROOM_LOOK_MS);
    }
    if (this.#closed !== null) throw new RecordingError('Closed', CLOSED);
  }

  certify(certificates: readonly string[]): void {
    if (this.#closed !== null || JSON.stringify(certificates) === JSON.stringify(this.#proof.certificates)) return;
    this.#host.ledger.append({ type: 'certificate', certificates });
    this.#proof.certificates = certificates;
  }

  head(): LedgerHead {
    return this.#host.ledger.head();
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  flush(): void {
    for (const session of this.#sessions.values()) session.flush();
  }

  #checkAges(): void {
    for (const session of this.#sessions.values()) session.checkAge();
  }

  async #close(): Promise<void> {
    clearInterval(this.#ageTimer);
    clearInterval(this.#flushTimer);
    await Promise.all([...this.#sessions.values()].map((session) => session.end('drain')));
    try {
      // Without it the next start knows that there is something left to do.
      if (this.#unsettled === 0) this.#host.ledger.append({ type: 'recorderEnd' });
      await this.#host.ledger.durable();
    } catch (error: unknown) {
      this.#log.error({ error: causeOf(error) }, 'the ledger could not be ended');
    }
    this.#host.ledger.close();
    this.#unlock();
  }
}

/** What is recorded must be short enough to be verified. */
function limitsOf(given: Partial<RecordingLimits> | undefined): RecordingLimits {
  const limits = { ...DEFAULT_RECORDING_LIMITS, ...given };
  return {
    ...limits,
    segmentBytes: Math.min(limits.segmentBytes, MAX_SEGMENT_BYTES / 2),
    eventBytes: Math.min(limits.eventBytes, MAX_SEGMENT_BYTES / 8),
  };
}

function makeFolders(dir: string, recordings: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    mkdirSync(recordings, { recursive: true, mode: 0o700 });
  } catch (error: unknown) {
    throw new RecordingError('WriteFailed', `the state folder can't be made: ${causeOf(error)}`, error);
  }
}

/** What a dead recorder was about to store there is sealed again from its open file. */
function makeAnew(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { mode: 0o700 });
}

function makeSessionFolder(folder: string, session: string): void {
  try {
    mkdirSync(join(folder, '..'), { recursive: true, mode: 0o700 });
    mkdirSync(folder, { mode: 0o700 });
  } catch (error: unknown) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw new RecordingError('SessionExists', `session ${session} was recorded before`);
    throw new RecordingError('WriteFailed', `the session can't be recorded: ${causeOf(error)}`, error);
  }
}

/** At most `places` at once, in the order that they came. */
function roomFor(places: number): <T>(work: () => Promise<T>) => Promise<T> {
  let free = places;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    }
  };
}
