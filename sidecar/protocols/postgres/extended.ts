import { hash } from 'node:crypto';
import type { RowGuard } from '#crds/policy/verdict.ts';
import { decideToParse, denialOf } from '../../decide/decide.ts';
import type { Analysis } from '../../mask/postgres/analyse.ts';
import { looksLikeMask } from '../../mask/postgres/placeholder.ts';
import type { Denial } from '../../permit.ts';
import type { Frame } from '../../wire/postgres/frame.ts';
import { type Bind, decodeBind, formatAt } from '../../wire/postgres/messages/bind.ts';
import { decodeClose, decodeDescribe, encodeDescribe } from '../../wire/postgres/messages/describe_close.ts';
import { decodeExecute } from '../../wire/postgres/messages/execute.ts';
import { decodeParse, encodeParse, type Parse } from '../../wire/postgres/messages/parse.ts';
import { denyExtended } from './deny.ts';
import { runGuardedExecute } from './guard.ts';
import { deniedByGuard } from './guard-rules.ts';
import { type Judged, judgeStatement, type Request, recordRefusal, refuse } from './judge.ts';
import { lookAgain } from './look-again.ts';
import type { Found, NameKind } from './names.ts';
import { denialFields } from './reply.ts';
import { Run } from './run.ts';
import { OWN_PREFIX, type PgSession } from './session.ts';
import { refreshState } from './state.ts';
import { columnsFor, type Named, type Portal, type Prepared } from './statements.ts';
import { copyBarrier, copyOf, namesUnknown, noteState, sqlstateOf, tooManyNames, tooManyPortals, tooManyStatements } from './steps.ts';

/** The server cuts longer names, and would then mean another statement than the one that was judged. */
const MAX_NAME_BYTES = 63;
const NOTHING = Buffer.alloc(0);
const UNKNOWN_STATEMENT = '26000';
const UNKNOWN_PORTAL = '34000';
const DUPLICATE_STATEMENT = '42P05';

type Then = void | Promise<void>;

/** Names have to be read as the server reads them when the message arrives there. */
function withState(session: PgSession, message: string, then: () => Then): Then {
  if (session.namesReady) return then();
  return refreshState(session).then(() => {
    if (session.ended || session.skipping !== 'no') return;
    if (session.namesUnknown) return refuseMessage(session, message, namesUnknown());
    return then();
  });
}

/** Finds a name, waiting where an earlier segment that may still fail would define it. */
function withName(session: PgSession, kind: NameKind, name: string, then: (found: Exclude<Found<Named>, { type: 'wait' }>) => Then): Then {
  const found = session.names.lookup(kind, name, session.segment);
  if (found.type !== 'wait') return then(found);
  session.toServer.flush();
  return session.waitSettled().then(() => {
    if (session.ended || session.skipping !== 'no') return;
    return withName(session, kind, name, then);
  });
}

function refuseMessage(session: PgSession, message: string, denial: Denial, sqlstate = sqlstateOf(denial.verdict.code)): void {
  recordRefusal(session, message, denial);
  denyExtended(session, denialFields(denial.verdict, sqlstate));
}

function unknown(session: PgSession, kind: NameKind, message: string): void {
  const denial = denialOf('names', 'NotResolved', `the ${kind} that ${message} names does not exist in this session`);
  refuseMessage(session, message, denial, kind === 'statement' ? UNKNOWN_STATEMENT : UNKNOWN_PORTAL);
}

