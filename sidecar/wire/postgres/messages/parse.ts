import { FRONTEND } from '../types.ts';
import { Body } from './body.ts';
import { cstring, frame, int32, uint16 } from './encode.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PARSE */
export interface Parse {
  readonly type: 'Parse';
  /** Name of the statement; empty for the unnamed one. */
  readonly statement: string;
  readonly text: string;
  /** OIDs; 0 leaves the type to the server. */
  readonly parameterTypes: readonly number[];
}

export function decodeParse(buffer: Buffer, start: number, end: number): Parse {
  const body = new Body(buffer, start, end);
  const statement = body.cstring();
  const text = body.cstring();
  const parameterTypes = body.list(typeOf);
  body.finish();
  return { type: 'Parse', statement, text, parameterTypes };
}

const typeOf = (body: Body) => body.uint32();

export function encodeParse(message: Omit<Parse, 'type'>): Buffer {
  const { statement, text, parameterTypes } = message;
  return frame(FRONTEND.Parse, cstring(statement), cstring(text), uint16(parameterTypes.length), ...parameterTypes.map(int32));
}
