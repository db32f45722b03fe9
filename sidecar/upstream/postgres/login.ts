import type { ByteStream } from '../../transport/stream.ts';
import type { DialOptions, UpstreamTls } from '../dial.ts';

export interface PostgresLogin extends DialOptions {
  readonly tls: UpstreamTls;
  readonly user: string;
  /** UTF-8. Not kept and not cleared: it is the credential store's. */
  readonly password: Buffer;
  readonly database: string;
  /** Startup parameters besides user and database. client_encoding is always UTF8. */
  readonly parameters?: ReadonlyMap<string, string>;
  /** The newest version to ask for; the server may answer with an older one. */
  readonly protocol: '3.0' | '3.2';
}

export interface PostgresConnection {
  /** Not started: hand it to `start` (or keep paused). Bytes of it after `leftover`. */
  readonly stream: ByteStream;
  /** What the server reported, ParameterStatus by name. */
  readonly parameters: Map<string, string>;
  readonly key: { readonly pid: number; readonly secret: Buffer } | null;
  readonly protocolVersion: '3.0' | '3.2';
  /** server_version as reported. */
  readonly serverVersion: string;
  /** Bytes that came after the first ReadyForQuery; they come before what `stream` gives. Mostly empty. */
  readonly leftover: Buffer;
  /** True where TLS is on and SCRAM was bound to it. */
  readonly channelBound: boolean;
}

/** Dials, starts TLS, logs in, reads to the first ReadyForQuery. Rejects with UpstreamError. */
export async function connectPostgres(_login: PostgresLogin): Promise<PostgresConnection> {
  throw new Error('not yet');
}
