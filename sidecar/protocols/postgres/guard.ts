/**
 * Commands that are judged by what they did: they run in a transaction that nobody has committed yet, what they answer is held back, and where they
 * changed more rows than they may, the transaction is rolled back and the client sees a denial.
 */
import type { SqlName } from '#crds/policy/action.ts';
import type { RowGuard } from '#crds/policy/verdict.ts';

import { maskError } from '../../mask/postgres/errors.ts';
import type { Denial } from '../../permit.ts';
import { encodeFlush } from '../../wire/postgres/messages/empty.ts';
import { encodeErrorResponse } from '../../wire/postgres/messages/error_notice.ts';
import { encodeReadyForQuery } from '../../wire/postgres/messages/ready_for_query.ts';
import { denyExtended, denySimple } from './deny.ts';
import { applyEffects, forgetEffects } from './effects.ts';
import { deniedByGuard, emptiedBy, mayNotGuard, rowsChanged, tooManyRows, watchedBy } from './guard-rules.ts';
import { type Request, refuse } from './judge.ts';
import { askInSegment, askOwn } from './own.ts';
import { DENIED, denialFields } from './reply.ts';
import type { Run } from './run.ts';
import type { PgSession } from './session.ts';
import { copyBarrier, noteState } from './steps.ts';

interface Guarded {
  readonly session: PgSession;
  readonly run: Run;
  readonly request: Request;
  readonly guard: RowGuard;
  readonly watched: readonly SqlName[];
  readonly before: readonly number[];
}

/** Of a simple Query. Outside of a transaction it is put into one of ours. */
export async function runGuardedQuery(session: PgSession, request: Request, run: Run, guard: RowGuard): Promise<void> {
  await answered(session);
  if (session.ended || session.skipping !== 'no') return;
  const { analysis } = request;
  const denied = mayNotGuard(analysis, guard);
  if (denied !== null) return denyBefore(session, request, denied, 'none');
  const own = session.tx === 'I';
  if (own && (await askOwn(session, 'BEGIN')) === null) return denyBefore(session, request, notChecked(guard), 'none');
  const watched = watchedBy(analysis, guard);
  const before = await counts(session, watched, askOwn);
  if (session.ended) return;
  if (before === null) return denyBefore(session, request, notChecked(guard), own ? 'own' : 'failed');
  session.toClient.flush();
  session.toClient.hold(session.limits.maxHeldAnswerBytes);
  holdBack(session, run);
  session.sendPermitted(run.recorded);
  session.queue.push({ type: 'query', segment: session.segment, run });
  session.nextSegment();
  session.names.dropUnnamed();
  noteState(session, run);
  await copyOrNot(session, run, () => finishQuery({ session, run, request, guard, watched, before }, own));
}

/** COPY FROM STDIN goes on with the client's next messages; the rest is done when its end was sent. */
async function copyOrNot(session: PgSession, run: Run, finish: () => Promise<void>): Promise<void> {
  session.toServer.flush();
  if (!run.analysis.effects.copyIn) return finish();
  await copyBarrier(session, run);
  if (session.copyRun === null) return finish();
  session.afterCopy = finish;
}

async function finishQuery(guarded: Guarded, own: boolean): Promise<void> {
  const { session, run, request } = guarded;
  const status = await run.answered();
  if (session.ended) return;
  if (status !== 'ok') {
    if (own) await askOwn(session, 'ROLLBACK');
    forgetEffects(session, run.analysis);
    return answer(session, run, 'error', own ? 'I' : 'E');
  }
  const denial = await verdictOn(guarded, askOwn);
  if (session.ended) return;
  if (denial !== null) {
    session.toClient.discard();
    noteDenied(run, denial);
    forgetEffects(session, run.analysis);
    refuse(session, request, denial);
    if (!own) {
      // The transaction is the client's: it fails, as it does after any error.
      letGo(session, run, 'error');
      denySimple(session, denialFields(denial.verdict, DENIED));
      session.toServer.flush();
      return session.later.run();
    }
    await askOwn(session, 'ROLLBACK');
    session.toClient.add(encodeErrorResponse(denialFields(denial.verdict, DENIED)));
    return answer(session, run, 'error', 'I');
  }
  const failure = own ? await commit(session) : null;
  if (failure !== null) {
    session.toClient.discard();
    const masked = maskError(failure, { touchesMasked: run.analysis.replaceErrors, detectors: session.detectors });
    run.sqlstate = masked.sqlstate;
    run.error = masked.message;
    session.toClient.add(encodeErrorResponse(masked));
    return answer(session, run, 'error', 'I');
  }
  applyEffects(session, run.analysis);
  return answer(session, run, 'ok', own ? 'I' : 'T');
}

async function commit(session: PgSession) {
  if ((await askOwn(session, 'COMMIT')) !== null) return null;
  return session.ownError ?? { severity: 'ERROR', sqlstate: '40000', message: 'the transaction could not be committed' };
}

function answer(session: PgSession, run: Run, status: 'ok' | 'error', tx: 'I' | 'T' | 'E'): void {
  if (session.ended) return;
  session.toClient.release();
  session.toClient.add(encodeReadyForQuery(tx));
  session.toClient.flush();
  letGo(session, run, status);
  session.later.run();
}

