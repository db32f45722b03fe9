import { concat, linesOf, unhex, utf8 } from './bytes.ts';
import type { Finding, FindingCode, KeyOwner, Platform } from './finding.ts';
import { SEGMENT_DOMAIN, type SegmentHeader, type SessionPlace } from './format.ts';
import { chainHash, readEvents, type SegmentParts, type StoredEvent, takeApart } from './segment.ts';

/** The stored bytes, or why they can't be had. */
export type StoredBytes = Uint8Array | 'Unreadable' | 'TooLarge';

export interface SegmentFile {
  /** Below the `recordings` folder. */
  readonly file: string;
  readonly segment: number;
  readonly state: 'open' | 'sealed';
}

export interface StoredSegment extends SegmentFile {
  read(): Promise<StoredBytes>;
}

export interface ReadSegment extends SegmentFile {
  readonly bytes: StoredBytes;
}

/** What the events of a session have come to: where the next one must go on. Nulls where nothing before is known. */
export interface ChainState {
  readonly seq: number | null;
  readonly hash: string | null;
  /** SHA-256 of the whole stored file. */
  readonly file: string | null;
  readonly ended: string | null;
}

export const CHAIN_START: ChainState = { seq: 0, hash: null, file: null, ended: null };
/** After a segment that is missing or can't be read. */
export const CHAIN_UNKNOWN: ChainState = { seq: null, hash: null, file: null, ended: null };

export interface SegmentReport {
  readonly segment: number;
  readonly file: string;
  readonly state: 'open' | 'sealed';
  /** Null where it could not be read. */
  readonly sha256: string | null;
  readonly events: number;
  readonly recorder: string | null;
  readonly after: ChainState;
}

export type Report = (finding: Omit<Finding, 'severity'> & { readonly severity?: Finding['severity'] }) => void;

/** Verifies one stored segment against what came before it. Never throws; reports each thing that is wrong. */
export function verifySegment(
  place: SessionPlace,
  stored: ReadSegment,
  before: ChainState,
  platform: Platform,
  report: Report,
  onEvent?: (event: StoredEvent) => void,
): SegmentReport {
  const { file, segment, state, bytes } = stored;
  const say: Say = (code, message, more = {}) => report({ code, message, file, session: place.session, segment, ...more });
  const nothing = { segment, file, state, sha256: null, events: 0, recorder: null, after: CHAIN_UNKNOWN };
  if (typeof bytes === 'string') {
    say(bytes, bytes === 'TooLarge' ? 'the file is longer than any segment can be' : 'the file can’t be read');
    return nothing;
  }
  const sha256 = platform.sha256(bytes);
  const [first] = linesOf(bytes);
  if (state === 'open' && first?.whole !== true) {
    say('LineTorn', 'the segment was just begun: its header is not whole', { severity: 'warning' });
    return { ...nothing, sha256, after: before };
  }
  const parts = takeApart(bytes, state, platform);
  const owner = parts.header === null ? null : checkCertificates(parts.header, platform, say);
  checkHeader(place, stored, parts, before, say);
  if (state === 'sealed') checkSeal(parts, before, platform, say);
  if (parts.body === null) {
    if (parts.sealProblem === null && parts.headerProblem === null) say('BodyInvalid', 'the events can’t be read: not zstd, or too long');
    return { ...nothing, sha256, recorder: parts.header?.recorder ?? null, after: { ...CHAIN_UNKNOWN, file: sha256 } };
  }
  const watch = (event: StoredEvent) => {
    if (event.type === 'start' && owner !== null) checkWorkload(event, owner, say);
    onEvent?.(event);
  };
  const walked = walk(place, parts, parts.body, state, before, platform, say, watch);
  return { ...nothing, sha256, recorder: parts.header?.recorder ?? null, events: walked.events, after: { ...walked.after, file: sha256 } };
}

type Say = (code: FindingCode, message: string, more?: { readonly seq?: number; readonly severity?: Finding['severity'] }) => void;

/** Null where nothing is proven of whose key it is. */
function checkCertificates(header: SegmentHeader, platform: Platform, say: Say): Recorder | null {
  if (header.certificates.length === 0 || platform.certify === undefined) return null;
  const certified = platform.certify(header.certificates, header.keyId);
  if (certified.type === 'refused') {
    say('CertificateInvalid', `the header’s certificates prove nothing: ${certified.why}`);
    return null;
  }
  const { owner, notBefore, notAfter } = certified;
  if (owner.type !== 'recorder') {
    say('CertificateInvalid', 'the header’s certificates are not those of a recorder');
    return null;
  }
  if (header.opened < notBefore) say('CertificateInvalid', `the segment was begun before its certificate was valid (${notBefore})`);
  if (header.opened > notAfter) {
    const message = `the segment was begun after its certificate had ended (${notAfter}): the recorder could not renew it`;
    say('CertificateExpired', message, { severity: 'warning' });
  }
  return owner;
}

type Recorder = Extract<KeyOwner, { type: 'recorder' }>;

function checkWorkload(event: StoredEvent & { readonly type: 'start' }, owner: Recorder, say: Say): void {
  const { namespace, serviceAccount } = event.workload ?? {};
  if (namespace === owner.namespace && serviceAccount === owner.serviceAccount) return;
  const message = `the session says that it is of another workload than its recorder’s certificate: ${owner.namespace}/${owner.serviceAccount}`;
  say('CertificateInvalid', message, { seq: event.seq });
}

