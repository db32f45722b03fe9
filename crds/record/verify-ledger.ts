import { concat, linesOf, unhex, utf8 } from './bytes.ts';
import type { Finding, FindingCode, Platform } from './finding.ts';
import {
  LEDGER_DOMAIN,
  type LedgerEntry,
  type LedgerHead,
  NO_HASH,
  type SegmentEntry,
  type SessionEndEntry,
  type SessionStartEntry,
} from './format.ts';
import { parseLedgerEntry, type Signed } from './parse.ts';
import type { StoredBytes } from './verify-segment.ts';

export interface StoredLedger {
  /** Below the `recordings` folder. */
  readonly file: string;
  /** As the path names it. */
  readonly recorder: string;
  read(): Promise<StoredBytes>;
}

export interface ReadLedger {
  readonly file: string;
  readonly recorder: string;
  readonly bytes: StoredBytes;
}

/** One ledger, as far as its entries are what their recorder signed. */
export interface LedgerReport {
  readonly recorder: string;
  readonly head: LedgerHead;
  /** Ledgers that this recorder found at its start. */
  readonly found: readonly LedgerHead[];
  /** It sealed what the ledgers that it found had left open. */
  readonly recovered: boolean;
  readonly ended: boolean;
  /** Of the last entry. */
  readonly lastTime: string | null;
  /** Whose key signed it, and until when the last certificate is valid; null without one that an authority given here proves. */
  readonly owner: LedgerOwner | null;
  /** Hash by entry, of those entries that others may refer to: the wanted heads. */
  readonly wanted: ReadonlyMap<number, string>;
}

export interface LedgerOwner {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly podUid: string;
  readonly notAfter: string;
}

/** What all ledgers together say of one session. */
export interface SessionAccount {
  readonly session: string;
  started: SessionStartEntry | null;
  readonly segments: Map<number, SegmentEntry>;
  ended: SessionEndEntry | null;
}

export interface LedgerSay {
  (code: FindingCode, message: string, more?: { readonly entry?: number; readonly severity?: Finding['severity'] }): void;
}

/**
 * Verifies one ledger by itself and adds what it says of sessions to `accounts`. `isWanted` tells of which hashes the entry should be kept.
 * Entries whose signature is wrong are named and count for nothing. Never throws.
 */
export function verifyLedger(
  stored: ReadLedger,
  platform: Platform,
  accounts: Map<string, SessionAccount>,
  isWanted: (hash: string) => boolean,
  findings: Finding[],
): LedgerReport {
  const { file, recorder, bytes } = stored;
  const say: LedgerSay = (code, message, more = {}) => findings.push({ code, severity: 'error', message, file, recorder, ...more });
  const wanted = new Map<number, string>();
  const head = { recorder, entries: 0, head: NO_HASH };
  let report: LedgerReport = { recorder, head, found: [], recovered: false, ended: false, lastTime: null, owner: null, wanted };
  if (typeof bytes === 'string') {
    say(bytes, 'the ledger can’t be read');
    return report;
  }
  let previous = NO_HASH;
  let entry = 0;
  report = { ...report, owner: certifyLedger(bytes, platform, say) };
  for (const line of linesOf(bytes)) {
    entry += 1;
    if (!line.whole) {
      say('LedgerTorn', 'the last line is torn: the recorder died as it wrote (its next start cuts the line), or the ledger was cut', {
        entry,
      });
      break;
    }
    const hash = platform.sha256(line.bytes);
    const parsed = parseLedgerEntry(line.bytes);
    if (parsed === null) say('LedgerEntryInvalid', `entry ${entry} is not one that a recorder writes`, { entry });
    else if (checkEntry(parsed, recorder, entry, previous, platform, say)) {
      if (report.ended) say('LedgerEntryImpossible', `entry ${entry} stands after the recorder’s end`, { entry });
      report = { ...report, ...told(parsed.value), lastTime: parsed.value.time };
      account(parsed.value, accounts, say);
    }
    if (parsed !== null) entry = parsed.value.entry;
    if (isWanted(hash)) wanted.set(entry, hash);
    previous = hash;
    report = { ...report, head: { recorder, entries: entry, head: hash } };
  }
  return report;
}

