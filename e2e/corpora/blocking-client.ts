/** Sends one case of the blocking corpus and keeps what is answered. */
import pg from 'pg';
import { RULE_SETS_DATABASE } from './blocking-database.ts';

export interface BlockingCase {
  readonly id: string;
  readonly rule: string;
  readonly mustBlock: boolean;
  readonly category: string;
  readonly sql: string;
  readonly setup?: string | readonly string[];
  readonly setupRole?: 'super';
  readonly cleanup?: string | readonly string[];
  /** What the client sends where it is asked for COPY data. */
  readonly copyIn?: string;
}

export interface BlockingAnswer {
  readonly rows: readonly (readonly (string | null)[])[];
  readonly tags: readonly string[];
  readonly errors: readonly { readonly code: string; readonly message: string }[];
}

const ACCOUNTS = { app: { user: 'app', password: 'apppw' }, super: { user: 'appadm', password: 'admpw' } } as const;
const ANSWER_MS = 20_000;

/** Over the simple protocol. A connection that is refused or cut is an answer too. */
export async function answerOf(port: number, role: keyof typeof ACCOUNTS, each: BlockingCase): Promise<BlockingAnswer> {
  const client = new pg.Client({ host: '127.0.0.1', port, database: RULE_SETS_DATABASE, ...ACCOUNTS[role] });
  client.on('error', () => undefined);
  const recorder = new Recorder(each.sql, each.copyIn ?? '');
  try {
    await client.connect();
    client.query(recorder);
    await recorder.done(ANSWER_MS);
  } catch (error: unknown) {
    recorder.failed(error);
  } finally {
    await client.end().catch(() => undefined);
  }
  return recorder.answer;
}

/** What pg calls while it reads the answers to one Query message. */
class Recorder implements pg.Submittable {
  readonly answer: { rows: (string | null)[][]; tags: string[]; errors: { code: string; message: string }[] } = {
    rows: [],
    tags: [],
    errors: [],
  };
  readonly #sql: string;
  readonly #copyIn: string;
  readonly #ended: Promise<void>;
  #end: () => void = () => {};

  constructor(sql: string, copyIn: string) {
    this.#sql = sql;
    this.#copyIn = copyIn;
    this.#ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  submit(connection: pg.Connection): void {
    connection.query(this.#sql);
  }

  async done(timeoutMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error('no answer')), timeoutMs);
    });
    await Promise.race([this.#ended, late]).finally(() => clearTimeout(timer));
  }

  failed(error: unknown): void {
    const { code = '', message = String(error) } = error as { code?: string; message?: string };
    this.answer.errors.push({ code, message });
  }

  handleRowDescription(): void {}

  handleDataRow(message: { readonly fields: readonly (string | null)[] }): void {
    this.answer.rows.push([...message.fields]);
  }

  handleCommandComplete(message: { readonly text: string }): void {
    this.answer.tags.push(message.text);
  }

  handleEmptyQuery(): void {}

  handleError(error: Error): void {
    this.failed(error);
    // pg tells nobody of the ReadyForQuery that follows.
    this.#end();
  }

  handleReadyForQuery(): void {
    this.#end();
  }

  handleCopyInResponse(connection: pg.Connection): void {
    const copying = connection as unknown as { sendCopyFromChunk(chunk: Buffer): void; endCopyFrom(): void };
    copying.sendCopyFromChunk(Buffer.from(this.#copyIn));
    copying.endCopyFrom();
  }

  handleCopyData(message: { readonly chunk: Buffer }): void {
    this.answer.rows.push([message.chunk.toString('utf8')]);
  }

  handlePortalSuspended(): void {}
}
