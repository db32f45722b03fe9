import { WireError } from '../errors.ts';
import { BACKEND } from '../types.ts';
import { Body, utf8 } from './body.ts';
import { cstring, frame, int32 } from './encode.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-AUTHENTICATIONOK (and the ones after it) */
export type Authentication =
  | { readonly type: 'AuthenticationOk' }
  | { readonly type: 'AuthenticationCleartextPassword' }
  | { readonly type: 'AuthenticationMD5Password'; readonly salt: Buffer }
  | { readonly type: 'AuthenticationSASL'; readonly mechanisms: readonly string[] }
  | { readonly type: 'AuthenticationSASLContinue'; readonly data: string }
  | { readonly type: 'AuthenticationSASLFinal'; readonly data: string }
  /** KerberosV5, GSS, GSSContinue, SSPI, SCM: known, and never spoken here. */
  | { readonly type: 'AuthenticationUnsupported'; readonly code: number };

const UNSUPPORTED: readonly number[] = [2, 6, 7, 8, 9];

export function decodeAuthentication(buffer: Buffer, start: number, end: number): Authentication {
  const body = new Body(buffer, start, end);
  const code = body.int32();
  const message = authentication(code, body);
  body.finish();
  return message;
}

function authentication(code: number, body: Body): Authentication {
  switch (code) {
    case 0:
      return { type: 'AuthenticationOk' };
    case 3:
      return { type: 'AuthenticationCleartextPassword' };
    case 5:
      return { type: 'AuthenticationMD5Password', salt: body.bytes(4) };
    case 10:
      return { type: 'AuthenticationSASL', mechanisms: mechanisms(body) };
    case 11:
      return { type: 'AuthenticationSASLContinue', data: utf8(body.rest()) };
    case 12:
      return { type: 'AuthenticationSASLFinal', data: utf8(body.rest()) };
    default:
      if (!UNSUPPORTED.includes(code)) throw new WireError('bad_value', `invalid authentication request ${code}`);
      body.rest();
      return { type: 'AuthenticationUnsupported', code };
  }
}

function mechanisms(body: Body): string[] {
  const names: string[] = [];
  for (let name = body.cstring(); name !== ''; name = body.cstring()) names.push(name);
  return names;
}

export function encodeAuthenticationOk(): Buffer {
  return frame(BACKEND.Authentication, int32(0));
}

export function encodeAuthenticationCleartextPassword(): Buffer {
  return frame(BACKEND.Authentication, int32(3));
}

export function encodeAuthenticationSasl(names: readonly string[]): Buffer {
  return frame(BACKEND.Authentication, int32(10), ...names.map(cstring), Buffer.from([0]));
}

export function encodeAuthenticationSaslContinue(data: string): Buffer {
  return frame(BACKEND.Authentication, int32(11), Buffer.from(data));
}

export function encodeAuthenticationSaslFinal(data: string): Buffer {
  return frame(BACKEND.Authentication, int32(12), Buffer.from(data));
}
