/** What the server itself makes of a text. */
import * as bytes from '../../corpora/bytes.ts';
import { Connection, type Message } from '../../corpora/connection.ts';
import { ACCOUNTS } from '../../corpora/databases.ts';

export interface Parsed {
  /** Null where it takes the text. */
  readonly sqlstate: string | null;
  readonly message: string;
}

export interface Ran {
  readonly sqlstates: readonly string[];
  /** Command tags without their numbers. */
  readonly tags: readonly string[];
  /** A transaction number was taken: it wrote, or locked. Null where the transaction was over before we could ask. */
  readonly wrote: boolean | null;
}

export class Oracle {
  readonly #port: number;
  readonly #database: string;
  #connection: Connection | null = null;

  constructor(port: number, database: string) {
    this.#port = port;
    this.#database = database;
  }

  /** As a Parse message alone: nothing is run. */
  async parse(text: string): Promise<Parsed> {
    const messages = await this.#round([bytes.parse('', text), bytes.sync()], 1);
    const error = messages.find(({ type }) => type === 'E');
    return error === undefined ? { sqlstate: null, message: '' } : { sqlstate: field(error, 'C'), message: field(error, 'M') };
  }

  /** In a transaction that is undone. */
  async run(text: string, mode: 'READ ONLY' | 'READ WRITE'): Promise<Ran> {
    const messages = await this.#round(
      [bytes.query(`BEGIN ${mode}; SET LOCAL statement_timeout = 2000; SET LOCAL lock_timeout = 500`), bytes.query(text)],
      2,
    );
    const state = messages.at(-1)?.body.toString('latin1');
    const after = state === 'T' ? await this.#round([bytes.query('SELECT pg_current_xact_id_if_assigned() IS NOT NULL')], 1) : [];
    const row = after.find(({ type }) => type === 'D')?.body.toString('latin1', 6);
    // COPY FROM STDIN waits for data; what changed the session goes with it.
    await this.#round([bytes.copyFail('no'), bytes.query('ROLLBACK'), bytes.query('DISCARD ALL')], 2);
    const said = messages.slice(messages.findIndex(({ type }) => type === 'Z') + 1);
    return {
      sqlstates: said.filter(({ type }) => type === 'E').map((error) => field(error, 'C')),
      tags: said.filter(({ type }) => type === 'C').map(({ body }) => body.toString('latin1').replace(/[\s\d]*\0$/, '')),
      wrote: row === undefined ? null : row === 't',
    };
  }

  async #round(parts: readonly Buffer[], readies: number): Promise<readonly Message[]> {
    const connection = await this.#open();
    const from = connection.messages.length;
    // A copy from the client is what it does not come back from by itself.
    const done = connection.round(parts, readies, 8000);
    const copies = connection.until(() => connection.messages.slice(from).some(({ type }) => type === 'G'), 8000);
    await Promise.race([done, copies]);
    if (connection.messages.slice(from).some(({ type }) => type === 'G')) connection.write(bytes.copyFail('no'));
    if (!(await done)) this.end();
    return connection.messages.splice(from);
  }

  async #open(): Promise<Connection> {
    if (this.#connection === null || this.#connection.closed) {
      this.#connection = await Connection.open(this.#port, ACCOUNTS.app, this.#database);
      this.#connection.messages.length = 0;
    }
    return this.#connection;
  }

  end(): void {
    this.#connection?.end();
    this.#connection = null;
  }
}

function field({ body }: Message, name: string): string {
  return (
    body
      .toString('utf8')
      .split('\0')
      .find((part) => part.startsWith(name))
      ?.slice(1) ?? ''
  );
}
