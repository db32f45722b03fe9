import type { Analysis } from '../../mask/postgres/analyse.ts';
import type { ErrorFields } from '../../wire/postgres/messages/error_notice.ts';
import type { Expect } from './expect.ts';

/** The place of an error in the text that the client sent, where another one went to the server. */
export function inReceived(fields: ErrorFields, head: Expect | undefined): ErrorFields {
  const { position } = fields;
  const analysis = analysisOf(head);
  if (position === undefined || analysis === null || analysis.sent === analysis.sql || !/^[1-9]\d{0,8}$/.test(position)) return fields;
  return { ...fields, position: String(analysis.receivedPosition(Number(position))) };
}

function analysisOf(head: Expect | undefined): Analysis | null {
  if (head?.type === 'query' || head?.type === 'execute') return head.run.analysis;
  const value = head?.type === 'parse' ? head.change.value : null;
  return value?.type === 'statement' ? value.analysis : null;
}