function checkHeader(place: SessionPlace, stored: SegmentFile, parts: SegmentParts, before: ChainState, say: Say): void {
  const { header } = parts;
  if (parts.headerProblem === 'NotSupported')
    say('NotSupported', 'the header asks for a version or a feature that this verifier does not know');
  if (parts.headerProblem === 'HeaderInvalid') say('HeaderInvalid', 'the header is not one that a recorder writes');
  if (header === null) return;
  const members = ['session', 'date', 'cluster', 'namespace'] as const;
  const other: string[] = members.filter((member) => header[member] !== place[member]);
  if (header.segment !== stored.segment) other.push('segment');
  if (other.length > 0) {
    const is = `session ${header.session}, segment ${header.segment}`;
    say(
      'HeaderMisplaced',
      `the header says that this is ${is} of ${header.date}/${header.namespace}: ${other.join(', ')} differ from where the file lies`,
    );
    return;
  }
  if (stored.segment === 1 ? header.previous !== null : before.hash !== null && header.previous !== before.hash)
    say('SegmentOrder', 'the header does not follow the events of the segment before');
  if (before.seq !== null && header.firstSeq !== before.seq + 1)
    say('SegmentOrder', `the header begins at event ${header.firstSeq}, where ${before.seq + 1} is next`, { seq: header.firstSeq });
}

function checkSeal(parts: SegmentParts, before: ChainState, platform: Platform, say: Say): void {
  const { seal, sealed, header } = parts;
  if (parts.sealProblem === 'SealMissing') say('SealMissing', 'the file does not end with a seal: it was cut, or its end was changed');
  if (parts.sealProblem === 'SealInvalid') say('SealInvalid', 'the seal is not one that a recorder writes');
  if (seal === null || sealed === null) return;
  if (header !== null && header.keyId !== seal.value.keyId && header.recorder === seal.value.recorder)
    say('SealInvalid', 'header and seal name different keys');
  const signature = unhex(seal.value.signature);
  if (!platform.hasKey(seal.value.keyId)) say('KeyUnknown', `signed by a key that was not given: ${seal.value.keyId}`);
  else if (signature === null || !verifies(platform, seal.value.keyId, concat(utf8(SEGMENT_DOMAIN), seal.body), signature))
    say('SignatureInvalid', 'the seal’s signature is wrong: the seal was changed or forged');
  if (platform.sha256(sealed) !== seal.value.sha256) say('BytesChanged', 'the stored bytes are not those that were sealed');
  if (before.file !== null && seal.value.previous !== before.file) say('SegmentOrder', 'the seal does not follow the segment before');
}

function verifies(platform: Platform, keyId: string, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return platform.verify(keyId, message, signature);
  } catch {
    return false;
  }
}

function walk(
  place: SessionPlace,
  parts: SegmentParts,
  body: Uint8Array,
  state: 'open' | 'sealed',
  before: ChainState,
  platform: Platform,
  say: Say,
  onEvent: (event: StoredEvent) => void,
): { readonly events: number; readonly after: ChainState } {
  /** Null after a line that is no event: then the next one's hash can't be checked. */
  let hash: string | null = platform.sha256(parts.headerBytes);
  let seq = before.seq ?? (parts.header === null ? null : parts.header.firstSeq - 1);
  let ended = before.ended;
  let events = 0;
  for (const line of readEvents(body)) {
    if (line.type === 'torn' && state === 'open')
      say('LineTorn', 'the last line is torn: the process died as it wrote', { severity: 'warning' });
    else if (line.type !== 'event') {
      say('EventInvalid', `what follows event ${seq ?? '?'} is not an event`, seq === null ? {} : { seq: seq + 1 });
      if (seq !== null) seq += 1;
      hash = null;
    } else {
      const { event } = line;
      events += 1;
      const at = { seq: event.seq };
      if (seq !== null && event.seq > seq + 1) say('EventMissing', missing(seq + 1, event.seq - 1), { seq: seq + 1 });
      if (seq !== null && event.seq <= seq) say('EventOutOfOrder', `event ${event.seq} stands after event ${seq}`, at);
      if (event.session !== place.session) say('EventInvalid', `event ${event.seq} belongs to another session`, at);
      if (hash !== null && chainHash(platform, hash, line.body) !== event.hash && (seq === null || event.seq === seq + 1))
        say('EventChanged', `event ${event.seq}, or the hash before it, was changed`, at);
      if (ended !== null) say('EventAfterEnd', `event ${event.seq} stands after the session’s end`, at);
      if (event.seq === 1 ? event.type !== 'start' || event.resource?.namespace !== place.namespace : event.type === 'start')
        say('SessionStartMissing', 'a session begins with one start event, of its own namespace', at);
      if (event.type === 'end') ended = String(event.reason);
      seq = event.seq;
      hash = event.hash;
      onEvent(event);
    }
  }
  const seal = parts.seal?.value;
  if (seal !== undefined && (seal.lastSeq !== seq || seal.events !== events || seal.head !== hash))
    say('EventsDifferFromSeal', `${events} events to ${seq ?? '?'} are here; ${seal.events} to ${seal.lastSeq} were sealed`);
  return { events, after: { seq, hash: events > 0 ? hash : null, file: null, ended } };
}

function missing(from: number, to: number): string {
  return from === to ? `event ${from} is missing` : `events ${from} to ${to} are missing`;
}