/** Before the entries are verified: a ledger begins before it says whose key signs it. A chain needs no other proof than its own. */
function certifyLedger(bytes: Uint8Array, platform: Platform, say: LedgerSay): LedgerOwner | null {
  if (platform.certify === undefined) return null;
  let owner: LedgerOwner | null = null;
  for (const line of linesOf(bytes)) {
    const entry = parseLedgerEntry(line.bytes)?.value;
    if (entry?.type !== 'certificate') continue;
    const certified = platform.certify(entry.certificates, entry.keyId);
    const at = { entry: entry.entry };
    if (certified.type === 'refused') say('CertificateInvalid', `entry ${entry.entry} proves nothing: ${certified.why}`, at);
    else if (certified.owner.type !== 'recorder') say('CertificateInvalid', `entry ${entry.entry} is not of a recorder’s key`, at);
    else if (entry.time < certified.notBefore || entry.time > certified.notAfter)
      say('CertificateInvalid', `entry ${entry.entry} has a certificate that was not valid when it was written`, at);
    else {
      const { namespace, serviceAccount, podUid } = certified.owner;
      owner = { namespace, serviceAccount, podUid, notAfter: certified.notAfter };
    }
  }
  return owner;
}

function told(entry: LedgerEntry): Partial<LedgerReport> {
  switch (entry.type) {
    case 'recorderStart':
      return { found: entry.found };
    case 'recovered':
      return { recovered: true };
    case 'recorderEnd':
      return { ended: true };
    default:
      return {};
  }
}

/** False where the entry is not believed. */
function checkEntry(
  { value, body }: Signed<LedgerEntry>,
  recorder: string,
  expected: number,
  previous: string,
  platform: Platform,
  say: LedgerSay,
): boolean {
  const at = { entry: value.entry };
  const signature = unhex(value.signature);
  if (!platform.hasKey(value.keyId)) {
    say('KeyUnknown', `entry ${value.entry} is signed by a key that was not given: ${value.keyId}`, at);
    return false;
  }
  if (signature === null || !verifies(platform, value.keyId, concat(utf8(LEDGER_DOMAIN), body), signature)) {
    say('LedgerEntryChanged', `entry ${expected} was changed or forged: its signature is wrong`, { entry: expected });
    return false;
  }
  if (value.recorder !== recorder) {
    say('LedgerEntryImpossible', `entry ${value.entry} is of the ledger of recorder ${value.recorder}`, at);
    return false;
  }
  if (value.entry !== expected) say('LedgerChainBroken', `entry ${value.entry} stands where ${expected} is next`, at);
  else if (value.previous !== previous) say('LedgerChainBroken', `entry ${value.entry} does not follow the entry before it`, at);
  if ((value.type === 'recorderStart') !== (value.entry === 1))
    say('LedgerEntryImpossible', 'a ledger begins with the one start of its recorder', at);
  return true;
}

function verifies(platform: Platform, keyId: string, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return platform.verify(keyId, message, signature);
  } catch {
    return false;
  }
}

function account(entry: LedgerEntry, accounts: Map<string, SessionAccount>, say: LedgerSay): void {
  if (entry.type !== 'sessionStart' && entry.type !== 'segment' && entry.type !== 'sessionEnd') return;
  const known = accounts.get(entry.session) ?? { session: entry.session, started: null, segments: new Map(), ended: null };
  accounts.set(entry.session, known);
  const at = { entry: entry.entry };
  const twice = () => say('LedgerEntryImpossible', `entry ${entry.entry} says of session ${entry.session} what was said before`, at);
  switch (entry.type) {
    case 'sessionStart':
      if (known.started !== null) twice();
      else known.started = entry;
      return;
    case 'segment':
      if (known.segments.has(entry.segment)) twice();
      else known.segments.set(entry.segment, entry);
      return;
    case 'sessionEnd':
      if (known.ended !== null) twice();
      else known.ended = entry;
      return;
    default:
      throw entry satisfies never;
  }
}
