import { encodeAuthenticationOk } from '../../wire/postgres/messages/authentication.ts';
import { encodeBackendKeyData } from '../../wire/postgres/messages/backend_key_data.ts';
import { encodeNegotiateProtocolVersion } from '../../wire/postgres/messages/negotiate_protocol_version.ts';
import { encodeParameterStatus } from '../../wire/postgres/messages/parameter_status.ts';
import { encodeReadyForQuery } from '../../wire/postgres/messages/ready_for_query.ts';
import { PROTOCOL_3_0, PROTOCOL_3_2 } from '../../wire/postgres/messages/startup.ts';
import type { PgSession } from './session.ts';

/** Tells the client that it is in: version, the server's parameters, a cancel key of our own. */
export function greet(
  session: PgSession,
  asked: number,
  unknownOptions: readonly string[],
  key: { readonly pid: number; readonly secret: Buffer },
): void {
  const { server } = session.parts;
  const spoken = asked >= PROTOCOL_3_2 && server.protocolVersion === '3.2' ? PROTOCOL_3_2 : PROTOCOL_3_0;
  if (asked !== spoken || unknownOptions.length > 0) {
    session.toClient.add(encodeNegotiateProtocolVersion({ version: spoken, unknownOptions }));
  }
  session.toClient.add(encodeAuthenticationOk());
  for (const [name, value] of server.parameters) session.toClient.add(encodeParameterStatus(name, value));
  session.toClient.add(encodeBackendKeyData(key.pid, key.secret));
  session.toClient.add(encodeReadyForQuery('I'));
  session.toClient.flush();
}
