import { createHash, hash } from 'node:crypto';
import type { SqlAction, SqlStatement } from '#crds/policy/action.ts';
import { canonicalJson } from '#crds/policy/json.ts';
import type { Verdict } from '#crds/policy/verdict.ts';
import type { RecordedAction } from '#crds/record/event.ts';
import { decide, decideToAsk, decideToParse, denialOf } from '../../decide/decide.ts';
import type { Analysis } from '../../mask/postgres/analyse.ts';
import type { Denial, Permit, Recorded } from '../../permit.ts';
import type { Outcome } from '../../pipeline.ts';
import type { ErrorFields } from '../../wire/postgres/messages/error_notice.ts';
import { encodeParse } from '../../wire/postgres/messages/parse.ts';
import { syntaxErrorFields } from '../../wire/postgres/sql/syntax-error.ts';
import { holdUntilDecided } from '../hold.ts';
import { ASKED, type ServersWords } from './deny.ts';
import { denialFields, heldNotice } from './reply.ts';
import type { PgSession } from './session.ts';
import { sqlstateOf } from './steps.ts';

/** The approver sees all of a statement, or is not asked. */
const SUMMARY_BYTES = 16 * 1024;

/** Of a statement in the line for the person who watches. */
const LINE_CHARS = 400;

export interface Request {
  readonly step: 'Query' | 'Parse' | 'Execute';
  readonly text: string;
  /** SHA-256 of the text, hex. */
  readonly digest: string;
  readonly analysis: Analysis;
  /** The frame that goes to the server if the statement is allowed. */
  readonly bytes: Buffer;
  readonly parameters?: readonly (Buffer | null)[];
  readonly parameterFormats?: readonly number[];
  readonly parameterTypes?: readonly number[];
}

/** `dropped`: it was held, and meanwhile an earlier statement of its pipeline failed, or the session ended; nobody waits for an answer. */
export type Judged = { readonly type: 'send'; readonly recorded: Recorded } | Denied | { readonly type: 'dropped' };

export interface Denied extends ServersWords {
  readonly type: 'deny';
  readonly denial: Denial;
  readonly fields: ErrorFields;
}

/** Judges one statement, records the verdict, and waits where it is held. Synchronous where it needs not wait. */
export function judgeStatement(session: PgSession, request: Request): Judged | Promise<Judged> {
  const { context, principals } = session.parts;
  const nowMs = context.now();
  const policy = session.policy;
  const over = policy === null ? null : session.meter.action(policy.limits(principals), nowMs);
  const action: SqlAction = {
    type: 'sql',
    database: session.parts.database,
    user: session.parts.requestedUser,
    statements: request.analysis.statements,
  };
  const input = { principals, action, nowMs, assurance: session.assured.now(session) };
  const outcome = over === null ? own(session, request, input) : limitExceeded(over);
  switch (outcome.type) {
    case 'permit':
      return record(session, request, outcome.permit);
    case 'denial':
      return { ...refuse(session, request, outcome.denial), ...inServersWords(session, request, input) };
    case 'hold':
      return hold(session, request, action, outcome.verdict);
    default:
      throw outcome satisfies never;
  }
}

/** Not of what a rule denies. */
function inServersWords(session: PgSession, request: Request, input: Parameters<typeof decide>[2]): Partial<Denied> {
  const { refusal, statements } = request.analysis;
  if (refusal === null || request.step === 'Execute') return {};
  if (refusal.syntaxError !== undefined) {
    const outcome = decide(session.policy, session.why, input, request.bytes);
    // What a rule forbids whatever it is stays a denial: the server's grammar may be another.
    if (outcome.type === 'denial' && outcome.denial.verdict.code === 'DeniedByRule') return {};
    return { fields: syntaxErrorFields(refusal.syntaxError), placedByServer: true };
  }
  if (refusal.unknownName !== true || statements.length !== 1) return {};
  const bytes = encodeParse({ statement: ASKED, text: request.text, parameterTypes: request.parameterTypes ?? [] });
  const permit = decideToAsk(session.policy, session.why, input, bytes);
  return permit === null ? {} : { ask: session.parts.recorder.permit(permit, recordedAction(session, request)) };
}

