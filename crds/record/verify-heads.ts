import { concat, unhex, utf8 } from './bytes.ts';
import type { Finding, Platform } from './finding.ts';
import { HEAD_DOMAIN, type HeadStatement, headFile, type LedgerHead, ledgerFile, NO_HASH } from './format.ts';
import { parseHead } from './parse.ts';
import type { LedgerReport } from './verify-ledger.ts';
import type { StoredBytes } from './verify-segment.ts';

export interface StoredHead {
  readonly file: string;
  /** As the path names them. */
  readonly recorder: string;
  readonly entries: number;
  read(): Promise<StoredBytes>;
}

const READS_AT_ONCE = 16;

/** The heads that the operator signed, in their order. Without an authority none can be believed, and none is read. Never rejects. */
export async function readHeads(stored: readonly StoredHead[], platform: Platform, findings: Finding[]): Promise<readonly HeadStatement[]> {
  if (platform.certify === undefined) return [];
  const heads: HeadStatement[] = [];
  for (let at = 0; at < stored.length; at += READS_AT_ONCE) {
    const some = stored.slice(at, at + READS_AT_ONCE);
    const read = await Promise.all(some.map((head) => head.read()));
    for (const [index, head] of some.entries()) {
      const bytes = read[index] ?? 'Unreadable';
      const checked = typeof bytes === 'string' ? 'it can’t be read' : checkHead(head, bytes, platform);
      if (typeof checked !== 'string') heads.push(checked);
      else
        findings.push({
          code: 'HeadInvalid',
          severity: 'error',
          message: `the countersigned head counts for nothing: ${checked}`,
          ...about(head),
        });
    }
  }
  return heads.sort((a, b) => a.entries - b.entries);
}

/** The statement, or what is wrong. */
function checkHead({ recorder, entries }: StoredHead, bytes: Uint8Array, platform: Platform): HeadStatement | string {
  const parsed = parseHead(bytes);
  if (parsed === null) return 'it is not one that an operator writes';
  const { value, body } = parsed;
  if (value.recorder !== recorder || value.entries !== entries) return `it is of entry ${value.entries} of recorder ${value.recorder}`;
  if (value.entries === 0 && value.head !== NO_HASH) return 'it has a hash, and no entry';
  const certified = platform.certify?.(value.certificates, value.keyId) ?? { type: 'refused', why: 'no authority was given' };
  if (certified.type === 'refused') return certified.why;
  if (certified.owner.type !== 'authority') return 'its certificate is not that of an operator';
  if (value.time < certified.notBefore || value.time > certified.notAfter) return 'its certificate was not valid when it was signed';
  const signature = unhex(value.signature);
  return signature !== null && certified.verify(concat(utf8(HEAD_DOMAIN), body), signature) ? value : 'its signature is wrong';
}

/** Each head must be in its ledger. Returns the latest that is, by recorder. */
export function compareWithHeads(
  heads: readonly HeadStatement[],
  ledgers: ReadonlyMap<string, LedgerReport>,
  findings: Finding[],
): ReadonlyMap<string, HeadStatement> {
  const latest = new Map<string, HeadStatement>();
  for (const head of heads) {
    const ledger = ledgers.get(head.recorder);
    const problem = ledger === undefined ? withoutLedger(head) : inLedger(head, ledger);
    if (problem !== null) findings.push(problem);
    else if (ledger !== undefined) latest.set(head.recorder, head);
  }
  return latest;
}

function withoutLedger(head: HeadStatement): Finding | null {
  const at = about(head);
  if (head.entries > 0)
    return {
      code: 'LedgerMissing',
      severity: 'error',
      message: `the operator saw ${head.entries} entries of a ledger that is not here`,
      ...at,
    };
  const message = `recorder of pod ${head.namespace}/${head.pod} began at ${head.time}, and nothing of its ledger is here: it is uploaded next, or the pod died`;
  return { code: 'RecorderGap', severity: 'warning', message, ...at };
}

function inLedger(head: HeadStatement, ledger: LedgerReport): Finding | null {
  const at = { ...about(head), file: ledgerFile(head.recorder) };
  if (ledger.owner !== null && ledger.owner.podUid !== head.podUid) {
    const message = `the operator signed for pod ${head.podUid}, and the ledger’s key is of pod ${ledger.owner.podUid}`;
    return { code: 'HeadNotInLedger', severity: 'error', message, ...at };
  }
  if (head.entries === 0 || ledger.wanted.get(head.entries) === head.head) return null;
  if (ledger.head.entries < head.entries) {
    const message = `the ledger has ${ledger.head.entries} entries, and the operator saw ${head.entries}: its tail was cut`;
    return { code: 'LedgerCut', severity: 'error', message, ...at };
  }
  return { code: 'HeadNotInLedger', severity: 'error', message: `entry ${head.entries} is not the one that the operator saw`, ...at };
}

/** What ends without an end: a recorder that runs, or one that died with its pod. Only what came later can tell the two apart. */
export function gaps(tips: readonly LedgerReport[], countersigned: ReadonlyMap<string, HeadStatement>, nowMs: number): readonly Finding[] {
  return tips
    .filter((ledger) => !ledger.ended)
    .map((ledger): Finding => {
      const { recorder, head, lastTime, owner } = ledger;
      const seen = countersigned.get(recorder);
      const pod = seen === undefined ? '' : ` of pod ${seen.namespace}/${seen.pod}`;
      const gone = owner !== null && Date.parse(owner.notAfter) < nowMs;
      const why = gone ? 'its certificate has ended: it is gone' : 'it runs, or its pod died';
      const message = `recorder${pod} has no end after entry ${head.entries} (${lastTime ?? 'no time'}): ${why}, and what it recorded later is not here`;
      return { code: 'RecorderGap', severity: 'warning', message, file: ledgerFile(recorder), recorder, entry: head.entries };
    });
}

function about(head: Pick<LedgerHead, 'recorder' | 'entries'>): Pick<Finding, 'file' | 'recorder' | 'entry'> {
  return { file: headFile(head.recorder, head.entries), recorder: head.recorder, entry: head.entries };
}
