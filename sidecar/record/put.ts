import { request as httpRequest } from 'node:http';
import { Agent, request as httpsRequest } from 'node:https';

export type PutResult =
  | { readonly type: 'answer'; readonly status: number /** S3's code, such as `PreconditionFailed`. */; readonly code: string }
  /** No answer: the object may be stored all the same. */
  | { readonly type: 'failed'; readonly why: string };

export interface Put {
  readonly url: string;
  readonly headers: { readonly [name: string]: string };
  readonly body: Uint8Array;
  readonly signal: AbortSignal;
}

const IDLE_MS = 30_000;
const MAX_ANSWER_BYTES = 16 * 1024;

/** Stores one object. A redirect is an answer like any other: it is never followed, so that the bytes go where the operator said. */
export class Putter {
  #agent: Agent;
  #ca: string | undefined;

  /** `ca`: PEM, in place of the public authorities. */
  constructor(ca: string | undefined) {
    this.#ca = ca;
    this.#agent = agentOf(ca);
  }

  /** From the next PUT on; connections of before are not used again. */
  trust(ca: string): void {
    if (ca === '' || ca === this.#ca) return;
    this.#ca = ca;
    this.#agent.destroy();
    this.#agent = agentOf(ca);
  }

  put({ url, headers, body, signal }: Put): Promise<PutResult> {
    return new Promise((resolve) => {
      const failed = (error: unknown) => resolve({ type: 'failed', why: kindOf(error) });
      try {
        const options = { method: 'PUT', headers, signal, timeout: IDLE_MS };
        const request = url.startsWith('https:') ? httpsRequest(url, { ...options, agent: this.#agent }) : httpRequest(url, options);
        request.on('timeout', () => request.destroy(new Error('no answer in time')));
        request.on('error', failed);
        request.on('response', (response) => {
          let text = '';
          response.setEncoding('utf8');
          response.on('data', (part: string) => {
            if (text.length < MAX_ANSWER_BYTES) text += part;
          });
          response.on('error', failed);
          response.on('end', () => resolve({ type: 'answer', status: response.statusCode ?? 0, code: s3Code(text) }));
        });
        request.end(body);
      } catch (error: unknown) {
        failed(error);
      }
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

function agentOf(ca: string | undefined): Agent {
  return new Agent({ keepAlive: true, ...(ca === undefined ? {} : { ca }) });
}

function s3Code(xml: string): string {
  return /<Code>(\w{1,64})<\/Code>/.exec(xml)?.[1] ?? '';
}

/** Never the URL: its signature is a permission. */
function kindOf(error: unknown): string {
  const code: unknown = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' ? code : error instanceof Error ? error.name : 'unknown error';
}