export function onParse(session: PgSession, frame: Frame): Then {
  const message = decodeParse(frame.buffer, frame.start, frame.end);
  const unfit = unfitName(message.statement);
  if (unfit !== null) return refuseMessage(session, 'Parse', unfit);
  return withState(session, 'Parse', () =>
    withName(session, 'statement', message.statement, (found) => {
      // The server would refuse it as well; were it to fail there for another reason, the old statement would go on under the name.
      if (found.type === 'known' && message.statement !== '') {
        const denial = denialOf('names', 'NotSupported', 'the prepared statement exists already');
        return refuseMessage(session, 'Parse', denial, DUPLICATE_STATEMENT);
      }
      const isNew = found.type === 'unknown' && message.statement !== '';
      const analysis = session.analyse(message.text);
      const again = lookAgain(session, analysis);
      if (again === null) return judgeParse(session, frame, message, analysis, isNew);
      return again.then(() => {
        if (session.ended || session.skipping !== 'no') return;
        if (session.namesUnknown) return refuseMessage(session, 'Parse', namesUnknown());
        return judgeParse(session, frame, message, session.analyse(message.text), isNew);
      });
    }),
  );
}

function judgeParse(session: PgSession, frame: Frame, message: Parse, analysis: Analysis, isNew: boolean): Then {
  const many = tooManyNames(session, analysis) ?? (isNew ? tooManyStatements(session) : null);
  if (many !== null) return refuseMessage(session, 'Parse', many);
  const rewritten = analysis.sent !== message.text;
  const bytes = rewritten ? encodeParse({ ...message, text: analysis.sent }) : copyOf(frame);
  const digest = hash('sha256', message.text);
  const { parameterTypes } = message;
  return then(judgeStatement(session, { step: 'Parse', text: message.text, digest, analysis, bytes, parameterTypes }), (judged) => {
    if (judged.type !== 'send') return denied(session, judged);
    const value: Prepared = {
      type: 'statement',
      origin: 'parse',
      name: message.statement,
      sql: message.text,
      digest,
      analysis,
      fields: null,
    };
    const change = session.names.propose({ kind: 'statement', name: message.statement, segment: session.segment, value });
    session.sendPermitted(judged.recorded);
    session.queue.push({ type: 'parse', segment: session.segment, change });
  });
}

/** The statement as it would be sent now; a denial where that is no longer what the server has under its name. */
function current(session: PgSession, statement: Prepared): Analysis | Denial {
  const analysis = session.analyse(statement.sql);
  if (analysis.sent === statement.analysis.sent) return analysis;
  return denialOf('statement', 'PolicyChanged', 'policy or catalog changed since the statement was prepared');
}

export function onBind(session: PgSession, frame: Frame): Then {
  const message = decodeBind(frame.buffer, frame.start, frame.end);
  const unfit = unfitName(message.portal) ?? unfitName(message.statement) ?? unfitPortal(session, message);
  if (unfit !== null) return refuseMessage(session, 'Bind', unfit);
  return withState(session, 'Bind', () =>
    withName(session, 'statement', message.statement, (found) => {
      if (found.type === 'unknown' || found.value.type !== 'statement') return unknown(session, 'statement', 'Bind');
      const statement = found.value;
      const analysis = current(session, statement);
      if ('verdict' in analysis) return refuseMessage(session, 'Bind', analysis);
      // The server plans it now, by the names of now; FETCH of another road must not find here what Execute would refuse.
      const unjudged = refuseToBind(session, message.portal, analysis);
      if (unjudged !== null) return refuseMessage(session, 'Bind', unjudged);
      if (writesMask(analysis, message.parameters)) {
        const denial = denialOf('write-back', 'NotRewritable', "a parameter would write a mask's placeholder to a masked column");
        return refuseMessage(session, 'Bind', denial);
      }
      const parameterFormats = message.parameters.map((_, index) => formatAt(message.parameterFormats, index));
      const value: Portal = {
        type: 'portal',
        name: message.portal,
        statement,
        parameters: message.parameters,
        parameterBytes: bytesOf(message.parameters),
        parameterFormats,
        resultFormats: message.resultFormats,
        fields: null,
        basis: analysis.basis,
        recorded: null,
        allowedUnder: '',
      };
      const change = session.names.propose({ kind: 'portal', name: message.portal, segment: session.segment, value });
      session.sendFollowing(copyOf(frame));
      session.queue.push({ type: 'bind', segment: session.segment, change });
    }),
  );
}

