import { denialOf } from '../../decide/decide.ts';
import type { Analysis } from '../../mask/postgres/analyse.ts';
import type { Denial } from '../../permit.ts';
import { sha256Hex } from '../../system/sha256.ts';
import type { Frame } from '../../wire/postgres/frame.ts';
import { encodeCopyFail } from '../../wire/postgres/messages/copy.ts';
import { decodeEmpty } from '../../wire/postgres/messages/empty.ts';
import { decodeQuery, encodeQuery } from '../../wire/postgres/messages/query.ts';
import { encodeReadyForQuery } from '../../wire/postgres/messages/ready_for_query.ts';
import { FRONTEND } from '../../wire/postgres/types.ts';
import { denyExtended, denySimple } from './deny.ts';
import { onBind, onClose, onDescribe, onExecute, onParse } from './extended.ts';
import { runGuardedQuery } from './guard.ts';
import { type Judged, judgeStatement, recordRefusal } from './judge.ts';
import { lookAgain } from './look-again.ts';
import { DENIED, denialFields } from './reply.ts';
import { Run } from './run.ts';
import type { PgSession } from './session.ts';
import { refreshState } from './state.ts';
import { copyBarrier, copyOf, namesUnknown, noteState, runsCode, sqlstateOf, tooManyNames } from './steps.ts';

/**
 * One message of the client. Synchronous where nothing has to be waited for; the pump takes no further message until a promise settles.
 * A WireError that it throws ends the session.
 */
export function onFrontend(session: PgSession, frame: Frame): void | Promise<void> {
  session.meter.touch(session.parts.context.now());
  // Before anything counts on it: the server refuses it when it has it, and its answer would be another than the one that is waited for.
  if (EMPTY.has(frame.type)) decodeEmpty(frame.buffer, frame.start, frame.end);
  if (frame.type === FRONTEND.Terminate) return terminate(session);
  if (session.copyRun !== null) return onCopy(session, frame);
  if (session.skipping !== 'no' && frame.type !== FRONTEND.Sync) return;
  if (UP_TO_SYNC.has(frame.type)) {
    const many = session.use.tooManyMessages();
    if (many !== null) return refusePipeline(session, many);
  }
  switch (frame.type) {
    case FRONTEND.Query:
      return onQuery(session, frame);
    case FRONTEND.Parse:
      return onParse(session, frame);
    case FRONTEND.Bind:
      return onBind(session, frame);
    case FRONTEND.Describe:
      return onDescribe(session, frame);
    case FRONTEND.Execute:
      return onExecute(session, frame);
    case FRONTEND.Close:
      return onClose(session, frame);
    case FRONTEND.Sync:
      return onSync(session, frame);
    case FRONTEND.Flush:
      if (session.segmentSent) session.sendFollowing(copyOf(frame));
      return;
    case FRONTEND.CopyData:
    case FRONTEND.CopyDone:
    case FRONTEND.CopyFail:
      // Outside of COPY the server ignores them (a COPY that failed early); they are not passed on.
      return;
    case FRONTEND.FunctionCall:
      return onFunctionCall(session);
    default:
      session.fatal('08P01', 'a message that is not understood', 'error');
  }
}

const UP_TO_SYNC: ReadonlySet<number> = new Set([
  FRONTEND.Parse,
  FRONTEND.Bind,
  FRONTEND.Describe,
  FRONTEND.Execute,
  FRONTEND.Close,
  FRONTEND.Flush,
]);

function refusePipeline(session: PgSession, denial: Denial): void {
  recordRefusal(session, 'pipeline', denial);
  denyExtended(session, denialFields(denial.verdict, sqlstateOf(denial.verdict.code)));
}

const EMPTY: ReadonlySet<number> = new Set([FRONTEND.Sync, FRONTEND.Flush, FRONTEND.Terminate, FRONTEND.CopyDone]);

function terminate(session: PgSession): void {
  session.toServer.add(Buffer.from([FRONTEND.Terminate, 0, 0, 0, 4]));
  session.toServer.flush();
  session.end('client');
}

function onQuery(session: PgSession, frame: Frame): void | Promise<void> {
  const { text } = decodeQuery(frame.buffer, frame.start, frame.end);
  if (session.namesReady) return judgeQuery(session, text, frame);
  return refreshState(session).then(() => {
    if (session.ended || session.skipping !== 'no') return;
    return session.namesUnknown ? refuseQuery(session, namesUnknown()) : judgeQuery(session, text, frame);
  });
}

/** A chunk that is one Query whose analysis is known, where one may be taken now; `send` is called when it may leave. Null: nothing was done. */
export function onKnownQuery(session: PgSession, chunk: Buffer, send: () => void): { readonly wait: void | Promise<void> } | null {
  if (session.copyRun !== null || session.skipping !== 'no' || session.held !== null || session.ended) return null;
  const analysis = session.shapes.find(session, chunk);
  if (analysis === null) return null;
  session.meter.touch(session.parts.context.now());
  // The chunk may be lent, and what is held is sent later.
  return { wait: judgeAnalysed(session, analysis, Buffer.from(chunk), send) };
}

function judgeQuery(session: PgSession, text: string, frame: Frame): void | Promise<void> {
  const analysis = session.analyse(text);
  const again = lookAgain(session, analysis);
  if (again !== null) {
    return again.then(() => {
      if (session.ended || session.skipping !== 'no') return;
      return session.namesUnknown ? refuseQuery(session, namesUnknown()) : judgeAnalysed(session, session.analyse(text), copyOf(frame));
    });
  }
  session.shapes.learn(session, analysis);
  return judgeAnalysed(session, analysis, copyOf(frame));
}

