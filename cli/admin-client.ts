import { request } from 'node:http';
import { CliError, EXIT } from './exit.ts';

export interface AdminAnswer {
  readonly status: number;
  readonly body: { readonly [member: string]: unknown };
}

const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** One call of a running sidecar's admin socket. Rejects with CliError where nothing runs there; an error of the sidecar is an answer. */
export function callAdmin(socketPath: string, token: string, method: 'GET' | 'POST', path: string, body?: object): Promise<AdminAnswer> {
  const headers = { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path, headers, timeout: 10_000 }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) sent.destroy(new Error('too long'));
        else chunks.push(chunk);
      });
      response.on('end', () => {
        const body = objectOf(Buffer.concat(chunks).toString('utf8'));
        if (body === null) reject(new CliError(`${socketPath}: the answer is not JSON`));
        else resolve({ status: response.statusCode ?? 0, body });
      });
    });
    sent.on('timeout', () => sent.destroy(new Error('no answer in time')));
    sent.on('error', (error) => reject(noSidecar(socketPath, error)));
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function objectOf(text: string): AdminAnswer['body'] | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as AdminAnswer['body']) : null;
  } catch {
    return null;
  }
}

/** The body of a good answer; what the sidecar refused ends the command: 3 where a rule refused it. */
export function goodAnswer({ status, body }: AdminAnswer): { readonly [member: string]: unknown } {
  if (status === 200) return body;
  const { code, message } = (body['error'] ?? {}) as { readonly code?: string; readonly message?: string };
  throw new CliError(
    `${code ?? status}: ${message ?? 'refused'}`,
    status === 401 || status === 403 || status === 422 ? EXIT.denied : EXIT.failed,
  );
}

function noSidecar(socketPath: string, error: Error): CliError {
  const code = 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ECONNREFUSED')
    return new CliError(`no sidecar runs with this state folder (${socketPath}): check --state`);
  if (code === 'EACCES') return new CliError(`${socketPath} belongs to another user`);
  return new CliError(`${socketPath}: ${error.message}`);
}
