import { WireError } from '../errors.ts';
import { Body, format } from './body.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-FUNCTIONCALL */
export interface FunctionCall {
  readonly type: 'FunctionCall';
  /** OID of the function. */
  readonly function: number;
  readonly argumentFormats: readonly (0 | 1)[];
  readonly arguments: readonly (Buffer | null)[];
  readonly resultFormat: 0 | 1;
}

/** For the record of a refusal: the driver never forwards one. */
export function decodeFunctionCall(buffer: Buffer, start: number, end: number): FunctionCall {
  const body = new Body(buffer, start, end);
  const oid = body.uint32();
  const argumentFormats = Array.from({ length: body.uint16() }, () => format(body.uint16()));
  const args = Array.from({ length: body.uint16() }, () => body.value());
  if (argumentFormats.length > 1 && argumentFormats.length !== args.length) {
    throw new WireError('count_mismatch', 'a FunctionCall has more or fewer formats than arguments');
  }
  const resultFormat = format(body.uint16());
  body.finish();
  return { type: 'FunctionCall', function: oid, argumentFormats, arguments: args, resultFormat };
}