function limitExceeded(limit: string): Outcome {
  return { type: 'denial', denial: denialOf(limit, 'LimitExceeded', `the session's limit ${limit} is exceeded`) };
}

/** Policy first, then what Chaperone itself can't do: a denial by a rule is the better answer where both refuse. */
function own(session: PgSession, request: Request, input: Parameters<typeof decide>[2]): Outcome {
  const { analysis } = request;
  if (analysis.refusal?.code === 'Unparsable') return refusalOf(analysis.refusal);
  const judge = request.step === 'Parse' ? decideToParse : decide;
  const outcome = judge(session.policy, session.why, input, request.bytes);
  return outcome.type !== 'denial' && analysis.refusal !== null ? refusalOf(analysis.refusal) : outcome;
}

function refusalOf(refusal: NonNullable<Analysis['refusal']>): Outcome {
  return { type: 'denial', denial: denialOf('analysis', refusal.code, refusal.message) };
}

function record(session: PgSession, request: Request, permit: Permit): Judged | Promise<Judged> {
  const { recorder, resource } = session.parts;
  const action = recordedAction(session, request);
  const recorded = recorder.permit(permit, action);
  if (request.step !== 'Parse') tellLater(session, action.received, permit.verdict);
  const judged: Judged = { type: 'send', recorded };
  return resource.recording.fsync === 'Always' ? recorder.durable().then(() => judged) : judged;
}

export function refuse(session: PgSession, request: Request, denial: Denial): Denied {
  const action = recordedAction(session, request);
  session.parts.recorder.deny(denial, action);
  tellLater(session, action.received, denial.verdict);
  return { type: 'deny', denial, fields: denialFields(denial.verdict, sqlstateOf(denial.verdict.code)) };
}

async function hold(session: PgSession, request: Request, action: SqlAction, verdict: Verdict): Promise<Judged> {
  const { context, recorder, connection, principals } = session.parts;
  const recorded = recordedAction(session, request);
  recorder.event({
    type: 'action',
    phase: 'first',
    action: recorded,
    decision: 'Hold',
    code: verdict.code,
    message: verdict.message,
    authors: verdict.authors,
    ...(verdict.audit.length > 0 && { audit: verdict.audit }),
    snapshot: context.policy.version,
  });
  // Who is to decide is told at once, and after what came before.
  session.later.run();
  tell(session, recorded.received, verdict);
  const summary = summaryOf(recorded, request.analysis.statements.length);
  if (Buffer.byteLength(summary) > SUMMARY_BYTES) {
    const text = `the statement and its parameters are longer than the ${SUMMARY_BYTES} bytes that an approver can be shown`;
    return refuse(session, request, denialOf('approval', 'LimitExceeded', text, verdict));
  }
  const abort = new AbortController();
  session.held = abort;
  // What was sent before must reach the server, and what it answered the client, while this waits.
  session.toServer.flush();
  const released = await holdUntilDecided(
    {
      context,
      recorder,
      resource: connection.resource,
      input: {
        principals,
        action,
        // As it is when it is asked for: privileges may change while a statement is held.
        get assurance() {
          return session.assured.now(session);
        },
      },
      bytes: request.bytes,
      summary,
      binding: (asked) => bindingOf(session, request, asked),
      signal: abort.signal,
      onRaised: (name, expiresAtMs, asked) => {
        const seconds = Math.max(0, Math.round((expiresAtMs - context.now()) / 1000));
        session.notice(heldNotice(name, asked, seconds));
      },
    },
    verdict,
  );
  session.held = null;
  if (session.ended || session.skipping !== 'no') {
    if (!session.ended && released.type === 'denial') recorder.deny(released.denial, recordedAction(session, request));
    return { type: 'dropped' };
  }
  if (released.type === 'denial') return refuse(session, request, released.denial);
  return sameNow(session, request)
    ? record(session, request, released.permit)
    : refuse(session, request, denialOf('hold', 'PolicyChanged', 'masks, catalog or policy changed while the statement was held', verdict));
}

