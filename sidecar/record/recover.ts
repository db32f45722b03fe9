import { hash } from 'node:crypto';
import { appendFileSync, readdirSync, readFileSync, truncateSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { withLastMember } from '#crds/record/bytes.ts';
import { RECORD_VERSION } from '#crds/record/event.ts';
import { type SessionPlace, sessionFolder, storedFile } from '#crds/record/format.ts';
import { MAX_PLAIN_BYTES } from '#crds/record/frames.ts';
import { readEvents, writtenBytes } from '#crds/record/segment.ts';
import type { SessionAccount } from '#crds/record/verify-ledger.ts';
import { type ReadSegment, verifySegment } from '#crds/record/verify-segment.ts';
import type { Log } from '../pipeline.ts';
import { nodePlatform } from './platform.ts';
import { type Sealer, sealSegment } from './seal.ts';
import { type FinishedSegment, SegmentFile, segmentFiles } from './segment-file.ts';

/**
 * Ends every session that an earlier recorder began and did not end: seals its open segments and tells the ledger.
 * Only sessions that a signed ledger entry began are touched: what else lies in the folder is for `verify` to name.
 * Returns how many. Rejects where a segment can't be sealed: then there is no room to record either.
 */
export async function recoverSessions(
  sealer: Sealer,
  recordings: string,
  accounts: ReadonlyMap<string, SessionAccount>,
  log: Log,
): Promise<number> {
  const open = [...accounts.values()].filter((account) => account.started !== null && account.ended === null);
  let sessions = 0;
  for (let at = 0; at < open.length; at += AT_ONCE) {
    const done = await Promise.all(open.slice(at, at + AT_ONCE).map((account) => recoverSession(sealer, recordings, account, log)));
    sessions += done.filter((one) => one).length;
  }
  if (sessions > 0) log.warn({ sessions }, 'closed the sessions that an earlier recorder left open, as interrupted');
  return sessions;
}

/** Sessions that are recovered together, so that they share the disk's syncs. */
const AT_ONCE = 16;

/** Where a session's events have come to. */
interface Reached {
  readonly segments: number;
  readonly seq: number;
  readonly head: string | null;
  readonly file: string | null;
  readonly ended: string | null;
}

const NOTHING: Reached = { segments: 0, seq: 0, head: null, file: null, ended: null };

async function recoverSession(sealer: Sealer, recordings: string, account: SessionAccount, log: Log): Promise<boolean> {
  if (account.started === null) return false;
  const { date, cluster, namespace, session } = account.started;
  const place = { date, cluster, namespace, session };
  const there = segmentsOf(recordings, place);
  if (there.length === 0) {
    log.error({ session }, 'a session that an earlier recorder began is gone; the ledger goes on saying so');
    return false;
  }
  let reached = NOTHING;
  for (const [index, { segment, open, sealed }] of there.entries()) {
    const told = account.segments.has(segment);
    if (segment > reached.segments + 1) reached = uploadedBefore(account, segment) ?? reached;
    const files = segmentFiles(recordings, place, segment);
    if (open && told) unlinkSync(files.openFile);
    if (open && !told) reached = await finishSegment(sealer, { place, segment, ...files }, reached, index === there.length - 1);
    else if (sealed) reached = readSealed(sealer, place, { segment, file: files.sealedFile, told }, reached, log);
  }
  if (reached.ended === null && reached.segments > 0) reached = await addLastSegment(sealer, recordings, place, reached);
  sealer.ledger.append({
    type: 'sessionEnd',
    session,
    reason: reached.ended ?? 'interrupted',
    segments: reached.segments,
    lastSeq: reached.seq,
  });
  return true;
}

/** Segments that were uploaded are not here any more, but for a session's last: of the one before this the ledger knows enough. */
function uploadedBefore(account: SessionAccount, segment: number): Reached | null {
  const told = account.segments.get(segment - 1);
  return told === undefined ? null : { segments: told.segment, seq: told.lastSeq, head: null, file: told.sha256, ended: null };
}

function segmentsOf(
  recordings: string,
  place: SessionPlace,
): readonly { readonly segment: number; readonly open: boolean; readonly sealed: boolean }[] {
  let names: readonly string[] = [];
  try {
    names = readdirSync(join(recordings, sessionFolder(place)));
  } catch (error: unknown) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const files = names.map((name) => storedFile(`${sessionFolder(place)}/${name}`)).filter((file) => file.type === 'segment');
  const numbers = [...new Set(files.map((file) => file.segment))].sort((a, b) => a - b);
  const has = (segment: number, state: 'open' | 'sealed') => files.some((file) => file.segment === segment && file.state === state);
  return numbers.map((segment) => ({ segment, open: has(segment, 'open'), sealed: has(segment, 'sealed') }));
}

/** Cuts a torn last line, adds the end where it is the session's last segment and has none, and seals. A segment without an event is removed. */
async function finishSegment(
  sealer: Sealer,
  at: Pick<FinishedSegment, 'place' | 'segment' | 'openFile' | 'sealedFile'>,
  before: Reached,
  last: boolean,
): Promise<Reached> {
  const read = readOpen(readFileSync(at.openFile), before);
  if (read.events === 0) {
    unlinkSync(at.openFile);
    return before;
  }
  truncateSync(at.openFile, read.bytes);
  const ended = read.ended ?? (last ? addEnd(sealer, at.openFile, at.place.session, read) : null);
  const finished = ended === null || read.ended !== null ? read : readOpen(readFileSync(at.openFile), before);
  const segment: FinishedSegment = { ...at, ...finished, lastSeq: finished.seq };
  const file = await sealSegment(sealer, segment, before.file, { recovered: true, sync: true });
  return { segments: at.segment, seq: finished.seq, head: finished.head, file, ended };
}

interface OpenSegment {
  readonly bytes: number;
  readonly headerBytes: number;
  readonly events: number;
  readonly seq: number;
  readonly head: string;
  readonly ended: string | null;
}

/** Takes what is there as it is: an event that was changed keeps its place, and verification names it. */
function readOpen(file: Buffer, before: Reached): OpenSegment {
  const headerEnd = file.indexOf(0x0a);
  const headerBytes = headerEnd < 0 || headerEnd > MAX_PLAIN_BYTES ? 0 : headerEnd + 1;
  let read: OpenSegment = { bytes: headerBytes, headerBytes, events: 0, seq: before.seq, head: hash('sha256', ''), ended: null };
  if (headerBytes === 0) return read;
  read = { ...read, head: hash('sha256', file.subarray(0, headerEnd)) };
  const bytes = file.subarray(0, writtenBytes(file)).lastIndexOf(0x0a) + 1;
  for (const line of readEvents(file.subarray(headerBytes, bytes))) {
    if (line.type !== 'event') continue;
    const { event } = line;
    read = { ...read, events: read.events + 1, seq: event.seq, head: event.hash, ended: event.type === 'end' ? event.reason : null };
  }
  return { ...read, bytes };
}

function addEnd(sealer: Sealer, openFile: string, session: string, after: Pick<OpenSegment, 'seq' | 'head'>): 'interrupted' {
  const body = endBody(sealer, session, after.seq + 1);
  appendFileSync(openFile, `${withLastMember(body, 'hash', hash('sha256', after.head + body.slice(0, -1)))}\n`);
  return 'interrupted';
}

function endBody(sealer: Sealer, session: string, seq: number): string {
  const time = new Date(sealer.clock()).toISOString();
  const message = 'the recorder died; its next start closed the session';
  return JSON.stringify({ v: RECORD_VERSION, session, seq, time, channel: 0, type: 'end', reason: 'interrupted', message });
}

/** The session's last segment was sealed, and no other begun: a segment with the end alone. */
async function addLastSegment(sealer: Sealer, recordings: string, place: SessionPlace, reached: Reached): Promise<Reached> {
  const segment = reached.segments + 1;
  const file = new SegmentFile({
    recordings,
    place,
    segment,
    firstSeq: reached.seq + 1,
    previous: reached.head,
    recorder: sealer.ledger.recorder,
    keyId: sealer.keys.keyId,
    certificates: sealer.certificates(),
    nowMs: sealer.clock(),
  });
  file.append(endBody(sealer, place.session, reached.seq + 1).slice(0, -1));
  const finished = file.finish();
  if (finished === null) return reached;
  const sealed = await sealSegment(sealer, finished, reached.file, { recovered: true, sync: true });
  return { segments: segment, seq: finished.lastSeq, head: finished.head, file: sealed, ended: 'interrupted' };
}

/**
 * A segment that was sealed before. Where the ledger lost its entry (the machine died, and nothing was synced), and the segment verifies,
 * the ledger is told again.
 */
function readSealed(
  sealer: Sealer,
  place: SessionPlace,
  { segment, file, told }: { readonly segment: number; readonly file: string; readonly told: boolean },
  before: Reached,
  log: Log,
): Reached {
  const stored: ReadSegment = { file, segment, state: 'sealed', bytes: readFileSync(file) };
  const findings: string[] = [];
  const chain = { seq: before.seq, hash: before.head, file: before.file, ended: before.ended };
  const { sha256, after } = verifySegment(place, stored, chain, nodePlatform(sealer.keys.publicKeys), (finding) =>
    findings.push(finding.message),
  );
  for (const message of findings) log.error({ file }, `a sealed segment does not verify: ${message}`);
  const seq = after.seq ?? before.seq;
  if (!told && sha256 !== null && findings.length === 0)
    sealer.ledger.append({ type: 'segment', session: place.session, segment, sha256, lastSeq: seq });
  return { segments: segment, seq, head: after.hash, file: sha256, ended: after.ended };
}
