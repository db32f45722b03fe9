import { WireError } from '../errors.ts';
import { BACKEND } from '../types.ts';
import { frame, uint16, values } from './encode.ts';

/** Number of columns of a DataRow. https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-DATAROW */
export function dataRowColumns(buffer: Buffer, start: number, end: number): number {
  if (end - start < 7) throw new WireError('truncated', 'a DataRow has no column count');
  return ((buffer[start + 5] as number) << 8) | (buffer[start + 6] as number);
}

/**
 * Finds the fields of a DataRow: `fields[2 * i]` is where the bytes of column `i` start in `buffer`, `fields[2 * i + 1]` how many
 * there are, -1 for NULL. Throws where the row has another number of columns than the RowDescription that the caller goes by, where a
 * field ends past the row, and where bytes are left over. `fields` has room for `2 * columns`.
 */
export function walkDataRow(buffer: Buffer, start: number, end: number, columns: number, fields: Int32Array): void {
  if (dataRowColumns(buffer, start, end) !== columns) {
    throw new WireError('count_mismatch', 'a DataRow has another number of columns than its RowDescription');
  }
  let position = start + 7;
  for (let i = 0; i < columns; i++) {
    if (end - position < 4) throw new WireError('truncated', 'a DataRow ends within a length');
    const length =
      ((buffer[position] as number) << 24) |
      ((buffer[position + 1] as number) << 16) |
      ((buffer[position + 2] as number) << 8) |
      (buffer[position + 3] as number);
    position += 4;
    fields[2 * i] = position;
    fields[2 * i + 1] = length;
    if (length === -1) continue;
    if (length < 0) throw new WireError('bad_length', 'a field has a negative length');
    if (length > end - position) throw new WireError('truncated', 'a field ends past its row');
    position += length;
  }
  if (position !== end) throw new WireError('trailing_bytes', 'bytes are left over at the end of a row');
}

/** Views of the fields; for rows that are not on the hot path. */
export function decodeDataRow(buffer: Buffer, start: number, end: number): (Buffer | null)[] {
  const columns = dataRowColumns(buffer, start, end);
  const fields = new Int32Array(2 * columns);
  walkDataRow(buffer, start, end, columns, fields);
  return Array.from({ length: columns }, (_, i) => {
    const at = fields[2 * i] as number;
    const length = fields[2 * i + 1] as number;
    return length === -1 ? null : buffer.subarray(at, at + length);
  });
}

export function encodeDataRow(row: readonly (Uint8Array | null)[]): Buffer {
  return frame(BACKEND.DataRow, uint16(row.length), ...values(row));
}