/** A mask or a relation that came while it was held makes it another statement than the one that was approved. */
function sameNow(session: PgSession, { analysis, text }: Request): boolean {
  const now = session.analyse(text);
  if (now === analysis || now.basis === analysis.basis) return true;
  return now.refusal === null && now.sent === analysis.sent && canonicalJson(now.statements) === canonicalJson(analysis.statements);
}

/** What an approval is bound to: bytes, parameters, role, search_path, resource, and the policies and gates that asked. */
function bindingOf(session: PgSession, request: Request, asked: string): string {
  const parameters = createHash('sha256');
  for (const [index, value] of (request.parameters ?? []).entries()) {
    parameters.update(`${request.parameterFormats?.[index] ?? 0}:${value === null ? 'null' : value.length}:`);
    if (value !== null) parameters.update(value);
  }
  const bound = {
    resource: session.parts.connection.resource,
    database: session.parts.database,
    user: session.state.user,
    searchPath: session.state.searchPath,
    text: request.digest,
    sent: hash('sha256', request.bytes),
    parameters: parameters.digest('hex'),
    asked,
  };
  return hash('sha256', canonicalJson(bound));
}

type SqlRecorded = RecordedAction & { readonly type: 'sql' };

function recordedAction(session: PgSession, request: Request): SqlRecorded {
  const { analysis, text, step, digest } = request;
  const received = session.recordedText(analysis.recorded(session.tokenise));
  const tokenised = analysis.touchesMasked || analysis.passwords;
  const kinds = kindsOf(analysis);
  const sent = analysis.sent === text ? undefined : session.recordedText(analysis.recordedSent(session.tokenise));
  const parameters = request.parameters === undefined || request.parameters.length === 0 ? undefined : recordedParameters(session, request);
  // Most statements have neither of the two, and there are many of them.
  if (sent === undefined && parameters === undefined) return { type: 'sql', step, received, digest, tokenised, kinds };
  return {
    type: 'sql',
    step,
    received,
    ...(sent !== undefined && { sent }),
    digest,
    tokenised,
    kinds,
    ...(parameters !== undefined && { parameters }),
  };
}

function recordedParameters(session: PgSession, request: Request): (string | null)[] {
  const secret = request.analysis.touchesMasked || request.analysis.passwords;
  return (request.parameters ?? []).map((value, index) => {
    if (value === null) return null;
    if (secret) return session.parts.recorder.tokenise(value);
    if (request.parameterFormats?.[index] === 1) return `\\x${value.toString('hex')}`;
    return session.recordedText(value.toString('utf8'));
  });
}

/** Statements that differ in literals alone share one list. */
const kindsOfAll = new WeakMap<readonly SqlStatement[], readonly string[]>();

function kindsOf({ statements }: Analysis): readonly string[] {
  const known = kindsOfAll.get(statements);
  if (known !== undefined) return known;
  const kinds = [...new Set(statements.flatMap((statement) => statement.kinds))];
  kindsOfAll.set(statements, kinds);
  return kinds;
}

/** All of it: an approver must not be shown the harmless half of what they approve. */
function summaryOf(action: SqlRecorded, statements: number): string {
  const several = statements > 1 ? `${statements} statements (${action.kinds.join(', ')}): ` : '';
  const parameters = action.parameters === undefined ? '' : `parameters: ${action.parameters.map((p) => p ?? 'NULL').join(', ')}\n`;
  return `${parameters}${several}${action.received}`;
}

/** When its bytes are on their way. */
function tellLater(session: PgSession, received: string, verdict: Verdict): void {
  session.later.add(() => tell(session, received, verdict));
}

/** `received` is the recording's text: tokenised where it has to be. */
function tell(session: PgSession, received: string, verdict: Verdict): void {
  const { context, connection, recorder, principals } = session.parts;
  context.onVerdict({
    time: context.now(),
    session: recorder.session,
    resource: connection.resource,
    who: principals.at(-1)?.subject ?? 'unknown',
    verdict,
    summary: received.length > LINE_CHARS ? received.slice(0, LINE_CHARS) : received,
  });
}

/** A message that is refused without being a statement. */
export function recordRefusal(session: PgSession, message: string, denial: Denial): void {
  session.parts.recorder.deny(denial, { type: 'protocol', message });
  tellLater(session, message, denial.verdict);
}
