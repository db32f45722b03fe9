import { WireError } from '../errors.ts';
import { FRONTEND } from '../types.ts';
import { Body, format } from './body.ts';
import { cstring, frame, uint16, uint16s, values } from './encode.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-BIND */
export interface Bind {
  readonly type: 'Bind';
  readonly portal: string;
  readonly statement: string;
  /** As sent: none (all text), one for all, or one each. */
  readonly parameterFormats: readonly (0 | 1)[];
  /** Views of the frame; null for SQL NULL. */
  readonly parameters: readonly (Buffer | null)[];
  /** As sent: none (all text), one for all, or one each; how many columns there are is not known here. */
  readonly resultFormats: readonly (0 | 1)[];
}

export function decodeBind(buffer: Buffer, start: number, end: number): Bind {
  const body = new Body(buffer, start, end);
  const portal = body.cstring();
  const statement = body.cstring();
  const parameterFormats = formats(body);
  const parameters = body.list(valueOf);
  if (parameterFormats.length > 1 && parameterFormats.length !== parameters.length) {
    throw new WireError('count_mismatch', 'a Bind has more or fewer parameter formats than parameters');
  }
  const resultFormats = formats(body);
  body.finish();
  return { type: 'Bind', portal, statement, parameterFormats, parameters, resultFormats };
}

function formats(body: Body): (0 | 1)[] {
  return body.list(formatOf);
}

const valueOf = (body: Body) => body.value();
const formatOf = (body: Body) => format(body.uint16());

/** The format of parameter or column `index` from 0. */
export function formatAt(list: readonly (0 | 1)[], index: number): 0 | 1 {
  return (list.length === 1 ? list[0] : list[index]) ?? 0;
}

export function encodeBind(message: Omit<Bind, 'type' | 'parameters'> & { readonly parameters: readonly (Uint8Array | null)[] }): Buffer {
  return frame(
    FRONTEND.Bind,
    cstring(message.portal),
    cstring(message.statement),
    uint16s(message.parameterFormats),
    uint16(message.parameters.length),
    ...values(message.parameters),
    uint16s(message.resultFormats),
  );
}
