import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Finding, Platform } from '#crds/record/finding.ts';
import { isHash, type LedgerHead } from '#crds/record/format.ts';
import { compareWithLedgers, duplicatedSessions, missingSessions, verifyLedgers } from '#crds/record/verify-all.ts';
import { verifySession } from '#crds/record/verify-session.ts';
import { nodePlatform, type PublicKeys, readPublicKeys } from '#sidecar/record/platform.ts';
import { messageOf } from './events.ts';
import { openFolder, type RecordingsFolder } from './folder.ts';
import type { VerifyOptions } from './options.ts';
import { painter, printable } from './table.ts';

export interface Verification {
  readonly ok: boolean;
  readonly sessions: number;
  readonly segments: number;
  readonly events: number;
  /** Ledgers that no other recorder found: usually the latest. Keep its hash elsewhere, for `--expect-head`. */
  readonly heads: readonly LedgerHead[];
  /** Up to here nothing is missing; null where that is not proven. */
  readonly completeTo: LedgerHead | null;
  readonly findings: readonly Finding[];
}

/** Verifies all that is stored in a folder. Exit code 0: no error was found. Works offline, on a copy, with the public key alone. */
export async function verifyRecordings(options: VerifyOptions): Promise<number> {
  if (options.expectHead !== undefined && !isHash(options.expectHead)) {
    options.stderr.write('--expect-head takes the 64 hex digits that `sessions verify` prints as the ledger’s head\n');
    return 2;
  }
  try {
    const platform = nodePlatform(readKeys(options));
    const first = look(options, platform);
    const result = first.ok || !mayBeLive(first) ? first : whatBothSee(first, look(options, platform));
    options.stdout.write(options.output === 'json' ? `${JSON.stringify(result, null, 2)}\n` : asText(result, options));
    return result.ok ? 0 : 1;
  } catch (error: unknown) {
    options.stderr.write(`${messageOf(error)}\n`);
    return 2;
  }
}

function readKeys(options: VerifyOptions): PublicKeys {
  const files = options.publicKeys.length > 0 ? options.publicKeys : [ownKey(openFolder(options.dir))];
  return new Map(
    files.flatMap((file) => {
      try {
        return [...readPublicKeys(readFileSync(file, 'utf8'))];
      } catch (error: unknown) {
        throw new Error(`the public key ${file} can’t be read (give it with --public-key): ${messageOf(error)}`);
      }
    }),
  );
}

function ownKey(folder: RecordingsFolder): string {
  return join(dirname(folder.dir), 'keys', 'recording.pub.pem');
}

function look(options: VerifyOptions, platform: Platform): Verification {
  const folder = openFolder(options.dir);
  const ledgers = verifyLedgers(folder.ledgers, platform, options.expectHead);
  const places = folder.sessions.map((session) => session.place);
  const isWanted = (session: string | undefined) => options.session === undefined || session?.startsWith(options.session) === true;
  const wanted = folder.sessions.filter(({ place }) => isWanted(place.session));
  const findings: Finding[] = [...ledgers.findings, ...unknownFiles(folder), ...duplicatedSessions(places)];
  let segments = 0;
  let events = 0;
  for (const session of wanted) {
    const report = verifySession(session.place, session.segments, platform);
    findings.push(...report.findings, ...compareWithLedgers(report, ledgers));
    segments += report.segments.length;
    events += report.segments.reduce((sum, segment) => sum + segment.events, 0);
  }
  const missing = missingSessions(ledgers, new Set(places.map((place) => place.session)));
  findings.push(...missing.filter((one) => isWanted(one.session)));
  if (wanted.length === 0 && options.session !== undefined && ![...ledgers.accounts.keys()].some(isWanted))
    findings.push({ code: 'SessionMissing', severity: 'error', message: `there is no session ${options.session}, and no ledger has it` });
  const ok = !findings.some((finding) => finding.severity === 'error');
  return { ok, sessions: wanted.length, segments, events, heads: ledgers.heads, completeTo: ledgers.proven, findings };
}

function mayBeLive(result: Verification): boolean {
  return result.findings.some((finding) => finding.code === 'LedgerOpen' || finding.code === 'LedgerTorn');
}

/** A live recorder writes on while it is verified: files are sealed after they were listed. What is really wrong stays so, and a second look sees it, too. */
function whatBothSee(first: Verification, second: Verification): Verification {
  const seen = new Set(first.findings.map((finding) => JSON.stringify(finding)));
  const findings = second.findings.filter((finding) => finding.severity === 'warning' || seen.has(JSON.stringify(finding)));
  return { ...second, ok: !findings.some((finding) => finding.severity === 'error'), findings };
}

function unknownFiles(folder: RecordingsFolder): readonly Finding[] {
  return folder.unknown.map((file) => ({ code: 'UnknownFile', severity: 'error', message: 'no recorder writes such a file here', file }));
}

function asText(result: Verification, options: VerifyOptions): string {
  const paint = painter(options.color);
  const lines = result.findings
    .filter((finding) => finding.code !== 'CompletenessNotProven')
    .map((finding) => `${paint(finding.severity === 'error' ? 'red' : 'yellow', finding.severity.toUpperCase())} ${describe(finding)}`);
  const counts = `${result.sessions} sessions, ${result.segments} segments, ${result.events} events`;
  lines.push(result.ok ? `${paint('green', 'VERIFIED')} ${counts}` : `${paint('red', 'NOT VERIFIED')} ${counts}`);
  for (const head of result.heads) lines.push(`head ${head.head} (entry ${head.entries} of recorder ${head.recorder})`);
  lines.push(completeness(result));
  return lines.map((line) => `${line}\n`).join('');
}

function completeness({ completeTo, heads, ok }: Verification): string {
  if (completeTo === null) return 'completeness not proven: give --expect-head with a head that was kept elsewhere';
  if (!ok) return 'the expected head is there, but what it stands for does not verify';
  const latest = heads.some((head) => head.head === completeTo.head);
  return latest
    ? 'complete: the expected head is the latest'
    : `complete up to the expected head (entry ${completeTo.entries} of recorder ${completeTo.recorder})`;
}

function describe(finding: Finding): string {
  const where = [
    finding.session === undefined ? null : `session ${finding.session}`,
    finding.segment === undefined ? null : `segment ${finding.segment}`,
    finding.seq === undefined ? null : `event ${finding.seq}`,
    finding.recorder === undefined ? null : `ledger of ${finding.recorder}`,
    finding.entry === undefined ? null : `entry ${finding.entry}`,
    finding.file === undefined || finding.session !== undefined || finding.recorder !== undefined ? null : printable(finding.file),
  ].filter((part) => part !== null);
  return `${finding.code}${where.length > 0 ? ` (${where.join(', ')})` : ''}: ${printable(finding.message)}`;
}
