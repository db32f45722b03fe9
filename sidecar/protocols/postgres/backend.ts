import { maskError } from '../../mask/postgres/errors.ts';
import { cellsOf, disagreement } from '../../mask/postgres/result-plan.ts';
import { createRowFilter } from '../../mask/postgres/rows.ts';
import { isNeverShown } from '../../mask/postgres/rows-types.ts';
import { decodeCommandComplete } from '../../wire/postgres/messages/command_complete.ts';
import { decodeDataRow } from '../../wire/postgres/messages/data_row.ts';
import { decodeErrorFields, encodeErrorResponse, encodeNoticeResponse } from '../../wire/postgres/messages/error_notice.ts';
import { decodeNotificationResponse } from '../../wire/postgres/messages/notification_response.ts';
import { decodeParameterStatus } from '../../wire/postgres/messages/parameter_status.ts';
import { decodeReadyForQuery } from '../../wire/postgres/messages/ready_for_query.ts';
import { type Column, decodeRowDescription } from '../../wire/postgres/messages/row_description.ts';
import type { FrameSink } from '../../wire/postgres/splitter.ts';
import { BACKEND } from '../../wire/postgres/types.ts';
import { CopyOut } from './copy-out.ts';
import { applyEffects, forgetEffects } from './effects.ts';
import { inReceived } from './error-place.ts';
import type { Expect } from './expect.ts';
import { LastDecoded } from './last-decoded.ts';
import { DENIED, denialFields, poisoned } from './reply.ts';
import type { Run } from './run.ts';
import type { PgSession } from './session.ts';
import { columnsFor, preparedOf } from './statements.ts';

/** What the server says, matched against what it owes. What is not owed ends the session: nothing is passed on that nobody asked for. */
export class Backend implements FrameSink {
  readonly #session: PgSession;
  readonly #copyOut: CopyOut;
  readonly #rowDescription = new LastDecoded<readonly Column[]>(decodeRowDescription);
  readonly #tag = new LastDecoded(decodeCommandComplete);

  constructor(session: PgSession) {
    this.#session = session;
    this.#copyOut = new CopyOut(session);
  }

  /** Rows and COPY data that nobody looks into may be of any size: they pass in pieces. */
  header(type: number): 'whole' | 'stream' {
    const run = this.#run();
    if (run === null || !this.#readyForRows()) return 'whole';
    if (type === BACKEND.DataRow && run.filter === null && !run.keepsRows) return 'stream';
    if (type === BACKEND.CopyData && run.copy === 'out' && !this.#copyOut.masks) return 'stream';
    return 'whole';
  }

  piece(type: number, buffer: Buffer, start: number, end: number, first: boolean, last: boolean): void {
    const session = this.#session;
    if (session.ended) return;
    const run = this.#run();
    if (run === null) return this.#unexpected();
    if (first && type === BACKEND.DataRow) run.rows++;
    run.bytesOut += end - start;
    session.midFrame = !last;
    session.toClient.forward(buffer, start, end);
    if (last) session.frameEnded();
    session.meter.returned(first && type === BACKEND.DataRow ? 1 : 0, end - start);
  }

  frame(type: number, buffer: Buffer, start: number, end: number): void {
    const session = this.#session;
    if (session.ended) return;
    switch (type) {
      case BACKEND.DataRow:
        return this.#row(buffer, start, end);
      case BACKEND.NoticeResponse:
        return this.#notice(buffer, start, end);
      case BACKEND.ParameterStatus:
        return this.#parameter(buffer, start, end);
      case BACKEND.NotificationResponse:
        return this.#notification(buffer, start, end);
      case BACKEND.ErrorResponse:
        return this.#error(buffer, start, end);
      case BACKEND.ReadyForQuery:
        return this.#ready(buffer, start, end);
      default:
        return this.#answer(type, buffer, start, end);
    }
  }

  /** Payloads carry whatever another session put in: where something is masked only those come back that the client itself sent. */
  #notification(buffer: Buffer, start: number, end: number): void {
    const session = this.#session;
    if (session.mask?.active !== false) {
      const { pid, channel, payload } = decodeNotificationResponse(buffer, start, end);
      if (pid !== session.parts.server.key?.pid || !session.notified.take(channel, payload)) return;
    }
    session.toClient.forward(buffer, start, end);
  }

  #run(): Run | null {
    const head = this.#session.queue.head;
    return head?.type === 'query' || head?.type === 'execute' ? head.run : null;
  }

