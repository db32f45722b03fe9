import type { Finding, FindingCode, Platform } from './finding.ts';
import { type HeadStatement, type LedgerHead, ledgerFile, type SessionPlace, sessionFolder } from './format.ts';
import { compareWithHeads, gaps, readHeads, type StoredHead } from './verify-heads.ts';
import { type LedgerReport, type SessionAccount, type StoredLedger, verifyLedger } from './verify-ledger.ts';
import type { SessionReport } from './verify-session.ts';

/** What the ledgers say, together. */
export interface Ledgers {
  readonly ledgers: ReadonlyMap<string, LedgerReport>;
  readonly accounts: ReadonlyMap<string, SessionAccount>;
  /** Ledgers that no other recorder has found: usually one, the latest. */
  readonly heads: readonly LedgerHead[];
  /** Up to where `expectHead` proves that nothing is missing; null without one, or where it was not found. */
  readonly proven: LedgerHead | null;
  /** By recorder: the latest head that the operator signed and the ledger has. Up to there nothing is missing. */
  readonly countersigned: ReadonlyMap<string, HeadStatement>;
  /** Segments may be stored before the ledger that names them. */
  readonly lags: boolean;
  readonly findings: readonly Finding[];
}

export interface LedgerOptions {
  readonly expectHead?: string;
  /** Given for a bucket or its copy: what the operator stored there. Ledgers may then lag behind segments, and a pod may be gone for good. */
  readonly bucket?: { readonly heads: readonly StoredHead[]; readonly nowMs: number };
}

/** Verifies each ledger, then that they follow each other. `expectHead` is the hash of an entry that must be there. Never rejects. */
export async function verifyLedgers(stored: readonly StoredLedger[], platform: Platform, options: LedgerOptions = {}): Promise<Ledgers> {
  const { expectHead, bucket } = options;
  const findings: Finding[] = [];
  const accounts = new Map<string, SessionAccount>();
  const ledgers = new Map<string, LedgerReport>();
  let proven: LedgerHead | null = null;
  const heads = bucket === undefined ? [] : await readHeads(bucket.heads, platform, findings);
  const wanted = new Set(heads.map((head) => head.head));
  for (const { file, recorder, read } of stored) {
    const bytes = await read();
    const isWanted = (hash: string) => hash === expectHead || wanted.has(hash);
    const report = verifyLedger({ file, recorder, bytes }, platform, accounts, isWanted, findings);
    ledgers.set(recorder, report);
    for (const [entries, head] of report.wanted) if (head === expectHead) proven = { recorder, entries, head };
  }
  const found = [...ledgers.values()].flatMap((ledger) => ledger.found);
  for (const head of found) checkFound(head, ledgers, findings);
  const tips = [...ledgers.values()].filter((ledger) => !found.some((one) => one.recorder === ledger.recorder));
  for (const { head, ended } of tips) if (!ended && bucket === undefined) findings.push(open(head));
  const countersigned = compareWithHeads(heads, ledgers, findings);
  if (bucket !== undefined) findings.push(...gaps(tips, countersigned, bucket.nowMs));
  if (ledgers.size === 0) findings.push(finding('LedgerMissing', 'there is no ledger here: nothing tells which sessions there were'));
  const witnessed = bucket !== undefined && tips.every((ledger) => countersigned.has(ledger.recorder));
  if (expectHead === undefined && !witnessed) {
    const message =
      'completeness not proven: without --expect-head, sessions that were removed together with the ledger’s last entries are not missed';
    findings.push({ code: 'CompletenessNotProven', severity: 'warning', message });
  } else if (expectHead !== undefined && proven === null)
    findings.push(finding('LedgerHeadMissing', `no ledger here has the entry ${expectHead}: a ledger was cut, replaced or removed`));
  return { ledgers, accounts, heads: tips.map((ledger) => ledger.head), proven, countersigned, lags: bucket !== undefined, findings };
}

function checkFound(head: LedgerHead, ledgers: ReadonlyMap<string, LedgerReport>, findings: Finding[]): void {
  const there = ledgers.get(head.recorder)?.head;
  const about = { file: ledgerFile(head.recorder), recorder: head.recorder };
  if (there === undefined) findings.push(finding('LedgerMissing', `the ledger of recorder ${head.recorder} is missing`, about));
  else if (there.entries < head.entries)
    findings.push(finding('LedgerCut', `the ledger has ${there.entries} entries of ${head.entries}: its tail was cut`, about));
  else if (there.entries > head.entries)
    findings.push(
      finding(
        'LedgerEntryImpossible',
        `the ledger has ${there.entries} entries, and had ${head.entries} when its recorder was gone`,
        about,
      ),
    );
  else if (there.head !== head.head)
    findings.push(finding('LedgerEntryChanged', 'the last entry is not the one that the next recorder found', about));
}

function open(head: LedgerHead): Finding {
  const message = 'the ledger has no end: its recorder is running, was killed, or the ledger’s tail was cut';
  return {
    code: 'LedgerOpen',
    severity: 'warning',
    message,
    file: ledgerFile(head.recorder),
    recorder: head.recorder,
    entry: head.entries,
  };
}

