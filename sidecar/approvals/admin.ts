import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { ApprovalError, type ApprovalErrorCode } from '#crds/policy/approval-error.ts';
import type { JsonValue } from '#crds/policy/json.ts';
import type { Principal } from '#crds/policy/principal.ts';
import type { Decision } from '#crds/policy/vote.ts';
import type { Log } from '../pipeline.ts';
import type { ApprovalBroker } from './broker.ts';
import { listenOnSocket } from './socket.ts';

export interface AdminOptions {
  readonly path: string;
  readonly broker: ApprovalBroker;
  readonly verify: (jwt: string) => Promise<Principal>;
  /** What GET /status says: no secret, no statement. */
  readonly status: () => { readonly [member: string]: JsonValue };
  readonly log: Log;
}

export interface AdminServer {
  readonly path: string;
  close(): Promise<void>;
}

const MAX_BODY_BYTES = 8 * 1024;
const MAX_HEADER_BYTES = 24 * 1024;

/**
 * HTTP over a unix socket, for the CLI: GET /status, GET /approvals, POST /approvals/NAME {"decision": "approve" | "deny", "reason"?}.
 * Every call carries `Authorization: Bearer JWT`; the approver is that token's principal and nothing in the body.
 * Errors are {"error": {"code", "message"}}. Rejects with SocketError where the socket can't be had.
 */
export async function serveAdmin(options: AdminOptions): Promise<AdminServer> {
  const server: Server = createServer(
    { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: 5000, requestTimeout: 10_000 },
    (request, response) => {
      void answer(options, request).then(({ status, body }) => send(response, status, body));
    },
  );
  server.maxConnections = 64;
  await listenOnSocket(server, options.path);
  return {
    path: options.path,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

interface Answer {
  readonly status: number;
  readonly body: object;
}

async function answer(options: AdminOptions, request: IncomingMessage): Promise<Answer> {
  try {
    const jwt = bearerOf(request.headers.authorization);
    const caller = jwt === null ? null : await options.verify(jwt).catch((error: unknown) => refusedToken(options.log, error));
    // Why a token is refused is for the log.
    if (caller === null) return problem(401, 'Unauthorized', 'a valid token is needed: Authorization: Bearer JWT');
    return await route(options, request, caller);
  } catch (error) {
    if (error instanceof ApprovalError) return problem(HTTP_STATUS[error.code], error.code, error.message);
    if (error instanceof BadRequest) return problem(error.status, 'BadRequest', error.message);
    options.log.error({ check: 'admin' }, 'a call of the admin socket failed');
    return problem(500, 'InternalError', 'the call failed');
  }
}

async function route(options: AdminOptions, request: IncomingMessage, caller: Principal): Promise<Answer> {
  const url = request.url ?? '';
  if (request.method === 'GET' && url === '/status') return { status: 200, body: options.status() };
  if (request.method === 'GET' && url === '/approvals') return { status: 200, body: { approvals: options.broker.list(caller) } };
  const name = /^\/approvals\/(apr-[a-z0-9]{6})$/.exec(url)?.[1];
  if (request.method === 'POST' && name !== undefined) {
    const decision = decisionOf(await readBody(request));
    const view = options.broker.decide(name, caller, decision);
    const by = { issuer: caller.issuer, subject: caller.subject };
    options.log.info({ approval: name, decision: decision.decision, by, state: view.state }, 'approval decided');
    return { status: 200, body: view };
  }
  return problem(404, 'NoSuchCall', 'there is no such call');
}

function refusedToken(log: Log, error: unknown): null {
  const code = error instanceof Error && 'code' in error ? error.code : 'InternalError';
  log.warn({ code }, 'admin socket: token refused');
  return null;
}

const bearerOf = (header: string | undefined): string | null => /^Bearer ([\w.-]+)$/i.exec(header ?? '')?.[1] ?? null;

class BadRequest extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new BadRequest(413, `a body has at most ${MAX_BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Closed: a body that names an approver, or anything else, is refused and not ignored. */
function decisionOf(body: string): Decision {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw new BadRequest(400, 'the body is not JSON');
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw new BadRequest(400, 'the body must be an object');
  const { decision, reason, ...rest } = json as { readonly [member: string]: unknown };
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) throw new BadRequest(400, `unknown member ${JSON.stringify(unknown.slice(0, 64))}`);
  if (decision !== 'approve' && decision !== 'deny') throw new BadRequest(400, 'decision must be "approve" or "deny"');
  if (reason !== undefined && typeof reason !== 'string') throw new BadRequest(400, 'reason must be a text');
  return reason === undefined ? { decision } : { decision, reason };
}

const HTTP_STATUS: { readonly [code in ApprovalErrorCode]: number } = {
  AskerNotIdentified: 403,
  GateMissing: 409,
  LimitExceeded: 429,
  Closed: 503,
  NotFound: 404,
  NotPending: 409,
  NotAnApprover: 403,
  SelfApproval: 403,
  DelegatedApprover: 403,
  AlreadyDecided: 409,
  ReasonRequired: 422,
  ReasonTooLong: 422,
};

const problem = (status: number, code: string, message: string): Answer => ({ status, body: { error: { code, message } } });

function send(response: ServerResponse, status: number, body: object): void {
  const text = `${JSON.stringify(body)}\n`;
  // After a refused body the rest of it is not read: the connection ends.
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), connection: 'close' });
  response.end(text);
}
