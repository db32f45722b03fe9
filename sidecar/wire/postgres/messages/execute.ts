import { FRONTEND } from '../types.ts';
import { Body } from './body.ts';
import { cstring, frame, int32 } from './encode.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-EXECUTE */
export interface Execute {
  readonly type: 'Execute';
  readonly portal: string;
  /** Rows to return at most; 0 and below mean all. */
  readonly maxRows: number;
}

export function decodeExecute(buffer: Buffer, start: number, end: number): Execute {
  const body = new Body(buffer, start, end);
  const portal = body.cstring();
  const maxRows = body.int32();
  body.finish();
  return { type: 'Execute', portal, maxRows };
}

export function encodeExecute(portal: string, maxRows = 0): Buffer {
  return frame(FRONTEND.Execute, cstring(portal), int32(maxRows));
}
