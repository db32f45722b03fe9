import type { IncomingMessage, ServerResponse } from 'node:http';
import type { HttpAction } from '#crds/policy/action.ts';
import type { Principal } from '#crds/policy/principal.ts';
import type { Verdict } from '#crds/policy/verdict.ts';
import { denialOf } from '../../decide/decide.ts';
import type { Denial, Permit, Recorded } from '../../permit.ts';
import type { SessionRecorder } from '../../pipeline.ts';
import { HttpError } from '../../wire/http/errors.ts';
import { type RequestHead, readRequestHead } from '../../wire/http/request.ts';
import { holdUntilDecided } from '../hold.ts';
import { readBody } from './body.ts';
import { type Forwarded, forward } from './forward.ts';
import { NotIdentified } from './identify.ts';
import { judgeAgain, judgeRequest } from './judge.ts';
import { bindingOf, recordedRequest } from './record.ts';
import { denialProblem, type Problem, plainProblem } from './reply.ts';
import type { HttpSession } from './session.ts';
import { httpTarget } from './target.ts';

/** What a held request's body may have: it is kept in memory, because its approval is bound to it. */
const MAX_HELD_BODY = 1_048_576;

/** One request, from its head to the end of its answer. */
export class Exchange {
  readonly #session: HttpSession;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #abort = new AbortController();
  #permit: Permit | null = null;
  /** Why it was cut off, where the client can still be told. */
  #cut: Verdict | null = null;

  constructor(session: HttpSession, request: IncomingMessage, response: ServerResponse) {
    this.#session = session;
    this.#request = request;
    this.#response = response;
    response.on('error', () => {});
    request.on('error', () => {});
    response.once('close', () => {
      if (!response.writableFinished) this.#abort.abort('the client went away');
    });
    if (response.closed || request.destroyed) this.#abort.abort('the client went away');
  }

  /** Never rejects. */
  async run(): Promise<void> {
    try {
      await this.#run();
    } catch (error: unknown) {
      if (error instanceof NotIdentified)
        return this.#reply(plainProblem(407, 'NotIdentified', error.message, [['Proxy-Authenticate', 'Bearer']]), true);
      this.#session.failed(error);
      this.#reply(plainProblem(503, 'RecordingUnavailable', 'the request can not be served'), true);
      this.#session.end('error', 'a request could not be served');
    }
  }

  /** The session ends. */
  cut(why: string): void {
    this.#abort.abort(why);
  }

  /** Policy changed: what is under way ends where it is no longer allowed. */
  policyChanged(): void {
    if (this.#permit === null || this.#abort.signal.aborted) return;
    const verdict = this.#judgeAgain(this.#permit);
    if (verdict === null) return;
    this.#cut = verdict;
    this.#abort.abort('the policy changed');
  }

  async #run(): Promise<void> {
    const session = this.#session;
    const head = this.#readHead();
    if (head instanceof HttpError) return this.#refuseUnread(head);
    const { recorder, principals } = await session.recording(head.proxyAuthorization, this.#request.headers['user-agent']);
    const { context } = session;
    const now = context.now();
    const policy = session.policy;
    const judged = judgeRequest(policy, session.why, head, principals, now);
    const over = policy === null ? null : session.meter.action(policy.limits(principals), now);
    const outcome = over === null ? judged.outcome : ({ type: 'denial', denial: overLimit(over) } as const);
    switch (outcome.type) {
      case 'denial':
        return this.#deny(recorder, judged.action, outcome.denial);
      case 'permit':
        return this.#send(recorder, judged.action, outcome.permit, null);
      case 'hold':
        return this.#hold(recorder, principals, judged.action, judged.bytes, outcome.verdict);
      default:
        throw outcome satisfies never;
    }
  }

  #readHead(): RequestHead | HttpError {
    const { method, url, httpVersion, rawHeaders } = this.#request;
    try {
      return readRequestHead({ method: method ?? '', target: url ?? '', httpVersion, rawHeaders });
    } catch (error: unknown) {
      if (error instanceof HttpError) return error;
      throw error;
    }
  }

