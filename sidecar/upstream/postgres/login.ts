import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import type { ByteStream } from '../../transport/stream.ts';
import { WireError } from '../../wire/postgres/errors.ts';
import { encodeStartupMessage, PROTOCOL_3_0, PROTOCOL_3_2 } from '../../wire/postgres/messages/startup.ts';
import type { DialOptions, UpstreamTls } from '../dial.ts';
import { UpstreamError } from '../errors.ts';
import { authenticate } from './authenticate.ts';
import { Conversation } from './conversation.ts';
import { openPostgres } from './open.ts';
import { readSessionStart, type SessionStart } from './session_start.ts';

export interface PostgresLogin extends DialOptions {
  readonly tls: UpstreamTls;
  readonly user: string;
  /** UTF-8. Not kept and not cleared: it is the credential store's. */
  readonly password: Buffer;
  readonly database: string;
  /** Startup parameters besides user and database. client_encoding is always UTF8, standard_conforming_strings always on. */
  readonly parameters?: ReadonlyMap<string, string> | undefined;
  /** The newest version to ask for; the server may answer with an older one. */
  readonly protocol: '3.0' | '3.2';
}

export interface PostgresConnection {
  /** Paused: `start` reads on. Its bytes come after `leftover`. */
  readonly stream: ByteStream;
  /** What the server reported, ParameterStatus by name. */
  readonly parameters: Map<string, string>;
  readonly key: { readonly pid: number; readonly secret: Buffer } | null;
  readonly protocolVersion: '3.0' | '3.2';
  /** server_version as reported. */
  readonly serverVersion: string;
  /** Bytes that came after the first ReadyForQuery; they come before what `stream` gives. Mostly empty. */
  readonly leftover: Buffer;
  /** True where SCRAM was bound to TLS. */
  readonly channelBound: boolean;
}

/** Dials, starts TLS, logs in, reads to the first ReadyForQuery; `timeoutMs` is for the whole. Rejects with UpstreamError. */
export async function connectPostgres(login: PostgresLogin): Promise<PostgresConnection> {
  const deadline = Date.now() + login.timeoutMs;
  const { stream, secure } = await openPostgres(login);
  const talk = new Conversation(stream, deadline - Date.now(), login.signal);
  try {
    talk.write(startupMessage(login));
    const { channelBound, version } = await authenticate(talk, login, peerCertificate(secure));
    const session = await readSessionStart(talk);
    checkSession(session);
    const leftover = talk.finish();
    const { parameters, key } = session;
    return {
      stream,
      parameters,
      key,
      protocolVersion: version,
      serverVersion: parameters.get('server_version') ?? '',
      leftover,
      channelBound,
    };
  } catch (error) {
    talk.destroy();
    if (error instanceof WireError) throw new UpstreamError('protocol', `the target does not keep to the protocol: ${error.code}`);
    throw error;
  }
}

function startupMessage(login: PostgresLogin): Buffer {
  const parameters = new Map([...(login.parameters ?? []), ['user', login.user], ['database', login.database]]);
  parameters.set('client_encoding', 'UTF8').set('standard_conforming_strings', 'on');
  return encodeStartupMessage(login.protocol === '3.2' ? PROTOCOL_3_2 : PROTOCOL_3_0, parameters);
}

function peerCertificate(secure: TLSSocket | null): X509Certificate | null {
  if (!secure) return null;
  const certificate = secure.getPeerX509Certificate();
  if (!certificate) throw new UpstreamError('tls_untrusted', 'the target has no certificate');
  return certificate;
}

/** Statements are parsed as UTF-8 with standard strings: a session where they mean something else can't be judged. */
function checkSession(session: SessionStart): void {
  const { parameters } = session;
  if (parameters.get('client_encoding')?.toUpperCase() !== 'UTF8') throw new UpstreamError('refused', 'the target does not speak UTF8');
  if (parameters.get('standard_conforming_strings') !== 'on') {
    throw new UpstreamError('refused', 'the target does not take standard_conforming_strings');
  }
}
