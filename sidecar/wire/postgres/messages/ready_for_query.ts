import { WireError } from '../errors.ts';
import { BACKEND } from '../types.ts';
import { Body } from './body.ts';
import { frame } from './encode.ts';

/** I: idle; T: in a transaction; E: in one that failed. */
export type TransactionStatus = 'I' | 'T' | 'E';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-READYFORQUERY */
export function decodeReadyForQuery(buffer: Buffer, start: number, end: number): TransactionStatus {
  const body = new Body(buffer, start, end);
  const status = body.byte();
  body.finish();
  if (status === 0x49) return 'I';
  if (status === 0x54) return 'T';
  if (status === 0x45) return 'E';
  throw new WireError('bad_value', 'a transaction status is none of I, T and E');
}

export function encodeReadyForQuery(status: TransactionStatus): Buffer {
  return frame(BACKEND.ReadyForQuery, Buffer.from(status));
}
