/**
 * HTTP to one API server. Who we are and whom we trust comes from client-node's KubeConfig for each request, so a rotated token, client certificate or
 * CA is used with the next one; the connections are our own, kept and used again (KubeConfig opens one for each request).
 */
import { type ClientRequest, type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { Agent, type RequestOptions, request as tlsRequest } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import { pause } from './backoff.ts';
import { errorOfStatus, KubeError } from './error.ts';

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With its query. */
  readonly path: string;
  readonly body?: unknown;
  /** `application/json` where absent. */
  readonly contentType?: string;
  /** `application/json` where absent. */
  readonly accept?: string;
  readonly signal?: AbortSignal;
}

export interface Transport {
  readonly server: string;
  /** The parsed body of a 2xx answer. Throws KubeError. */
  send(call: Call): Promise<unknown>;
  /** The answer's head has come and is 2xx; the caller reads the body, or destroys it. */
  open(call: Call & { readonly headTimeoutMs?: number }): Promise<IncomingMessage>;
  /** Closes what is idle. Calls under way end by themselves. */
  close(): void;
}

const TIMEOUT_MS = 30_000;
const MAX_BODY_BYTES = 128 * 1024 * 1024;
/** A server that says 'too many' is asked again so often. */
const MAX_RETRIES = 3;
const MAX_RETRY_AFTER_MS = 5_000;
/** Below the idle time of usual load balancers. */
const KEEP_ALIVE_MS = 30_000;

/** `kubeconfig` is a file; null means the pod's own service account. Throws where there is none. */
export function kubeConfigOf(kubeconfig: string | null): KubeConfig {
  const config = new KubeConfig();
  if (kubeconfig === null) config.loadFromCluster();
  else config.loadFromFile(kubeconfig);
  return config;
}

export function createTransport(config: KubeConfig): Transport {
  const cluster = config.getCurrentCluster();
  if (cluster === null) throw new KubeError('Unavailable', 'the kubeconfig names no cluster');
  const base = new URL(cluster.server);
  const plain = base.protocol === 'http:';
  // A socket is shared only by requests with the same CA and client certificate: they are part of the agent's key.
  const kept = { keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS, scheduling: 'lifo' } as const;
  const agent = plain ? new PlainAgent(kept) : new Agent(kept);

  const optionsOf = async ({ method, path, contentType, accept }: Call, body: Buffer | undefined): Promise<RequestOptions> => {
    const options: RequestOptions = {};
    await config.applyToHTTPSOptions(options);
    return {
      ...options,
      // KubeConfig's own agent is right only where a proxy leads to the server.
      agent: cluster.proxyUrl === undefined ? agent : options.agent,
      host: base.hostname.replace(/^\[|\]$/g, ''),
      port: base.port === '' ? (plain ? 80 : 443) : base.port,
      path: `${base.pathname.replace(/\/$/, '')}${path}`,
      method,
      headers: {
        ...options.headers,
        accept: accept ?? 'application/json',
        'user-agent': 'chaperone',
        // Said by hand: without it Node sends the body of a DELETE with no length, and the server takes it for the next request.
        ...(body === undefined ? {} : { 'content-type': contentType ?? 'application/json', 'content-length': body.length }),
      },
    };
  };

  const open: Transport['open'] = async (call) => {
    const name = nameOf(call);
    if (call.signal?.aborted) throw new KubeError('Aborted', `${name}: given up`);
    const body = call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body), 'utf8');
    const options = await optionsOf(call, body).catch((error: unknown) => {
      throw new KubeError('Unauthorized', `${name}: no credentials: ${codeOfSystem(error)}`);
    });
    const head = AbortSignal.timeout(call.headTimeoutMs ?? TIMEOUT_MS);
    const request = (plain ? plainRequest : tlsRequest)(options);
    const answer = await answerTo(request, { body, signal: call.signal }, head, name);
    // A watch may be silent for a minute: only the kernel's own questions tell whether the other side still lives.
    answer.socket.setKeepAlive(true, KEEP_ALIVE_MS);
    const status = answer.statusCode ?? 0;
    if (status >= 200 && status < 300) return answer;
    const text = await textOf(answer, name, 1024 * 1024).catch(() => '');
    throw errorOfStatus(name, status, parsed(text), retryAfterMs(answer.headers['retry-after']));
  };

  const once = async (call: Call): Promise<unknown> => {
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    const signal = call.signal === undefined ? timeout : AbortSignal.any([call.signal, timeout]);
    const answer = await open({ ...call, signal });
    const text = await textOf(answer, nameOf(call), MAX_BODY_BYTES);
    const value = parsed(text);
    if (value === undefined) throw new KubeError('Unavailable', `${nameOf(call)}: the answer is not JSON`, answer.statusCode ?? 0);
    return value;
  };

  const send: Transport['send'] = async (call) => {
    for (let attempt = 0; ; attempt++) {
      try {
        return await once(call);
      } catch (error: unknown) {
        const wait = error instanceof KubeError && error.code === 'TooManyRequests' ? (error.retryAfterMs ?? 1000) : null;
        if (wait === null || attempt === MAX_RETRIES) throw error;
        await pause(Math.min(wait, MAX_RETRY_AFTER_MS), call.signal);
      }
    }
  };

  return { server: cluster.server, send, open, close: () => agent.destroy() };
}

function answerTo(
  request: ClientRequest,
  { body, signal }: { readonly body: Buffer | undefined; readonly signal: AbortSignal | undefined },
  timeout: AbortSignal,
  name: string,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      request.destroy();
      reject(new KubeError('Aborted', `${name}: given up`));
    };
    const tooLate = () => {
      request.destroy();
      reject(new KubeError('Unavailable', `${name}: no answer in time`));
    };
    // The caller's signal goes on to cut the body; the time limit is for the head alone.
    signal?.addEventListener('abort', giveUp, { once: true });
    timeout.addEventListener('abort', tooLate, { once: true });
    request.once('close', () => signal?.removeEventListener('abort', giveUp));
    request.on('error', (error) => reject(new KubeError('Unavailable', `${name}: ${codeOfSystem(error)}`)));
    request.once('response', (answer) => {
      timeout.removeEventListener('abort', tooLate);
      resolve(answer);
    });
    request.end(body);
  });
}

async function textOf(answer: IncomingMessage, name: string, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw new KubeError('Unavailable', `${name}: the answer is too large`);
      chunks.push(chunk);
    }
  } catch (error: unknown) {
    throw error instanceof KubeError ? error : new KubeError('Unavailable', `${name}: ${codeOfSystem(error)}`);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Without the query: it may name what the caller looks for. */
function nameOf({ method, path }: Call): string {
  return `${method} ${path.split('?')[0]}`;
}

function codeOfSystem(error: unknown): string {
  const code = (error as { readonly code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : 'the connection failed';
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function retryAfterMs(header: string | undefined): number | null {
  return header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : null;
}
