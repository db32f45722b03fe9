import { closeSync, fstatSync, ftruncateSync, openSync, readdirSync, readFileSync, readSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { linesOf } from '#crds/record/bytes.ts';
import type { Finding } from '#crds/record/finding.ts';
import { type LedgerHead, ledgerFile, NO_HASH, storedFile } from '#crds/record/format.ts';
import { parseLedgerEntry } from '#crds/record/parse.ts';
import { type SessionAccount, verifyLedger } from '#crds/record/verify-ledger.ts';
import type { Log } from '../pipeline.ts';
import type { RecordingKeys } from './keys.ts';
import { nodePlatform } from './platform.ts';

export interface FoundLedgers {
  /** Ledgers that no other recorder has found, for this one's first entry. */
  readonly heads: readonly LedgerHead[];
  /** What the ledgers say that are not settled. */
  readonly accounts: ReadonlyMap<string, SessionAccount>;
}

/** The greatest first line of a ledger: a start that found very many others. */
const MAX_FIRST_LINE = 4 * 1024 * 1024;
const TAIL_BYTES = 4096;

/**
 * Reads the ledgers of earlier recorders as far as needed: of each its first line, and the whole of those only that did not end.
 * Cuts a torn last line. An entry whose signature is wrong counts for nothing.
 */
export function findLedgers(recordings: string, keys: RecordingKeys, log: Log): FoundLedgers {
  const recorders = ledgersIn(recordings);
  const foundBy = new Map(recorders.map((recorder) => [recorder, firstEntry(join(recordings, ledgerFile(recorder)))]));
  const found = new Set([...foundBy.values()].flat());
  const tips = recorders.filter((recorder) => !found.has(recorder));
  const accounts = new Map<string, SessionAccount>();
  const heads: LedgerHead[] = [];
  const seen = new Set(tips);
  for (const queue = [...tips]; queue.length > 0; ) {
    const recorder = queue.shift() ?? '';
    const file = join(recordings, ledgerFile(recorder));
    const ended = endedHead(file, recorder, keys) ?? readUnended(file, recorder, keys, accounts, log);
    if (tips.includes(recorder)) heads.push(ended.head);
    if (ended.settlesEarlier) continue;
    for (const earlier of foundBy.get(recorder) ?? []) {
      if (recorders.includes(earlier) && !seen.has(earlier)) queue.push(earlier);
      seen.add(earlier);
    }
  }
  return { heads: heads.filter((head) => head.entries > 0), accounts };
}

interface Read {
  readonly head: LedgerHead;
  /** What it found is settled: it ended, or it says that it recovered. */
  readonly settlesEarlier: boolean;
}

function ledgersIn(recordings: string): readonly string[] {
  try {
    return readdirSync(join(recordings, 'ledger'))
      .map((name) => name.replace(/^recorder=/, ''))
      .filter((recorder) => storedFile(ledgerFile(recorder)).type === 'ledger')
      .sort();
  } catch (error: unknown) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function firstEntry(file: string): readonly string[] {
  const first = linesOf(readSlice(file, 'start', MAX_FIRST_LINE)).next();
  const entry = first.done || !first.value.whole ? null : (parseLedgerEntry(first.value.bytes)?.value ?? null);
  return entry?.type === 'recorderStart' ? entry.found.map((head) => head.recorder) : [];
}

/** Null where the ledger's last line is not its recorder's end. */
function endedHead(file: string, recorder: string, keys: RecordingKeys): Read | null {
  const lines = [...linesOf(readSlice(file, 'end', TAIL_BYTES))];
  const last = lines.at(-1);
  const entry = last?.whole ? (parseLedgerEntry(last.bytes)?.value ?? null) : null;
  if (last === undefined || entry?.type !== 'recorderEnd') return null;
  return { head: { recorder, entries: entry.entry, head: nodePlatform(keys.publicKeys).sha256(last.bytes) }, settlesEarlier: true };
}

function readUnended(file: string, recorder: string, keys: RecordingKeys, accounts: Map<string, SessionAccount>, log: Log): Read {
  cutTornLine(file, log);
  const findings: Finding[] = [];
  const stored = { file: ledgerFile(recorder), recorder, bytes: readFileSync(file) };
  if (stored.bytes.length === 0) {
    rmSync(dirname(file), { recursive: true });
    return { head: { recorder, entries: 0, head: NO_HASH }, settlesEarlier: false };
  }
  const { head, recovered } = verifyLedger(stored, nodePlatform(keys.publicKeys), accounts, () => false, findings);
  for (const { code, message, entry } of findings) log.error({ recorder, code, entry }, `an earlier ledger does not verify: ${message}`);
  return { head, settlesEarlier: recovered };
}

function cutTornLine(file: string, log: Log): void {
  const bytes = readFileSync(file);
  const whole = bytes.lastIndexOf(0x0a) + 1;
  if (whole === bytes.length) return;
  const fd = openSync(file, 'r+');
  try {
    ftruncateSync(fd, whole);
  } finally {
    closeSync(fd);
  }
  log.warn({ file, bytes: bytes.length - whole }, 'cut the torn last line of an earlier ledger');
}

function readSlice(file: string, from: 'start' | 'end', maxBytes: number): Buffer {
  const fd = openSync(file, 'r');
  try {
    const { size } = fstatSync(fd);
    const bytes = Buffer.alloc(Math.min(size, maxBytes));
    const read = readSync(fd, bytes, 0, bytes.length, from === 'start' ? 0 : size - bytes.length);
    return bytes.subarray(0, read);
  } finally {
    closeSync(fd);
  }
}