/** Of an Execute: the transaction of its segment is only committed by the Sync that comes later. */
export async function runGuardedExecute(session: PgSession, request: Request, run: Run, guard: RowGuard, send: () => void): Promise<void> {
  if (session.segmentSent) session.sendFollowing(encodeFlush());
  await answered(session);
  if (session.ended || session.skipping !== 'no') return;
  const denied = mayNotGuard(request.analysis, guard);
  if (denied !== null) return denyInSegment(session, request, denied);
  const watched = watchedBy(request.analysis, guard);
  const before = await counts(session, watched, askInSegment);
  if (session.ended) return;
  if (before === null) return failInSegment(session, request, notChecked(guard));
  session.toClient.flush();
  session.toClient.hold(session.limits.maxHeldAnswerBytes);
  holdBack(session, run);
  send();
  session.sendFollowing(encodeFlush());
  await copyOrNot(session, run, () => finishExecute({ session, run, request, guard, watched, before }));
}

async function finishExecute(guarded: Guarded): Promise<void> {
  const { session, run, request } = guarded;
  if (run.analysis.effects.copyIn) {
    session.sendFollowing(encodeFlush());
    session.toServer.flush();
  }
  const status = await run.answered();
  if (session.ended) return;
  const denial = status === 'ok' ? await verdictOn(guarded, askInSegment) : null;
  if (session.ended) return;
  if (denial === null) session.toClient.release();
  else {
    session.toClient.discard();
    noteDenied(run, denial);
    refuse(session, request, denial);
    if (session.skipping === 'no') denyExtended(session, denialFields(denial.verdict, DENIED));
    else session.toClient.add(encodeErrorResponse(denialFields(denial.verdict, DENIED)));
  }
  session.toClient.flush();
  letGo(session, run, status === 'ok' && denial === null ? 'ok' : 'error');
  session.later.run();
}

function holdBack(session: PgSession, run: Run): void {
  session.heldBack = run;
  run.holdBack();
}

function letGo(session: PgSession, run: Run, status: 'ok' | 'error'): void {
  session.heldBack = null;
  run.release(status, session.parts.context.now());
}

type Ask = (session: PgSession, sql: string) => Promise<(string | null)[][] | null>;

async function verdictOn({ session, run, guard, watched, before }: Guarded, ask: Ask): Promise<Denial | null> {
  if (session.toClient.overflowed) {
    return session.use.over('maxHeldAnswerBytes', 'bytes of an answer that is held back until its rows are counted');
  }
  const changed = rowsChanged(run.tags, run.analysis);
  const over = tooManyRows(guard, changed);
  if (over !== null) return over;
  const after = await counts(session, watched, ask);
  if (after === null) return notChecked(guard);
  return emptiedBy(guard, watched, before, after);
}

/** How many rows each relation has, up to two; with its children, and alone. */
async function counts(session: PgSession, watched: readonly SqlName[], ask: Ask): Promise<readonly number[] | null> {
  if (watched.length === 0) return [];
  const count = (name: string) => `(SELECT pg_catalog.count(*) FROM (SELECT 1 FROM ${name} LIMIT 2) x)::pg_catalog.text`;
  const columns = watched.flatMap(({ schema, name }) => {
    const quoted = `${identifier(schema ?? '')}.${identifier(name)}`;
    return [count(quoted), count(`ONLY ${quoted}`)];
  });
  const rows = await ask(session, `SELECT ${columns.join(', ')}`);
  const [row] = rows ?? [];
  return row === undefined ? null : row.map(Number);
}

function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** All that was sent is answered: then what comes next is what is sent next. */
async function answered(session: PgSession): Promise<void> {
  session.toServer.flush();
  while (!session.queue.empty && !session.ended && session.skipping === 'no') await session.waitSettled();
}

function noteDenied(run: Run, denial: Denial): void {
  run.sqlstate = DENIED;
  run.error = denial.verdict.message;
}

function notChecked(guard: RowGuard): Denial {
  return deniedByGuard(guard.everyRow ?? guard.rows?.author ?? null, 'what it deletes could not be looked at');
}

/** `own`: our transaction is open; `failed`: the client's has just failed. */
async function denyBefore(session: PgSession, request: Request, denial: Denial, open: 'none' | 'own' | 'failed'): Promise<void> {
  refuse(session, request, denial);
  if (open === 'none') return denySimple(session, denialFields(denial.verdict, DENIED));
  if (open === 'own') await askOwn(session, 'ROLLBACK');
  if (session.ended) return;
  session.toClient.add(encodeErrorResponse(denialFields(denial.verdict, DENIED)));
  session.toClient.add(encodeReadyForQuery(open === 'own' ? 'I' : 'E'));
  session.toClient.flush();
}

function denyInSegment(session: PgSession, request: Request, denial: Denial): void {
  refuse(session, request, denial);
  denyExtended(session, denialFields(denial.verdict, DENIED));
}

/** The server has refused something of ours and skips to the Sync already. */
function failInSegment(session: PgSession, request: Request, denial: Denial): void {
  refuse(session, request, denial);
  session.toClient.add(encodeErrorResponse(denialFields(denial.verdict, DENIED)));
}
