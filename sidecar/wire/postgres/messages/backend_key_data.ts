import { WireError } from '../errors.ts';
import { BACKEND } from '../types.ts';
import { Body } from './body.ts';
import { frame, int32 } from './encode.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-BACKENDKEYDATA */
export interface BackendKeyData {
  readonly pid: number;
  /** 4 bytes with protocol 3.0, 4 to 256 with 3.2. A copy: it outlives the frame. */
  readonly secret: Buffer;
}

export function decodeBackendKeyData(buffer: Buffer, start: number, end: number): BackendKeyData {
  const body = new Body(buffer, start, end);
  const pid = body.int32();
  checkSecret(body.left);
  return { pid, secret: Buffer.from(body.rest()) };
}

export function encodeBackendKeyData(pid: number, secret: Uint8Array): Buffer {
  checkSecret(secret.length);
  return frame(BACKEND.BackendKeyData, int32(pid), secret);
}

function checkSecret(bytes: number): void {
  if (bytes < 4 || bytes > 256) throw new WireError('bad_length', 'a cancel key has 4 to 256 bytes');
}