function judgeAnalysed(session: PgSession, analysis: Analysis, received: Buffer, send?: () => void): void | Promise<void> {
  const { sql: text } = analysis;
  const refused = mixesState(session, analysis) ?? tooManyNames(session, analysis);
  if (refused !== null) return refuseQuery(session, refused);
  const bytes = analysis.sent === text ? received : encodeQuery(analysis.sent);
  const request = { step: 'Query', text, digest: sha256Hex(text), analysis, bytes } as const;
  const judged = judgeStatement(session, request);
  const proceed = (result: Judged): void | Promise<void> => {
    if (result.type === 'dropped') return;
    if (result.type === 'deny') return denySimple(session, result.fields, result);
    const newRun = () => new Run(result.recorded, analysis, session.runHost, session.parts.context.now());
    const { guard } = result.recorded.permit.verdict;
    // In a failed transaction nothing but its end runs.
    if (guard !== undefined && session.tx !== 'E') return runGuardedQuery(session, request, newRun(), guard);
    session.sendPermitted(result.recorded);
    send?.();
    const run = newRun();
    session.queue.push({ type: 'query', segment: session.segment, run });
    session.nextSegment();
    session.names.dropUnnamed();
    noteState(session, run);
    return analysis.effects.copyIn ? copyBarrier(session, run) : undefined;
  };
  return judged instanceof Promise ? judged.then(proceed) : proceed(judged);
}

function refuseQuery(session: PgSession, denial: Denial): void {
  recordRefusal(session, 'Query', denial);
  denySimple(session, denialFields(denial.verdict, sqlstateOf(denial.verdict.code)));
}

/** A text that changes how names are read, and then names something, would be judged by the names of before. */
function mixesState(session: PgSession, analysis: Analysis): Denial | null {
  if (!session.needsNames || analysis.statements.length < 2) return null;
  const { effects } = analysis;
  const ends = effects.endsTransaction && (session.stateTouched || !session.namesReady);
  if (!effects.namesAfterState && !ends && !namesAfterCode(session, analysis)) return null;
  return denialOf('session-state', 'NotResolved', 'a statement that may change role or search_path must be sent alone');
}

/** Something is named after a statement that may run code that can't be seen here. */
function namesAfterCode(session: PgSession, analysis: Analysis): boolean {
  const first = analysis.statements.findIndex((statement) => runsCode(session, statement));
  return first >= 0 && analysis.statements.slice(first + 1).some((statement) => !statement.housekeeping);
}

function onCopy(session: PgSession, frame: Frame): void | Promise<void> {
  const run = session.copyRun;
  if (run === null) return;
  if (run.ended || run.copy !== 'in') {
    // The server gave the COPY up: what the client still sends for it is not passed on.
    session.copyRun = null;
    const afterCopy = takeAfterCopy(session);
    return afterCopy === null ? onFrontend(session, frame) : afterCopy().then(() => onFrontend(session, frame));
  }
  switch (frame.type) {
    case FRONTEND.CopyData:
      run.bytesIn += frame.end - frame.start - 5;
      if (run.copyCheck?.push(frame.buffer.subarray(frame.start + 5, frame.end)) === false) return giveUpCopy(session, run);
      sendCopy(session, copyOf(frame));
      return;
    case FRONTEND.CopyDone:
    case FRONTEND.CopyFail:
      if (frame.type === FRONTEND.CopyDone && run.copyCheck?.end() === false) return giveUpCopy(session, run);
      session.copyRun = null;
      sendCopy(session, copyOf(frame));
      session.toServer.flush();
      return takeAfterCopy(session)?.();
    case FRONTEND.Flush:
    case FRONTEND.Sync:
      // The server swallows them during COPY.
      return;
    default:
      session.fatal('08P01', 'another message during COPY FROM STDIN', 'error');
  }
}

/** The server undoes what it has taken; what the client still sends for it is not passed on. */
function giveUpCopy(session: PgSession, run: Run): void | Promise<void> {
  const denial = denialOf('write-back', 'NotRewritable', "the data would write a mask's placeholder to a masked column");
  recordRefusal(session, 'CopyData', denial);
  run.denied = denial;
  session.copyRun = null;
  sendCopy(session, encodeCopyFail('denied'));
  session.toServer.flush();
  return takeAfterCopy(session)?.();
}

/** Within a simple Query the data opens no segment. */
function sendCopy(session: PgSession, bytes: Buffer): void {
  if (session.queue.head?.type === 'query') session.toServer.add(bytes);
  else session.sendFollowing(bytes);
}

function takeAfterCopy(session: PgSession): (() => Promise<void>) | null {
  const { afterCopy } = session;
  session.afterCopy = null;
  return afterCopy;
}

function onSync(session: PgSession, frame: Frame): void {
  const local = session.skipping === 'local' || (!session.segmentSent && session.queue.empty && session.tx === 'I');
  session.skipping = 'no';
  session.use.sinceSync = 0;
  if (local) {
    session.toClient.add(encodeReadyForQuery('I'));
    session.nextSegment();
    return;
  }
  session.toServer.add(copyOf(frame));
  session.queue.push({ type: 'sync', segment: session.segment });
  session.nextSegment();
}

function onFunctionCall(session: PgSession): void {
  const denial = denialOf('function-call', 'NotSupported', 'the FunctionCall message is not supported');
  recordRefusal(session, 'FunctionCall', denial);
  denySimple(session, denialFields(denial.verdict, DENIED));
}