/** True where every session that this recorder began must have its end in some ledger. */
function isSettled(recorder: string, ledgers: ReadonlyMap<string, LedgerReport>): boolean {
  const asked = new Set<string>();
  for (const queue = [recorder]; queue.length > 0; ) {
    const one = queue.pop() ?? '';
    if (asked.has(one)) continue;
    asked.add(one);
    const finders = [...ledgers.values()].filter((ledger) => ledger.found.some((head) => head.recorder === one));
    if ((one === recorder && ledgers.get(one)?.ended === true) || finders.some((ledger) => ledger.recovered)) return true;
    queue.push(...finders.map((ledger) => ledger.recorder));
  }
  return false;
}

/** Holds what is stored of a session against what the ledgers say of it. */
export function compareWithLedgers(report: SessionReport, { accounts, ledgers, lags }: Ledgers): readonly Finding[] {
  const findings: Finding[] = [];
  const { session } = report.place;
  const say = (code: FindingCode, message: string, more: Partial<Finding> = {}) =>
    findings.push(finding(code, message, { session, ...more }));
  const account = accounts.get(session);
  if (account?.started === null || account === undefined) {
    const recorders = report.segments.map((segment) => segment.recorder);
    // What a signature of the recorder proves is all there is: the ledger was to follow, and its pod died or has not come to it.
    const isAhead = lags && recorders.every((recorder) => recorder !== null && !isSettled(recorder, ledgers));
    const message = isAhead
      ? 'the ledger does not yet say that this session began: it is uploaded next, or its pod died'
      : 'no ledger here says that this session began: it was put here, or the ledger was changed';
    say('SessionNotInLedger', message, { severity: isAhead ? 'warning' : 'error' });
    return findings;
  }
  const { started } = account;
  const settled = account.ended !== null || isSettled(started.recorder, ledgers);
  if (!samePlace(started, report.place)) say('HeaderMisplaced', `the ledger has this session at ${started.date}/${started.namespace}`);
  for (const segment of report.segments) {
    const at = { segment: segment.segment, file: segment.file };
    const told = account.segments.get(segment.segment);
    if (segment.state === 'open') {
      const severity = settled || told !== undefined ? 'error' : 'warning';
      const why = severity === 'error' ? 'though the ledger says that it was sealed' : 'its recorder is running or was killed';
      say('SegmentOpen', `the segment is not sealed: ${why}`, { ...at, severity });
    } else if (told === undefined)
      say('SegmentNotInLedger', 'no ledger says that this segment was sealed', { ...at, severity: settled ? 'error' : 'warning' });
    else if (segment.sha256 !== null && told.sha256 !== segment.sha256)
      say('SegmentChanged', 'the file is not the one that the ledger names', at);
  }
  for (const segment of account.segments.keys()) {
    if (!report.segments.some((one) => one.segment === segment))
      say('SegmentMissing', `segment ${segment} is missing: the ledger says that it was sealed`, { segment });
  }
  if (account.ended === null) {
    if (settled) say('SessionEndMissing', 'the session’s recorder is gone, and no ledger says how the session ended');
    else if (lags) {
      const message = `the session goes on, or its pod died: what came after event ${report.lastSeq ?? '?'} is not here`;
      say('SessionTailMissing', message, { severity: 'warning', ...(report.lastSeq === null ? {} : { seq: report.lastSeq }) });
    }
  } else if (account.ended.segments !== report.segments.length || (report.lastSeq !== null && account.ended.lastSeq !== report.lastSeq))
    say(
      'SessionEndMissing',
      `the ledger says that the session ended with event ${account.ended.lastSeq} in ${account.ended.segments} segments; ${report.lastSeq ?? '?'} in ${report.segments.length} are here`,
    );
  else if (report.lastSeq !== null && report.ended !== account.ended.reason && account.ended.segments > 0)
    say('SessionEndMissing', 'the session’s last event is not the end that the ledger names');
  return findings;
}

/** Sessions that a ledger names and of which nothing is stored. */
export function missingSessions({ accounts, ledgers, lags }: Ledgers, stored: ReadonlySet<string>): readonly Finding[] {
  return [...accounts.values()]
    .filter((account) => !stored.has(account.session) && account.ended?.segments !== 0)
    .map((account) => {
      const { started } = account;
      const begun = started !== null && account.ended === null && account.segments.size === 0;
      if (lags && begun && !isSettled(started.recorder, ledgers)) {
        const message = 'the session began, and nothing of it is here: its first segment is not sealed yet, or its pod died';
        return finding('SessionTailMissing', message, { severity: 'warning', session: account.session });
      }
      const where = started === null ? '' : ` (${started.date}, namespace ${started.namespace})`;
      return finding('SessionMissing', `the ledger has session ${account.session}${where}, and nothing of it is here`, {
        session: account.session,
      });
    });
}

function samePlace(a: SessionPlace, b: SessionPlace): boolean {
  return a.date === b.date && a.cluster === b.cluster && a.namespace === b.namespace;
}

function finding(code: FindingCode, message: string, more: Partial<Finding> = {}): Finding {
  return { code, severity: 'error', message, ...more };
}

/** A session has one folder. A copy of it under another date, cluster or namespace is named with both. */
export function duplicatedSessions(places: readonly SessionPlace[]): readonly Finding[] {
  const first = new Map<string, SessionPlace>();
  const findings: Finding[] = [];
  for (const place of places) {
    const other = first.get(place.session);
    if (other === undefined) first.set(place.session, place);
    else {
      const message = `the session is here twice: ${sessionFolder(other)} and ${sessionFolder(place)}`;
      findings.push(finding('SessionDuplicated', message, { session: place.session }));
    }
  }
  return findings;
}
