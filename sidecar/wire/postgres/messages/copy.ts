import { WireError } from '../errors.ts';
import { BACKEND, FRONTEND } from '../types.ts';
import { Body, format } from './body.ts';
import { byte, cstring, frame, uint16s } from './encode.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COPYINRESPONSE (also Out and Both) */
export interface CopyResponse {
  /** 0: rows of text; 1: the binary format. */
  readonly format: 0 | 1;
  /** One each column; all 0 where the whole is text. */
  readonly columnFormats: readonly (0 | 1)[];
}

export function decodeCopyResponse(buffer: Buffer, start: number, end: number): CopyResponse {
  const body = new Body(buffer, start, end);
  const whole = format(body.byte());
  const columnFormats = Array.from({ length: body.uint16() }, () => format(body.uint16()));
  body.finish();
  if (whole === 0 && columnFormats.includes(1)) throw new WireError('bad_value', 'a COPY in text has a binary column');
  return { format: whole, columnFormats };
}

export function encodeCopyResponse(name: 'CopyInResponse' | 'CopyOutResponse', response: CopyResponse): Buffer {
  return frame(BACKEND[name], byte(response.format), uint16s(response.columnFormats));
}

/** A view of the data. https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COPYDATA */
export function decodeCopyData(buffer: Buffer, start: number, end: number): Buffer {
  return new Body(buffer, start, end).rest();
}

/** The same type byte in both directions. */
export function encodeCopyData(data: Uint8Array): Buffer {
  return frame(BACKEND.CopyData, data);
}

export function encodeCopyDone(): Buffer {
  return frame(BACKEND.CopyDone);
}

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COPYFAIL */
export interface CopyFail {
  readonly type: 'CopyFail';
  readonly message: string;
}

export function decodeCopyFail(buffer: Buffer, start: number, end: number): CopyFail {
  return { type: 'CopyFail', message: new Body(buffer, start, end).lastCstring() };
}

export function encodeCopyFail(message: string): Buffer {
  return frame(FRONTEND.CopyFail, cstring(message));
}
