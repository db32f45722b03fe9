import { decodeBackendKeyData } from '../../wire/postgres/messages/backend_key_data.ts';
import { decodeParameterStatus } from '../../wire/postgres/messages/parameter_status.ts';
import { decodeReadyForQuery } from '../../wire/postgres/messages/ready_for_query.ts';
import { BACKEND } from '../../wire/postgres/types.ts';
import { UpstreamError } from '../errors.ts';
import type { Conversation } from './conversation.ts';
import { refusalOf } from './refusal.ts';

export interface SessionStart {
  readonly parameters: Map<string, string>;
  readonly key: { readonly pid: number; readonly secret: Buffer } | null;
}

/** More than any server reports; a server that goes on for ever is stopped. */
const MAX_MESSAGES = 500;

/** From AuthenticationOk to the first ReadyForQuery. */
export async function readSessionStart(talk: Conversation): Promise<SessionStart> {
  const parameters = new Map<string, string>();
  let key: SessionStart['key'] = null;
  for (let count = 0; count < MAX_MESSAGES; count++) {
    const { type, buffer, start, end } = await talk.next();
    if (type === BACKEND.ParameterStatus) {
      const { name, value } = decodeParameterStatus(buffer, start, end);
      parameters.set(name, value);
    } else if (type === BACKEND.BackendKeyData) {
      key = decodeBackendKeyData(buffer, start, end);
    } else if (type === BACKEND.ReadyForQuery) {
      if (decodeReadyForQuery(buffer, start, end) !== 'I') throw new UpstreamError('protocol', 'a new session is in a transaction');
      return { parameters, key };
    } else if (type === BACKEND.ErrorResponse) {
      throw refusalOf(buffer, start, end);
    } else if (type !== BACKEND.NoticeResponse) {
      throw new UpstreamError('protocol', 'the target sent a message that has no place before the first ReadyForQuery');
    }
  }
  throw new UpstreamError('protocol', 'the target does not get ready');
}
