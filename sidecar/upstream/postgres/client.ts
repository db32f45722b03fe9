import type { PostgresConnection } from './login.ts';

export interface QueryResult {
  readonly columns: readonly string[];
  /** Text of each value; null for SQL NULL. */
  readonly rows: readonly (readonly (string | null)[])[];
}

export interface ClientLimits {
  readonly timeoutMs: number;
  /** Bytes of one result. */
  readonly maxBytes: number;
}

/** A small client of our own for the sidecar's own questions (the catalog): simple protocol, one query at a time. */
export interface PostgresClient {
  /** One statement. Rejects with UpstreamError: `query_failed` leaves the client usable, any other closes it. */
  query(sql: string): Promise<QueryResult>;
  /** Says Terminate. */
  close(): void;
  readonly closed: boolean;
}

export function postgresClient(_connection: PostgresConnection, _limits: ClientLimits): PostgresClient {
  throw new Error('not yet');
}
