import { WireError } from '../errors.ts';
import { Body } from './body.ts';
import { cstring, int32, untypedFrame } from './encode.ts';

/** 3.0 and 3.2: major in the upper 16 bits. https://www.postgresql.org/docs/current/protocol-overview.html */
export const PROTOCOL_3_0 = 0x0003_0000;
export const PROTOCOL_3_2 = 0x0003_0002;

const SSL_REQUEST = 80_877_103;
const GSSENC_REQUEST = 80_877_104;
const CANCEL_REQUEST = 80_877_102;
const MAX_SECRET_BYTES = 256;

export interface StartupMessage {
  readonly type: 'StartupMessage';
  /** As asked, such as PROTOCOL_3_2; the major is 3. A minor above 2 is answered with NegotiateProtocolVersion. */
  readonly version: number;
  /** In the order sent. Names are unique. */
  readonly parameters: readonly (readonly [name: string, value: string])[];
}

export interface CancelRequest {
  readonly type: 'CancelRequest';
  readonly pid: number;
  /** 4 bytes with protocol 3.0, up to 256 with 3.2. */
  readonly secret: Buffer;
}

export type StartupPacket = StartupMessage | CancelRequest | { readonly type: 'SSLRequest' } | { readonly type: 'GSSENCRequest' };

/**
 * An untyped packet. https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-STARTUPMESSAGE
 * (also SSLRequest, GSSENCRequest and CancelRequest). Protocol 2.0, HTTP and TLS in the clear all end as WireError.
 */
export function decodeStartupPacket(buffer: Buffer, start: number, end: number): StartupPacket {
  const body = new Body(buffer, start, end, 4);
  const code = body.uint32();
  switch (code) {
    case SSL_REQUEST:
      body.finish();
      return { type: 'SSLRequest' };
    case GSSENC_REQUEST:
      body.finish();
      return { type: 'GSSENCRequest' };
    case CANCEL_REQUEST:
      return decodeCancel(body);
    default:
      return decodeStartup(body, code);
  }
}

function decodeCancel(body: Body): CancelRequest {
  const pid = body.int32();
  if (body.left < 4 || body.left > MAX_SECRET_BYTES) throw new WireError('bad_length', 'a cancel key has 4 to 256 bytes');
  return { type: 'CancelRequest', pid, secret: body.rest() };
}

function decodeStartup(body: Body, version: number): StartupMessage {
  if (version >>> 16 !== 3) {
    throw new WireError(
      'unsupported_protocol',
      `unsupported frontend protocol ${version >>> 16}.${version & 0xffff}: server supports 3.0 to 3.2`,
    );
  }
  const parameters: [string, string][] = [];
  const seen = new Set<string>();
  for (;;) {
    const name = body.cstring();
    if (name === '') break;
    const value = body.cstring();
    // PostgreSQL takes the last one: two readers could disagree on who the user is.
    if (seen.has(name)) throw new WireError('duplicate_parameter', 'a startup parameter is given twice');
    seen.add(name);
    parameters.push([name, value]);
  }
  body.finish();
  return { type: 'StartupMessage', version, parameters };
}

export function encodeStartupMessage(version: number, parameters: Iterable<readonly [string, string]>): Buffer {
  const parts: Buffer[] = [int32(version)];
  for (const [name, value] of parameters) {
    if (name === '') throw new WireError('bad_value', 'a startup parameter has no name');
    parts.push(cstring(name), cstring(value));
  }
  return untypedFrame(...parts, Buffer.from([0]));
}

export function encodeSslRequest(): Buffer {
  return untypedFrame(int32(SSL_REQUEST));
}

export function encodeCancelRequest(pid: number, secret: Uint8Array): Buffer {
  if (secret.length < 4 || secret.length > MAX_SECRET_BYTES) throw new WireError('bad_length', 'a cancel key has 4 to 256 bytes');
  return untypedFrame(int32(CANCEL_REQUEST), int32(pid), secret);
}