function refuseToBind(session: PgSession, portal: string, analysis: Analysis): Denial | null {
  const { database, requestedUser, principals, context } = session.parts;
  const action = { type: 'sql', database, user: requestedUser, statements: analysis.statements } as const;
  const outcome = decideToParse(
    session.policy,
    session.why,
    { principals, action, nowMs: context.now(), assurance: session.assured.now(session) },
    NOTHING,
  );
  if (outcome.type === 'denial') return outcome.denial;
  if (portal !== '' && analysis.plan !== null && (session.mask?.functions.size ?? 0) > 0) {
    const text = 'a named portal with a column of tokens, from which a function that the masks list could fetch: use the unnamed one';
    return denialOf('portal', 'NotRewritable', text);
  }
  return analysis.refusal === null ? null : denialOf('analysis', analysis.refusal.code, analysis.refusal.message);
}

function unfitName(name: string): Denial | null {
  if (name.startsWith(OWN_PREFIX)) return denialOf('names', 'NotSupported', 'the name is reserved');
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) return denialOf('names', 'NotSupported', `a name is longer than ${MAX_NAME_BYTES} bytes`);
  return null;
}

function unfitPortal(session: PgSession, { portal, parameters }: Bind): Denial | null {
  if (session.cursors.has(portal)) return denialOf('names', 'NotSupported', 'a cursor of that name exists');
  const bytes = bytesOf(parameters);
  const held = session.names.portals().reduce((sum, named) => sum + (named.type === 'portal' ? named.parameterBytes : 0), 0);
  if (bytes + held > session.limits.maxParameterBytes) return session.use.over('maxParameterBytes', 'bytes of parameters at once');
  const isNew = portal !== '' && session.names.lookup('portal', portal, session.segment).type === 'unknown';
  return isNew ? tooManyPortals(session) : null;
}

function bytesOf(parameters: readonly (Buffer | null)[]): number {
  return parameters.reduce((sum, value) => sum + (value?.length ?? 0), 0);
}

function writesMask(analysis: Analysis, parameters: readonly (Buffer | null)[]): boolean {
  return analysis.maskedParameters.some((number) => {
    const value = parameters[number - 1];
    return value !== null && value !== undefined && looksLikeMask(value.toString('utf8'));
  });
}

export function onDescribe(session: PgSession, frame: Frame): Then {
  const message = decodeDescribe(frame.buffer, frame.start, frame.end);
  const unfit = unfitName(message.name);
  if (unfit !== null) return refuseMessage(session, 'Describe', unfit);
  return withName(session, message.kind, message.name, (found) => {
    // SQL's cursors are portals of the server's, too; psycopg 3 asks for their columns. Columns are all that is told, whatever they run.
    const isCursor = message.kind === 'portal' && (session.cursors.has(message.name) || !session.needsNames);
    if (found.type === 'unknown' && !isCursor) return unknown(session, message.kind, 'Describe');
    session.sendFollowing(copyOf(frame));
    const of = found.type === 'unknown' ? null : found.value;
    session.queue.push({ type: 'describe', segment: session.segment, of, target: message.kind, swallow: false });
  });
}

export function onClose(session: PgSession, frame: Frame): Then {
  const message = decodeClose(frame.buffer, frame.start, frame.end);
  if (message.name.startsWith(OWN_PREFIX) || Buffer.byteLength(message.name) > MAX_NAME_BYTES)
    return unknown(session, message.kind, 'Close');
  if (message.kind === 'portal') session.cursors.delete(message.name);
  const change = session.names.propose({ kind: message.kind, name: message.name, segment: session.segment, value: null });
  session.sendFollowing(copyOf(frame));
  session.queue.push({ type: 'close', segment: session.segment, change });
}