  async #refuseUnread(error: HttpError): Promise<void> {
    const { recorder } = await this.#session.recording(null, undefined);
    const denial = denialOf('http', error.code === 'unsupported' ? 'NotSupported' : 'Unparsable', error.message);
    recorder.deny(denial, { type: 'protocol', message: `${error.code}: ${error.message}` });
    this.#session.tell(denial.verdict, error.code);
    this.#reply(plainProblem(error.status, denial.verdict.code, error.message), true);
  }

  #deny(recorder: SessionRecorder, action: HttpAction, denial: Denial): void {
    recorder.deny(denial, recordedRequest(action, recorder));
    this.#session.tell(denial.verdict, summaryOf(action));
    this.#reply(denialProblem(denial.verdict));
  }

  async #hold(
    recorder: SessionRecorder,
    principals: readonly Principal[],
    action: HttpAction,
    bytes: Buffer,
    verdict: Verdict,
  ): Promise<void> {
    const { context, connection } = this.#session;
    const request = recordedRequest(action, recorder);
    recorder.event({
      type: 'action',
      phase: 'first',
      action: request,
      decision: 'Hold',
      code: verdict.code,
      message: verdict.message,
      authors: verdict.authors,
      ...(verdict.audit.length > 0 && { audit: verdict.audit }),
      snapshot: context.policy.version,
    });
    this.#session.tell(verdict, summaryOf(action));
    const body = await readBody(this.#request, MAX_HELD_BODY).catch(() => undefined);
    if (body === undefined) return this.#deny(recorder, action, denialOf('approval', 'ApprovalWithdrawn', 'the client went away', verdict));
    if (body === null) {
      const text = `${verdict.message}: a request that is held may have a body of at most ${MAX_HELD_BODY} bytes`;
      return this.#deny(recorder, action, denialOf('body', 'NotSupported', text, verdict));
    }
    const released = await holdUntilDecided(
      {
        context,
        recorder,
        resource: connection.resource,
        input: { principals, action },
        bytes,
        summary:
          request.type === 'http'
            ? `${summaryOf(action)}${request.query === undefined ? '' : `?${request.query}`}\nbody: ${body.length} bytes`
            : '',
        binding: (asked) => bindingOf(connection.resource, bytes, body, asked),
        signal: this.#abort.signal,
        onRaised: (name) => context.log.info({ session: recorder.session, approval: name }, 'a request waits for approval'),
      },
      verdict,
    );
    if (released.type === 'denial') return this.#deny(recorder, action, released.denial);
    if (this.#abort.signal.aborted)
      return this.#deny(recorder, action, denialOf('approval', 'ApprovalWithdrawn', 'the client went away', verdict));
    return this.#send(recorder, action, released.permit, body);
  }

  async #send(recorder: SessionRecorder, action: HttpAction, permit: Permit, body: Buffer | null): Promise<void> {
    const session = this.#session;
    const resource = session.policy?.resource;
    const changed = this.#judgeAgain(permit);
    if (changed !== null || resource === undefined) {
      const verdict = changed ?? session.why();
      return this.#deny(recorder, action, { type: 'denial', verdict });
    }
    const recorded = recorder.permit(permit, recordedRequest(action, recorder));
    session.tell(permit.verdict, summaryOf(action));
    this.#permit = permit;
    if (resource.recording.fsync === 'Always') await recorder.durable();
    this.policyChanged();
    const startedMs = session.context.now();
    const result = await this.#forward(recorded, body);
    this.#permit = null;
    const durationMs = Math.max(0, session.context.now() - startedMs);
    recorder.event({ type: 'result', parent: recorded.seq, ...result.event, durationMs });
    if (result.problem !== null) this.#reply(result.problem, true);
    if (session.overLimit !== null) session.end('limit', `the session's limit ${session.overLimit} is exceeded`);
  }

  async #forward(recorded: Recorded, body: Buffer | null): Promise<{ readonly event: ResultFields; readonly problem: Problem | null }> {
    const session = this.#session;
    try {
      const resource = session.policy?.resource;
      if (resource === undefined) throw new Error('no policy');
      const done = await forward({
        recorded,
        target: httpTarget(session.context, resource),
        leg: session.leg,
        request: this.#request,
        body,
        response: this.#response,
        signal: this.#abort.signal,
        onBytes: (count) => session.returned(count),
        last: session.closing,
      });
      return { event: resultOf(done), problem: null };
    } catch (error: unknown) {
      if (this.#cut !== null) return { event: { status: 'aborted', error: this.#cut.message }, problem: denialProblem(this.#cut) };
      if (session.overLimit !== null)
        return { event: { status: 'aborted', error: session.overLimit }, problem: denialProblem(overLimit(session.overLimit).verdict) };
      if (this.#abort.signal.aborted) return { event: { status: 'aborted' }, problem: null };
      const code = codeOf(error);
      session.context.log.warn({ resource: session.connection.resource, error: code }, 'the target failed');
      return { event: { status: 'error', error: code }, problem: plainProblem(502, 'TargetFailed', `the target failed (${code})`) };
    }
  }

  #judgeAgain(permit: Permit): Verdict | null {
    const { context, connection, principals } = this.#session;
    return judgeAgain(context.policy, connection.resource, permit, principals, context.now());
  }

  /** Where the head is sent already, all that is left is to break off. */
  #reply(problem: Problem, last = false): void {
    const response = this.#response;
    if (response.headersSent) return void response.destroy();
    response.sendDate = false;
    response.shouldKeepAlive &&= !last && !this.#session.closing && skippable(this.#request);
    const length = String(Buffer.byteLength(problem.body));
    const headers = [
      ...problem.headers,
      ['Content-Type', 'application/problem+json'],
      ['Cache-Control', 'no-store'],
      ['Content-Length', length],
    ];
    response.writeHead(problem.status, headers.flat());
    response.end(problem.body);
  }
}

type ResultFields = Pick<
  { readonly status: 'ok' | 'error' | 'aborted' } & Partial<{
    tag: string;
    error: string;
    bytesIn: number;
    bytesOut: number;
    requestSha256: string;
    responseSha256: string;
  }>,
  'status' | 'tag' | 'error' | 'bytesIn' | 'bytesOut' | 'requestSha256' | 'responseSha256'
>;

function resultOf({ status, ...done }: Forwarded): ResultFields {
  return { status: 'ok', tag: String(status), ...done };
}

function overLimit(limit: string): Denial {
  return denialOf(limit, 'LimitExceeded', `the session's limit ${limit} is exceeded`);
}

/** A body that nobody read is skipped where it is short; else the connection ends. */
function skippable(request: IncomingMessage): boolean {
  return request.complete || Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY) <= 65_536;
}

function summaryOf({ method, host, path }: HttpAction): string {
  return `${method} ${host}${path}`;
}

/** Never a message: one of a client's library may hold an address, a name, a header. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : error instanceof Error ? error.name : 'unknown';
}
