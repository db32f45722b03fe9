import { WireError } from '../../wire/postgres/errors.ts';
import { utf8 } from '../../wire/postgres/messages/body.ts';
import { decodeDataRow } from '../../wire/postgres/messages/data_row.ts';
import { encodeTerminate } from '../../wire/postgres/messages/empty.ts';
import { decodeErrorFields } from '../../wire/postgres/messages/error_notice.ts';
import { encodeQuery } from '../../wire/postgres/messages/query.ts';
import { decodeRowDescription } from '../../wire/postgres/messages/row_description.ts';
import { type FrameSink, FrameSplitter } from '../../wire/postgres/splitter.ts';
import { BACKEND } from '../../wire/postgres/types.ts';
import { UpstreamError } from '../errors.ts';
import type { PostgresConnection } from './login.ts';

export interface QueryResult {
  readonly columns: readonly string[];
  /** Text of each value; null for SQL NULL. */
  readonly rows: readonly (readonly (string | null)[])[];
}

export interface ClientLimits {
  /** Of one query. */
  readonly timeoutMs: number;
  /** Of the rows of one result. */
  readonly maxBytes: number;
}

/** A small client of our own for the sidecar's own questions (the catalog): simple protocol, one query at a time. */
export interface PostgresClient {
  /** One statement that returns rows, or none. Rejects with UpstreamError: `query_failed` leaves the client usable, any other closes it. */
  query(sql: string): Promise<QueryResult>;
  /** Says Terminate. A query that is under way rejects. */
  close(): void;
  readonly closed: boolean;
}

interface Running {
  columns: string[];
  rows: (string | null)[][];
  bytes: number;
  error: UpstreamError | null;
  readonly timer: NodeJS.Timeout;
  readonly resolve: (result: QueryResult) => void;
  readonly reject: (error: UpstreamError) => void;
}

/** How long a server has to close after Terminate. */
const CLOSE_MS = 5_000;

export function postgresClient(connection: PostgresConnection, limits: ClientLimits): PostgresClient {
  return new Client(connection, limits);
}

class Client implements PostgresClient, FrameSink {
  readonly #connection: PostgresConnection;
  readonly #limits: ClientLimits;
  readonly #splitter: FrameSplitter;
  #running: Running | null = null;
  #closed = false;

  constructor(connection: PostgresConnection, limits: ClientLimits) {
    this.#connection = connection;
    this.#limits = limits;
    this.#splitter = new FrameSplitter(this, { wholeBytes: limits.maxBytes + 65_536 });
    const gone = (): void => this.#end(new UpstreamError('closed', 'the target closed the connection'));
    connection.stream.start({ data: (chunk) => this.#received(chunk), drained: () => {}, ended: gone, closed: gone });
    if (connection.leftover.length > 0) this.#received(connection.leftover);
  }

  get closed(): boolean {
    return this.#closed;
  }

  async query(sql: string): Promise<QueryResult> {
    if (this.#closed) throw new UpstreamError('closed', 'the connection is closed');
    if (this.#running) throw new Error('PostgresClient takes one query at a time');
    const { timeoutMs } = this.#limits;
    const message = encodeQuery(sql);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#end(new UpstreamError('timeout', `no answer within ${timeoutMs} ms`)), timeoutMs);
      this.#running = { columns: [], rows: [], bytes: 0, error: null, timer, resolve, reject };
      this.#connection.stream.write(message);
    });
  }

  close(): void {
    if (this.#closed) return;
    this.#connection.stream.write(encodeTerminate());
    // Not destroyed yet: Terminate has to leave. The server then closes.
    this.#connection.stream.end();
    setTimeout(() => this.#connection.stream.destroy(), CLOSE_MS).unref();
    this.#settle(new UpstreamError('closed', 'the connection was closed'));
  }

  #received(chunk: Buffer): void {
    if (this.#closed) return;
    try {
      this.#splitter.push(chunk);
    } catch (error) {
      if (error instanceof UpstreamError) this.#end(error);
      else if (error instanceof WireError)
        this.#end(new UpstreamError('protocol', `the target does not keep to the protocol: ${error.code}`));
      else throw error;
    }
  }

  #end(error: UpstreamError): void {
    this.#connection.stream.destroy();
    this.#settle(error);
  }

  #settle(error: UpstreamError): void {
    this.#closed = true;
    const running = this.#running;
    this.#running = null;
    if (!running) return;
    clearTimeout(running.timer);
    running.reject(error);
  }

  header(): 'whole' {
    return 'whole';
  }

  piece(): void {
    throw new UpstreamError('protocol', 'a message came in pieces that was not asked for so');
  }

  frame(type: number, buffer: Buffer, start: number, end: number): void {
    switch (type) {
      case BACKEND.ParameterStatus:
      case BACKEND.NoticeResponse:
      case BACKEND.NotificationResponse:
        return;
      default:
    }
    const running = this.#running;
    if (type === BACKEND.ErrorResponse) {
      const { sqlstate, severity, severityEnglish } = decodeErrorFields(buffer, start, end);
      const fatal = !running || (severityEnglish ?? severity) !== 'ERROR';
      const error = new UpstreamError(fatal ? 'closed' : 'query_failed', `the target refused a query (SQLSTATE ${sqlstate})`, sqlstate);
      if (fatal) throw error;
      running.error = error;
      return;
    }
    if (!running) throw new UpstreamError('protocol', 'the target answered a query that was not sent');
    this.#answer(running, type, buffer, start, end);
  }

  #answer(running: Running, type: number, buffer: Buffer, start: number, end: number): void {
    switch (type) {
      case BACKEND.RowDescription:
        running.columns = decodeRowDescription(buffer, start, end).map((column) => column.name);
        running.rows = [];
        return;
      case BACKEND.DataRow:
        running.bytes += end - start;
        if (running.bytes > this.#limits.maxBytes)
          throw new UpstreamError('too_much', `a result has more than ${this.#limits.maxBytes} bytes`);
        running.rows.push(textRow(running, buffer, start, end));
        return;
      case BACKEND.CommandComplete:
      case BACKEND.EmptyQueryResponse:
        return;
      case BACKEND.ReadyForQuery:
        this.#running = null;
        clearTimeout(running.timer);
        if (running.error) running.reject(running.error);
        else running.resolve({ columns: running.columns, rows: running.rows });
        return;
      default:
        throw new UpstreamError('protocol', 'the target answered with a message that has no place in a simple query');
    }
  }
}

function textRow(running: Running, buffer: Buffer, start: number, end: number): (string | null)[] {
  const row = decodeDataRow(buffer, start, end);
  if (row.length !== running.columns.length)
    throw new UpstreamError('protocol', 'a row has another number of columns than its description');
  return row.map((value) => value && utf8(value));
}
