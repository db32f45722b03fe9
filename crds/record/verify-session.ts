import type { StartEvent } from './event.ts';
import type { Finding, Platform } from './finding.ts';
import type { SessionPlace } from './format.ts';
import type { StoredEvent } from './segment.ts';
import { CHAIN_START, CHAIN_UNKNOWN, type ReadSegment, type SegmentReport, type StoredSegment, verifySegment } from './verify-segment.ts';

export interface SessionReport {
  readonly place: SessionPlace;
  readonly segments: readonly SegmentReport[];
  readonly start: StartEvent | null;
  /** Null where it is not known, after a segment that can't be read. */
  readonly lastSeq: number | null;
  /** Reason of the end event; null where there is none. */
  readonly ended: string | null;
  readonly findings: readonly Finding[];
}

/**
 * Verifies all that is stored of one session: each segment by itself, then in its order. Reads one segment at a time. Never rejects.
 * Whether segments or the whole session were taken away, only the ledger knows: see verify-all.ts.
 */
export async function verifySession(
  place: SessionPlace,
  stored: readonly StoredSegment[],
  platform: Platform,
  onEvent?: (event: StoredEvent) => void,
): Promise<SessionReport> {
  const findings: Finding[] = [];
  const segments: SegmentReport[] = [];
  let start: StartEvent | null = null;
  let chain = CHAIN_START;
  let next = 1;
  const watch = (event: StoredEvent) => {
    if (event.type === 'start') start ??= event;
    onEvent?.(event);
  };
  for (const one of sorted(stored)) {
    const segment = { file: one.file, segment: one.segment, state: one.state, bytes: await one.read() };
    const beside = segments.at(-1);
    if (beside?.segment === segment.segment) {
      checkCopy(place, beside, segment, platform, findings);
      continue;
    }
    if (segment.segment !== next) {
      findings.push(missing(place, next, segment.segment - 1));
      chain = CHAIN_UNKNOWN;
    }
    const report = (finding: Parameters<Parameters<typeof verifySegment>[4]>[0]) => findings.push({ severity: 'error', ...finding });
    const verified = verifySegment(place, segment, chain, platform, report, watch);
    segments.push(verified);
    chain = verified.after;
    next = segment.segment + 1;
  }
  return { place, segments, start, lastSeq: chain.seq, ended: chain.ended, findings };
}

/** By number; of two with the same number the sealed one first. */
function sorted(stored: readonly StoredSegment[]): readonly StoredSegment[] {
  return [...stored].sort((a, b) => a.segment - b.segment || (a.state === b.state ? 0 : a.state === 'sealed' ? -1 : 1));
}

function missing(place: SessionPlace, from: number, to: number): Finding {
  const message = from === to ? `segment ${from} is missing` : `segments ${from} to ${to} are missing`;
  return { code: 'SegmentMissing', severity: 'error', message, session: place.session, segment: from };
}

/** A recorder that dies between sealing a segment and removing its open file leaves both: then both end at the same hash. */
function checkCopy(place: SessionPlace, sealed: SegmentReport, open: ReadSegment, platform: Platform, findings: Finding[]): void {
  let clean = true;
  const copy = verifySegment(place, open, CHAIN_UNKNOWN, platform, () => {
    clean = false;
  });
  const same = clean && copy.after.hash !== null && copy.after.hash === sealed.after.hash;
  findings.push({
    code: 'SegmentOpenBesideSealed',
    severity: same ? 'warning' : 'error',
    message: same ? 'the open file of a sealed segment is still there' : 'beside a sealed segment lies an open one with other events',
    file: open.file,
    session: place.session,
    segment: open.segment,
  });
}
