import { rmdirSync, statSync, unlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type LedgerEntry, type SessionPlace, segmentName, sessionFolder } from '#crds/record/format.ts';

/** A sealed segment that the ledger names and the bucket may not have. */
export interface WaitingSegment {
  readonly path: string;
  readonly recorder: string;
  readonly session: string;
  readonly segment: number;
  /** Of the whole file, hex; as the ledger has it. */
  readonly sha256: string;
  readonly sizeBytes: number;
  readonly sinceMs: number;
  /** The bucket may have it: a PUT had no answer, was refused with 412, or an earlier process may have made it. */
  mayBeStored: boolean;
  retryAtMs: number;
  attempts: number;
  /** Refused for good, as far as can be told; the ledger goes on without it. */
  stuck: boolean;
}

interface Session {
  readonly place: SessionPlace;
  readonly stored: Set<number>;
  latest: number;
  ended: boolean;
}

/**
 * What lies in the recordings folder and waits for the bucket. The ledgers tell what there is, so that a restart finds what the process before had not done.
 * A stored segment is removed, but for the last of a session that goes on: a restart needs it to go on from.
 */
export class Spool {
  readonly #recordings: string;
  readonly #sessions = new Map<string, Session>();
  readonly #waiting = new Map<string, WaitingSegment>();
  #bytes = 0;

  constructor(recordings: string) {
    this.#recordings = recordings;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get waiting(): readonly WaitingSegment[] {
    return [...this.#waiting.values()];
  }

  /** Takes note of an entry. Returns what was named by it and is not here: `true` only where it should be. */
  read(recorder: string, entry: LedgerEntry, nowMs: number, isOld: boolean): { readonly missing: boolean } {
    if (entry.type === 'sessionStart') {
      const { date, cluster, namespace, session } = entry;
      this.#sessions.set(session, { place: { date, cluster, namespace, session }, stored: new Set(), latest: 0, ended: false });
    }
    if (entry.type === 'segment') return { missing: !this.#sealed(recorder, entry, nowMs, isOld) };
    if (entry.type === 'sessionEnd') this.#ended(entry.session);
    return { missing: false };
  }

  isWaiting(session: string, segment: number): boolean {
    const one = this.#waiting.get(keyOf(session, segment));
    return one !== undefined && !one.stuck;
  }

  fileOf(segment: WaitingSegment): string {
    return join(this.#recordings, segment.path);
  }

  /** The bucket has it. */
  stored(segment: WaitingSegment): void {
    if (!this.#waiting.delete(keyOf(segment.session, segment.segment))) return;
    this.#bytes -= segment.sizeBytes;
    const session = this.#sessions.get(segment.session);
    if (session === undefined) return;
    session.stored.add(segment.segment);
    this.#sweep(session);
  }

  #sealed(recorder: string, entry: LedgerEntry & { readonly type: 'segment' }, nowMs: number, isOld: boolean): boolean {
    const { session: id, segment, sha256 } = entry;
    const session = this.#sessions.get(id);
    if (session === undefined) return false;
    session.latest = Math.max(session.latest, segment);
    const path = `${sessionFolder(session.place)}/${segmentName(segment, 'sealed')}`;
    const sizeBytes = statSync(join(this.#recordings, path), { throwIfNoEntry: false })?.size;
    // What an earlier process removed it had stored.
    if (sizeBytes === undefined) return isOld;
    const state = { mayBeStored: isOld, retryAtMs: 0, attempts: 0, stuck: false };
    this.#waiting.set(keyOf(id, segment), { path, recorder, session: id, segment, sha256, sizeBytes, sinceMs: nowMs, ...state });
    this.#bytes += sizeBytes;
    this.#sweep(session);
    return true;
  }

  #ended(id: string): void {
    const session = this.#sessions.get(id);
    if (session === undefined) return;
    session.ended = true;
    this.#sweep(session);
  }

  #sweep(session: Session): void {
    const folder = join(this.#recordings, sessionFolder(session.place));
    for (const segment of session.stored) {
      if (!session.ended && segment === session.latest) continue;
      remove(() => unlinkSync(join(folder, segmentName(segment, 'sealed'))));
      session.stored.delete(segment);
    }
    if (!session.ended || session.stored.size > 0 || this.#hasWaiting(session)) return;
    this.#sessions.delete(session.place.session);
    // Session, namespace, cluster, date: each where it is empty.
    for (let one = folder, level = 0; level < 4 && remove(() => rmdirSync(one)); level++) one = dirname(one);
  }

  #hasWaiting({ place, latest }: Session): boolean {
    for (let segment = 1; segment <= latest; segment++) if (this.#waiting.has(keyOf(place.session, segment))) return true;
    return false;
  }
}

function keyOf(session: string, segment: number): string {
  return `${session}/${segment}`;
}

/** False where there was nothing to remove, or it may not be. */
function remove(what: () => void): boolean {
  try {
    what();
    return true;
  } catch {
    return false;
  }
}
