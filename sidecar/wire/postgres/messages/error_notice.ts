import { WireError } from '../errors.ts';
import { BACKEND } from '../types.ts';
import { Body } from './body.ts';
import { byte, cstring, frame } from './encode.ts';

/** https://www.postgresql.org/docs/current/protocol-error-fields.html */
export interface ErrorFields {
  /** S: ERROR, FATAL or PANIC; WARNING, NOTICE, DEBUG, INFO or LOG; translated. */
  readonly severity: string;
  /** V: the same, never translated. */
  readonly severityEnglish?: string;
  /** C: five characters. */
  readonly sqlstate: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
  /** P: a decimal number of characters, from 1. */
  readonly position?: string;
  readonly internalPosition?: string;
  readonly internalQuery?: string;
  readonly where?: string;
  readonly schema?: string;
  readonly table?: string;
  readonly column?: string;
  readonly dataType?: string;
  readonly constraint?: string;
  readonly file?: string;
  readonly line?: string;
  readonly routine?: string;
}

/** In the order in which the server sends them. */
const LETTERS = [
  ['S', 'severity'],
  ['V', 'severityEnglish'],
  ['C', 'sqlstate'],
  ['M', 'message'],
  ['D', 'detail'],
  ['H', 'hint'],
  ['W', 'where'],
  ['s', 'schema'],
  ['t', 'table'],
  ['c', 'column'],
  ['d', 'dataType'],
  ['n', 'constraint'],
  ['P', 'position'],
  ['p', 'internalPosition'],
  ['q', 'internalQuery'],
  ['F', 'file'],
  ['L', 'line'],
  ['R', 'routine'],
] as const satisfies readonly (readonly [string, keyof ErrorFields])[];

const NAME_OF = new Map<number, keyof ErrorFields>(LETTERS.map(([letter, name]) => [letter.charCodeAt(0), name]));

/**
 * Of an ErrorResponse or a NoticeResponse. https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-ERRORRESPONSE
 * Fields of an unknown letter are left out, as the protocol asks for. A server that sends no SQLSTATE, severity or message
 * gets XX000, ERROR and an empty one: an error is never taken for something else because it is incomplete.
 */
export function decodeErrorFields(buffer: Buffer, start: number, end: number): ErrorFields {
  const body = new Body(buffer, start, end);
  const fields: { -readonly [K in keyof ErrorFields]?: ErrorFields[K] } = {};
  for (let letter = body.byte(); letter !== 0; letter = body.byte()) {
    const name = NAME_OF.get(letter);
    const value = body.cstring();
    if (name === undefined) continue;
    if (fields[name] !== undefined) throw new WireError('bad_value', 'an error has the same field twice');
    fields[name] = value;
  }
  body.finish();
  const sqlstate = fields.sqlstate !== undefined && /^[0-9A-Z]{5}$/.test(fields.sqlstate) ? fields.sqlstate : 'XX000';
  return { ...fields, severity: fields.severity ?? 'ERROR', sqlstate, message: fields.message ?? '' };
}

export function encodeErrorResponse(fields: ErrorFields): Buffer {
  return encodeFields(BACKEND.ErrorResponse, fields);
}

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-NOTICERESPONSE */
export function encodeNoticeResponse(fields: ErrorFields): Buffer {
  return encodeFields(BACKEND.NoticeResponse, fields);
}

function encodeFields(type: number, fields: ErrorFields): Buffer {
  // Clients since 9.6 go by V. What the sidecar says is never translated, so S does for both.
  const all: ErrorFields = { severityEnglish: fields.severity, ...fields };
  const parts: Buffer[] = [];
  for (const [letter, name] of LETTERS) {
    const value = all[name];
    if (value !== undefined) parts.push(byte(letter.charCodeAt(0)), cstring(value));
  }
  return frame(type, ...parts, byte(0));
}
