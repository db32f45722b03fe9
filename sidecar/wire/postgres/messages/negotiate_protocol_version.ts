import { WireError } from '../errors.ts';
import { BACKEND } from '../types.ts';
import { Body } from './body.ts';
import { cstring, frame, int32 } from './encode.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-NEGOTIATEPROTOCOLVERSION */
export interface NegotiateProtocolVersion {
  /** The newest version that the server speaks of the major asked for, whole: PROTOCOL_3_0 and so on. Servers before 18 send the minor alone. */
  readonly version: number;
  /** The `_pq_.` options that it does not know. */
  readonly unknownOptions: readonly string[];
}

export function decodeNegotiateProtocolVersion(buffer: Buffer, start: number, end: number): NegotiateProtocolVersion {
  const body = new Body(buffer, start, end);
  const sent = body.uint32();
  const version = sent >>> 16 === 0 ? 0x0003_0000 | sent : sent;
  const count = body.uint32();
  if (count > body.left) throw new WireError('truncated', 'a NegotiateProtocolVersion has fewer options than it says');
  const unknownOptions = Array.from({ length: count }, () => body.cstring());
  body.finish();
  return { version, unknownOptions };
}

export function encodeNegotiateProtocolVersion(message: NegotiateProtocolVersion): Buffer {
  const options = message.unknownOptions;
  return frame(BACKEND.NegotiateProtocolVersion, int32(message.version), int32(options.length), ...options.map(cstring));
}
