import { BACKEND } from '../types.ts';
import { Body } from './body.ts';
import { cstring, frame } from './encode.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PARAMETERSTATUS */
export interface ParameterStatus {
  readonly name: string;
  readonly value: string;
}

export function decodeParameterStatus(buffer: Buffer, start: number, end: number): ParameterStatus {
  const body = new Body(buffer, start, end);
  return { name: body.cstring(), value: body.lastCstring() };
}

export function encodeParameterStatus(name: string, value: string): Buffer {
  return frame(BACKEND.ParameterStatus, cstring(name), cstring(value));
}