  #row(buffer: Buffer, start: number, end: number): void {
    const session = this.#session;
    const head = session.queue.head;
    if (head?.type === 'own') {
      head.own.rows.push(decodeDataRow(buffer, start, end).map((value) => value?.toString('utf8') ?? null));
      return;
    }
    const run = this.#run();
    if (run === null || !this.#readyForRows()) return this.#unexpected();
    if (session.ended) return;
    run.rows++;
    run.bytesOut += end - start;
    session.meter.returned(1, end - start);
    if (run.filter === null) {
      session.toClient.forward(buffer, start, end);
      if (run.keepsRows) run.keepRow(buffer, start, end);
      return;
    }
    const masked = run.filter.filter(buffer, start, end);
    if (masked === null) session.toClient.forward(buffer, start, end);
    else session.toClient.add(masked);
    if (run.keepsRows) {
      if (masked === null) run.keepRow(buffer, start, end);
      else run.keepRow(masked, 0, masked.length);
    }
  }

  /** ParseComplete, BindComplete and the others that answer one message each. */
  #answer(type: number, buffer: Buffer, start: number, end: number): void {
    const session = this.#session;
    const head = session.queue.head;
    if (head === undefined) return this.#unexpected();
    if (head.type === 'own') return this.#ownStep(type, head);
    if (type === BACKEND.ParseComplete || type === BACKEND.BindComplete || type === BACKEND.CloseComplete) {
      return this.#confirmed(type, head, buffer, start, end);
    }
    if (head.type === 'describe') return this.#described(type, head, buffer, start, end);
    if (head.type !== 'query' && head.type !== 'execute') return this.#unexpected();
    this.#progress(type, head, buffer, start, end);
  }

  /** A statement of ours inside of the client's segment is done when both of its names are closed. */
  #ownStep(type: number, { own }: Expect & { type: 'own' }): void {
    if (type !== BACKEND.CloseComplete || own.closesLeft === null) return;
    own.closesLeft--;
    if (own.closesLeft > 0) return;
    this.#session.queue.shift();
    own.done(true);
    this.#session.settled();
  }

  #confirmed(type: number, head: Expect, buffer: Buffer, start: number, end: number): void {
    const owed = type === BACKEND.ParseComplete ? 'parse' : type === BACKEND.BindComplete ? 'bind' : 'close';
    if (head.type !== owed) return this.#unexpected();
    this.#session.names.confirm(head.change);
    this.#session.queue.shift();
    this.#session.toClient.forward(buffer, start, end);
    this.#session.settled();
  }

  #described(type: number, head: Expect & { type: 'describe' }, buffer: Buffer, start: number, end: number): void {
    const session = this.#session;
    if (type === BACKEND.ParameterDescription && head.target === 'statement') {
      session.toClient.forward(buffer, start, end);
      return;
    }
    if (type !== BACKEND.RowDescription && type !== BACKEND.NoData) return this.#unexpected();
    const fields = type === BACKEND.NoData ? [] : this.#rowDescription.of(buffer, start, end);
    if (head.of !== null) head.of.fields = fields;
    session.queue.shift();
    if (!head.swallow) session.toClient.forward(buffer, start, end);
    session.settled();
  }

  /** What a query or an execution answers beside rows. */
  #progress(type: number, head: Expect & { type: 'query' | 'execute' }, buffer: Buffer, start: number, end: number): void {
    const session = this.#session;
    const { run } = head;
    switch (type) {
      case BACKEND.RowDescription: {
        if (head.type !== 'query') return this.#unexpected();
        const fields = this.#rowDescription.of(buffer, start, end);
        if (!this.#filterRows(run, fields, () => fields.map((field) => field.format))) return;
        break;
      }
      case BACKEND.CommandComplete:
        run.tags.push(this.#tag.of(buffer, start, end));
        this.#copyOut.reset();
        if (head.type === 'execute') {
          applyEffects(session, run.analysis);
          this.#endExecute(head, 'ok');
        } else run.nextResult();
        break;
      case BACKEND.EmptyQueryResponse:
        if (head.type === 'execute') this.#endExecute(head, 'ok');
        break;
      case BACKEND.PortalSuspended:
        if (head.type !== 'execute') return this.#unexpected();
        run.tags.push('suspended');
        this.#endExecute(head, 'ok');
        break;
      case BACKEND.CopyInResponse:
        if (!run.analysis.effects.copyIn) return this.#unexpected();
        if (head.type === 'execute') session.queue.dropSyncsBehindHead();
        session.toClient.forward(buffer, start, end);
        session.toClient.pass();
        run.copyStarted('in');
        session.copyRun = run;
        return;
      case BACKEND.CopyOutResponse:
        if (!this.#copyOut.begin(run, buffer, start, end)) this.#unexpected();
        return;
      case BACKEND.CopyData:
        if (!this.#copyOut.data(run, buffer, start, end)) this.#unexpected();
        return;
      case BACKEND.CopyDone:
        this.#copyOut.finish(run);
        break;
      default:
        return this.#unexpected();
    }
    session.toClient.forward(buffer, start, end);
  }

  #endExecute(head: Expect & { type: 'execute' }, status: 'ok' | 'error'): void {
    this.#session.queue.shift();
    head.run.end(status, this.#session.parts.context.now());
    this.#session.settled();
  }

  /** Before the first row of an execution: its columns, where rows are looked into. False where they are not known. */
  #readyForRows(): boolean {
    const session = this.#session;
    const head = session.queue.head;
    if (head?.type === 'query') return head.run.described || !head.run.analysis.mustDescribe;
    if (head?.type !== 'execute' || head.run.described) return true;
    const { portal, run } = head;
    const { mustDescribe } = run.analysis;
    const fields = columnsFor(portal, run.analysis);
    if (fields === null) return session.detectors === null && !run.keepsRows && !mustDescribe;
    const { resultFormats } = portal;
    const formatAt = (index: number) => (resultFormats.length === 1 ? resultFormats[0] : resultFormats[index]) ?? 0;
    return this.#filterRows(run, fields, () => fields.map((_, index) => formatAt(index)));
  }

  /** False where the result is not the one that was planned: then the session has ended, and nothing of it was sent. */
  #filterRows(run: Run, fields: readonly Column[], formatsOf: () => readonly number[]): boolean {
    const session = this.#session;
    const { detectors } = session;
    const { plan, isMasked } = run.analysis;
    const wrong = disagreement(plan, fields, isMasked);
    if (wrong !== null) {
      session.fatal('42501', `the result is refused: ${wrong}`, 'policy');
      return false;
    }
    run.described = true;
    const neverShown = session.mask?.active !== false && fields.some((field) => isNeverShown(field.dataType));
    if (detectors === null && !run.keepsRows && plan === null && !neverShown) return true;
    const formats = formatsOf();
    const cells = cellsOf(plan, fields, formats, session.pseudonyms);
    run.filter = detectors === null && plan === null && !neverShown ? null : createRowFilter(fields, formats, detectors, cells);
    run.describe(fields, formats);
    return true;
  }

  #error(buffer: Buffer, start: number, end: number): void {
    const session = this.#session;
    const head = session.queue.head;
    const fields = decodeErrorFields(buffer, start, end);
    if (head?.type === 'own') {
      head.own.failed = true;
      session.ownError = fields;
      if (head.own.closesLeft === null) return;
      session.queue.shift();
      head.own.done(false);
      return this.#skip();
    }
    if (head?.type === 'poison') {
      session.toClient.add(encodeErrorResponse(poisoned(head, fields)));
      if (!head.simple) this.#skip();
      return;
    }
    const run = this.#run();
    const denied = run?.denied ?? null;
    const own = denied === null ? inReceived(fields, head) : denialFields(denied.verdict, DENIED);
    const masked = denied !== null ? own : maskError(own, { touchesMasked: this.#mayShowMasked(run), detectors: session.detectors });
    session.toClient.add(encodeErrorResponse(masked));
    if (run !== null) {
      run.sqlstate = masked.sqlstate;
      run.error = masked.message;
    }
    // A FATAL one is the session's end; the socket's close follows.
    if (head === undefined || (fields.severityEnglish ?? fields.severity) !== 'ERROR') return;
    if (head.type === 'query') return run?.failed();
    this.#skip();
  }

  /** Where an error can't be told to belong to a statement, it is taken to belong to one that touches masked data. */
  #mayShowMasked(run: Run | null): boolean {
    const session = this.#session;
    if (run !== null) return run.analysis.replaceErrors;
    if (session.mask?.active === false) return false;
    const prepared = preparedOf(session.queue.head);
    // By the masks of now as well, which may be others than those it was prepared under.
    return prepared === null || prepared.analysis.replaceErrors || session.analyse(prepared.sql).replaceErrors;
  }

  #skip(): void {
    const session = this.#session;
    const { dropped, synced } = session.queue.skipToSync();
    const now = session.parts.context.now();
    for (const item of dropped) {
      session.names.rollback(item.segment);
      if (item.type === 'execute') forgetEffects(session, item.run.analysis);
      if (item.type === 'execute' || item.type === 'query') item.run.end(item.run.error === undefined ? 'aborted' : 'error', now);
      if (item.type === 'own') item.own.done(false);
    }
    if (!synced) {
      session.skipping = 'server';
      session.held?.abort('an earlier statement failed');
    }
    session.settled();
  }

  #notice(buffer: Buffer, start: number, end: number): void {
    const session = this.#session;
    const head = session.queue.head;
    if (head?.type === 'own') return;
    if (session.use.tooManyNotices()) return;
    if (session.mask?.active === false) {
      session.toClient.forward(buffer, start, end);
      return;
    }
    const touchesMasked = this.#mayShowMasked(this.#run());
    session.toClient.add(
      encodeNoticeResponse(maskError(decodeErrorFields(buffer, start, end), { touchesMasked, detectors: session.detectors })),
    );
  }

  #parameter(buffer: Buffer, start: number, end: number): void {
    const session = this.#session;
    const { name, value } = decodeParameterStatus(buffer, start, end);
    const breaks = (name === 'client_encoding' && value !== 'UTF8') || (name === 'standard_conforming_strings' && value !== 'on');
    if (breaks) {
      // From here on the server would read SQL in another way than it was judged.
      session.fatal('42501', `${name} may not be changed`, 'policy');
      return;
    }
    if (name === 'search_path' || name === 'session_authorization') session.stateDirty = session.stateTouched = true;
    if (session.mask?.active !== false && (session.detectors?.mask(value).hits ?? 0) > 0) return;
    session.toClient.forward(buffer, start, end);
  }

  #ready(buffer: Buffer, start: number, end: number): void {
    const session = this.#session;
    const status = decodeReadyForQuery(buffer, start, end);
    const head = session.queue.head;
    session.tx = status;
    session.use.notices = 0;
    if (head === undefined) return this.#unexpected();
    const now = session.parts.context.now();
    switch (head.type) {
      case 'query':
        if (head.run.isHeldBack) return this.#answered(head.run);
        if (head.run.error === undefined) applyEffects(session, head.run.analysis);
        else forgetEffects(session, head.run.analysis);
        head.run.end(head.run.error === undefined ? 'ok' : 'error', now);
        break;
      case 'own':
        head.own.done(!head.own.failed);
        break;
      case 'sync':
        break;
      case 'poison':
        if (head.simple) break;
        return this.#unexpected();
      default:
        return this.#unexpected();
    }
    session.queue.shift();
    if (status === 'I') session.transactionEnded();
    if (head.type !== 'own') session.toClient.forward(buffer, start, end);
    session.settled();
  }

  /** Whether it counts is decided elsewhere, and so what the client is told. */
  #answered(run: Run): void {
    const session = this.#session;
    session.queue.shift();
    run.end(run.error === undefined ? 'ok' : 'error', session.parts.context.now());
    session.settled();
  }

  #unexpected(): void {
    this.#session.fatal('08P01', 'the target sent a message that was not expected', 'error');
  }
}
