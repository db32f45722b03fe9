import { createHash } from 'node:crypto';
import type { HttpAction } from '#crds/policy/action.ts';
import type { RecordedAction } from '#crds/record/event.ts';
import type { ResourceKey, SessionRecorder } from '../../pipeline.ts';

const MAX_QUERY = 4096;
/** A value of a query that says nothing that is secret: short, and of a name that promises none. */
const PLAIN_VALUE = /^[A-Za-z0-9._:, -]{0,24}$/;
const SECRET_NAME = /token|key|secret|pass|auth|sig|session|cred|code|jwt|pin/i;

/** A request as it is recorded and shown to approvers: values of the query that may be secret are tokenised. */
export function recordedRequest(action: HttpAction, recorder: SessionRecorder): RecordedAction {
  const { method, host, path } = action;
  const query = tokenisedQuery(action.query, (value) => recorder.tokenise(value));
  return { type: 'http', method, host, path, ...(query !== '' && { query }) };
}

export function tokenisedQuery(query: string, tokenise: (value: string) => string): string {
  if (query.length > MAX_QUERY) return tokenise(query);
  const parameter = (text: string): string => {
    const equals = text.indexOf('=');
    if (equals === -1) return PLAIN_VALUE.test(text) ? text : tokenise(text);
    const name = text.slice(0, equals);
    const value = text.slice(equals + 1);
    if (!PLAIN_VALUE.test(name)) return tokenise(text);
    return `${name}=${!SECRET_NAME.test(name) && PLAIN_VALUE.test(value) ? value : tokenise(value)}`;
  };
  return query.split('&').map(parameter).join('&');
}

/** What an approval of a request is bound to: the resource, the head that is sent, the body, and who asked for the approval. SHA-256, hex. */
export function bindingOf(resource: ResourceKey, head: Uint8Array, body: Uint8Array, asked: string): string {
  const hash = createHash('sha256');
  const parts = [Buffer.from(`${resource.namespace}/${resource.name}`), head, body, Buffer.from(asked)];
  for (const part of parts) hash.update(createHash('sha256').update(part).digest());
  return hash.digest('hex');
}
