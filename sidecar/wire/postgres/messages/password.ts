import { WireError } from '../errors.ts';
import { FRONTEND } from '../types.ts';
import { Body } from './body.ts';
import { cstring, frame, int32 } from './encode.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-PASSWORDMESSAGE */
export function decodePassword(buffer: Buffer, start: number, end: number): string {
  return new Body(buffer, start, end).lastCstring();
}

/** `password` may hold any byte but NUL. The caller clears the result once it is written. */
export function encodePassword(password: Uint8Array): Buffer {
  if (password.includes(0)) throw new WireError('embedded_nul', 'a password holds a NUL');
  return frame(FRONTEND.Password, password, Buffer.from([0]));
}

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SASLINITIALRESPONSE */
export interface SaslInitialResponse {
  readonly mechanism: string;
  /** A view of the frame; null where the client has no initial response. */
  readonly data: Buffer | null;
}

export function decodeSaslInitialResponse(buffer: Buffer, start: number, end: number): SaslInitialResponse {
  const body = new Body(buffer, start, end);
  const mechanism = body.cstring();
  const data = body.value();
  body.finish();
  return { mechanism, data };
}

export function encodeSaslInitialResponse(mechanism: string, data: Uint8Array): Buffer {
  return frame(FRONTEND.Password, cstring(mechanism), int32(data.length), data);
}

/** A view of the frame. https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-SASLRESPONSE */
export function decodeSaslResponse(buffer: Buffer, start: number, end: number): Buffer {
  return new Body(buffer, start, end).rest();
}

export function encodeSaslResponse(data: Uint8Array): Buffer {
  return frame(FRONTEND.Password, data);
}
