import { BACKEND } from '../types.ts';
import { Body } from './body.ts';
import { cstring, frame } from './encode.ts';

/** The command tag, such as `SELECT 3`. https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-COMMANDCOMPLETE */
export function decodeCommandComplete(buffer: Buffer, start: number, end: number): string {
  return new Body(buffer, start, end).lastCstring();
}

/** Rows of a tag: the last word where it is a number, else null. */
export function rowsOfTag(tag: string): number | null {
  const digits = /^[A-Z][A-Z ]* (?:0 )?(\d{1,19})$/.exec(tag)?.[1];
  return digits === undefined ? null : Number(digits);
}

export function encodeCommandComplete(tag: string): Buffer {
  return frame(BACKEND.CommandComplete, cstring(tag));
}
