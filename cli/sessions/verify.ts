import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Finding, Platform } from '#crds/record/finding.ts';
import { isHash, type LedgerHead } from '#crds/record/format.ts';
import { compareWithLedgers, duplicatedSessions, missingSessions, verifyLedgers } from '#crds/record/verify-all.ts';
import { verifySession } from '#crds/record/verify-session.ts';
import { readCertificates } from '#sidecar/record/certify.ts';
import { nodePlatform, type PublicKeys, readPublicKeys } from '#sidecar/record/platform.ts';
import { messageOf } from './events.ts';
import { openFolder } from './folder.ts';
import { inOrder } from './in-order.ts';
import { openStored, type VerifyOptions } from './options.ts';
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
  /** Of a bucket: up to where each recorder's ledger is countersigned by the operator, and so complete. */
  readonly countersigned: readonly (LedgerHead & { readonly time: string; readonly pod: string })[];
  readonly findings: readonly Finding[];
}

/** Verifies all that is stored in a folder. Exit code 0: no error was found. Works offline, on a copy, with the public key alone. */
export async function verifyRecordings(options: VerifyOptions): Promise<number> {
  if (options.expectHead !== undefined && !isHash(options.expectHead)) {
    options.stderr.write('--expect-head takes the 64 hex digits that `sessions verify` prints as the ledger’s head\n');
    return 2;
  }
  try {
    const platform = platformOf(options);
    const first = await look(options, platform);
    const result = first.ok || !mayBeLive(first) ? first : whatBothSee(first, await look(options, platform));
    options.stdout.write(options.output === 'json' ? `${JSON.stringify(result, null, 2)}\n` : asText(result, options));
    return result.ok ? 0 : 1;
  } catch (error: unknown) {
    options.stderr.write(`${messageOf(error)}\n`);
    return 2;
  }
}

function platformOf(options: VerifyOptions): Platform {
  const { authorities = [], publicKeys, bucket } = options;
  if (authorities.length === 0)
    return nodePlatform(readKeys(publicKeys.length > 0 || bucket !== undefined ? publicKeys : [ownKey(options.dir)]));
  const certificates = authorities.flatMap((file) => readWith(file, '--ca', 'the authority', readCertificates));
  return nodePlatform(readKeys(publicKeys), certificates);
}

function readKeys(files: readonly string[]): PublicKeys {
  return new Map(files.flatMap((file) => [...readWith(file, '--public-key', 'the public key', readPublicKeys)]));
}

function readWith<T>(file: string, option: string, what: string, read: (pem: string) => T): T {
  try {
    return read(readFileSync(file, 'utf8'));
  } catch (error: unknown) {
    throw new Error(`${what} ${file} can’t be read (give it with ${option}): ${messageOf(error)}`);
  }
}

function ownKey(dir: string): string {
  return join(dirname(openFolder(dir).where), 'keys', 'recording.pub.pem');
}

const SESSIONS_AT_ONCE = 8;

async function look(options: VerifyOptions, platform: Platform): Promise<Verification> {
  const folder = await openStored(options);
  const ledgers = await verifyLedgers(folder.ledgers, platform, {
    ...(options.expectHead === undefined ? {} : { expectHead: options.expectHead }),
    ...(folder.isBucket ? { bucket: { heads: folder.heads, nowMs: Date.now() } } : {}),
  });
  const places = folder.sessions.map((session) => session.place);
  const isWanted = (session: string | undefined) => options.session === undefined || session?.startsWith(options.session) === true;
  const wanted = folder.sessions.filter(({ place }) => isWanted(place.session));
  const findings: Finding[] = [...ledgers.findings, ...folder.findings, ...duplicatedSessions(places)];
  let segments = 0;
  let events = 0;
  const verifyOne = (session: (typeof wanted)[number]) => verifySession(session.place, session.segments, platform);
  for (const report of await inOrder(wanted, folder.isBucket ? SESSIONS_AT_ONCE : 1, verifyOne)) {
    findings.push(...report.findings, ...compareWithLedgers(report, ledgers));
    segments += report.segments.length;
    events += report.segments.reduce((sum, segment) => sum + segment.events, 0);
  }
  const missing = missingSessions(ledgers, new Set(places.map((place) => place.session)));
  findings.push(...missing.filter((one) => isWanted(one.session)));
  if (wanted.length === 0 && options.session !== undefined && ![...ledgers.accounts.keys()].some(isWanted))
    findings.push({ code: 'SessionMissing', severity: 'error', message: `there is no session ${options.session}, and no ledger has it` });
  const ok = !findings.some((finding) => finding.severity === 'error');
  const countersigned = [...ledgers.countersigned.values()].map(({ recorder, entries, head, time, namespace, pod }) => {
    return { recorder, entries, head, time, pod: `${namespace}/${pod}` };
  });
  return { ok, sessions: wanted.length, segments, events, heads: ledgers.heads, completeTo: ledgers.proven, countersigned, findings };
}

function mayBeLive(result: Verification): boolean {
  return result.findings.some((finding) => ['LedgerOpen', 'LedgerTorn', 'RecorderGap'].includes(finding.code));
}

/** A live recorder writes on while it is verified: files are sealed after they were listed. What is really wrong stays so, and a second look sees it, too. */
function whatBothSee(first: Verification, second: Verification): Verification {
  const seen = new Set(first.findings.map((finding) => JSON.stringify(finding)));
  const findings = second.findings.filter((finding) => finding.severity === 'warning' || seen.has(JSON.stringify(finding)));
  return { ...second, ok: !findings.some((finding) => finding.severity === 'error'), findings };
}

function asText(result: Verification, options: VerifyOptions): string {
  const paint = painter(options.color);
  const lines = result.findings
    .filter((finding) => finding.code !== 'CompletenessNotProven')
    .map((finding) => `${paint(finding.severity === 'error' ? 'red' : 'yellow', finding.severity.toUpperCase())} ${describe(finding)}`);
  const counts = `${result.sessions} sessions, ${result.segments} segments, ${result.events} events`;
  lines.push(result.ok ? `${paint('green', 'VERIFIED')} ${counts}` : `${paint('red', 'NOT VERIFIED')} ${counts}`);
  for (const one of result.countersigned)
    lines.push(`countersigned ${one.time}: entry ${one.entries} of recorder ${one.recorder}, pod ${printable(one.pod)}`);
  for (const head of result.heads) lines.push(`head ${head.head} (entry ${head.entries} of recorder ${head.recorder})`);
  lines.push(completeness(result));
  return lines.map((line) => `${line}\n`).join('');
}

function completeness({ completeTo, countersigned, heads, ok }: Verification): string {
  const unseen = heads.filter((head) => !countersigned.some((one) => one.recorder === head.recorder)).length;
  if (completeTo === null && countersigned.length > 0) {
    const others = unseen === 0 ? '' : `; not proven for ${unseen} of them`;
    return ok
      ? `complete up to what the operator countersigned of each recorder${others}`
      : 'what the operator countersigned does not verify';
  }
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
