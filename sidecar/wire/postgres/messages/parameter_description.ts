import { BACKEND } from '../types.ts';
import { Body } from './body.ts';
import { frame, int32, uint16 } from './encode.ts';

/** OIDs of a statement's parameters. https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PARAMETERDESCRIPTION */
export function decodeParameterDescription(buffer: Buffer, start: number, end: number): number[] {
  const body = new Body(buffer, start, end);
  const types = body.list(typeOf);
  body.finish();
  return types;
}

export function encodeParameterDescription(types: readonly number[]): Buffer {
  return frame(BACKEND.ParameterDescription, uint16(types.length), ...types.map(int32));
}

const typeOf = (body: Body) => body.uint32();
