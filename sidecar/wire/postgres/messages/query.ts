import { FRONTEND } from '../types.ts';
import { Body } from './body.ts';
import { cstring, frame } from './encode.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-QUERY */
export interface Query {
  readonly type: 'Query';
  readonly text: string;
}

export function decodeQuery(buffer: Buffer, start: number, end: number): Query {
  return { type: 'Query', text: new Body(buffer, start, end).lastCstring() };
}

export function encodeQuery(text: string): Buffer {
  return frame(FRONTEND.Query, cstring(text));
}
