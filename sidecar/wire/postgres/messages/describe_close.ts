import { WireError } from '../errors.ts';
import { FRONTEND } from '../types.ts';
import { Body } from './body.ts';
import { byte, cstring, frame } from './encode.ts';

/** What Describe and Close name; both have the same form. */
export interface Named {
  readonly kind: 'statement' | 'portal';
  /** Empty for the unnamed one. */
  readonly name: string;
}

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-DESCRIBE */
export interface Describe extends Named {
  readonly type: 'Describe';
}

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-CLOSE */
export interface Close extends Named {
  readonly type: 'Close';
}

const STATEMENT = 0x53; // S
const PORTAL = 0x50; // P

function decodeNamed(buffer: Buffer, start: number, end: number): Named {
  const body = new Body(buffer, start, end);
  const kind = body.byte();
  if (kind !== STATEMENT && kind !== PORTAL) throw new WireError('bad_value', `invalid DESCRIBE or CLOSE message subtype ${kind}`);
  return { kind: kind === STATEMENT ? 'statement' : 'portal', name: body.lastCstring() };
}

export function decodeDescribe(buffer: Buffer, start: number, end: number): Describe {
  return { type: 'Describe', ...decodeNamed(buffer, start, end) };
}

export function decodeClose(buffer: Buffer, start: number, end: number): Close {
  return { type: 'Close', ...decodeNamed(buffer, start, end) };
}

export function encodeDescribe(target: Named): Buffer {
  return encodeNamed(FRONTEND.Describe, target);
}

export function encodeClose(target: Named): Buffer {
  return encodeNamed(FRONTEND.Close, target);
}

function encodeNamed(type: number, target: Named): Buffer {
  return frame(type, byte(target.kind === 'statement' ? STATEMENT : PORTAL), cstring(target.name));
}