export function onExecute(session: PgSession, frame: Frame): Then {
  const message = decodeExecute(frame.buffer, frame.start, frame.end);
  if (Buffer.byteLength(message.portal) > MAX_NAME_BYTES) return unknown(session, 'portal', 'Execute');
  return withState(session, 'Execute', () =>
    withName(session, 'portal', message.portal, (found) => {
      if (found.type === 'unknown' || found.value.type !== 'portal') return unknown(session, 'portal', 'Execute');
      const portal = found.value;
      const analysis = current(session, portal.statement);
      if ('verdict' in analysis) return refuseMessage(session, 'Execute', analysis);
      if (analysis.basis !== portal.basis) {
        const text = 'policy, catalog or search_path changed since the statement was bound';
        return refuseMessage(session, 'Execute', denialOf('portal', 'PolicyChanged', text));
      }
      const version = session.parts.context.policy.version;
      if (portal.recorded !== null && portal.allowedUnder === version) {
        // Further rows of a portal whose run was allowed under this very policy.
        return execute(session, portal, new Run(portal.recorded, analysis, session.runHost, session.parts.context.now()), copyOf(frame));
      }
      const { parameters, parameterFormats, statement } = portal;
      const request = {
        step: 'Execute',
        text: statement.sql,
        digest: statement.digest,
        analysis,
        bytes: copyOf(frame),
        parameters,
        parameterFormats,
      } as const;
      return then(judgeStatement(session, request), (judged) => {
        if (judged.type !== 'send') return denied(session, judged);
        portal.recorded = judged.recorded;
        portal.allowedUnder = version;
        const run = new Run(judged.recorded, analysis, session.runHost, session.parts.context.now());
        const { guard } = judged.recorded.permit.verdict;
        if (guard === undefined || session.tx === 'E') return execute(session, portal, run, null);
        if (message.maxRows > 0 && guard.rows !== null && mayReturnRows(statement))
          return denied(session, suspended(session, request, guard));
        return runGuardedExecute(session, request, run, guard, () => send(session, portal, run, null));
      });
    }),
  );
}

/** Where it returns none, a limit on them means nothing: some clients always send one. */
function mayReturnRows({ sql, analysis }: Prepared): boolean {
  return /\breturning\b/i.test(sql) || analysis.statements.some(({ kind }) => kind === 'Execute');
}

/** Its rows are counted when all of them were asked for. */
function suspended(session: PgSession, request: Request, guard: RowGuard): Judged & { type: 'deny' } {
  const author = guard.rows?.author ?? guard.everyRow;
  return refuse(session, request, deniedByGuard(author, 'its rows are counted, so Execute must ask for all of them'));
}

/** `again` holds the frame where the portal goes on; the first time the permit's own bytes are sent. */
function execute(session: PgSession, portal: Portal, run: Run, again: Buffer | null): Then {
  send(session, portal, run, again);
  return run.analysis.effects.copyIn ? copyBarrier(session, run) : undefined;
}

function send(session: PgSession, portal: Portal, run: Run, again: Buffer | null): void {
  // What EXECUTE in a portal runs is looked up when it runs: an earlier description may be another statement's.
  const anew = run.analysis.mustDescribe && again === null;
  if (anew || (columnsFor(portal, run.analysis) === null && (session.detectors !== null || run.keepsRows))) {
    session.sendFollowing(encodeDescribe({ kind: 'portal', name: portal.name }));
    session.queue.push({ type: 'describe', segment: session.segment, of: portal, target: 'portal', swallow: true });
  }
  if (again === null) session.sendPermitted(run.recorded);
  else session.sendFollowing(again);
  session.queue.push({ type: 'execute', segment: session.segment, run, portal });
  noteState(session, run);
}

function denied(session: PgSession, judged: Exclude<Judged, { type: 'send' }>): void {
  if (judged.type === 'deny') denyExtended(session, judged.fields, judged);
}

function then(judged: Judged | Promise<Judged>, proceed: (judged: Judged) => Then): Then {
  return judged instanceof Promise ? judged.then(proceed) : proceed(judged);
}
