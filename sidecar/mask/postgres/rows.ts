import { encodeDataRow, walkDataRow } from '../../wire/postgres/messages/data_row.ts';
import type { Column } from '../../wire/postgres/messages/row_description.ts';
import type { Detectors } from '../detect.ts';
import { type Look, lookAt, showsInBytes } from './rows-types.ts';
import { maskField } from './rows-value.ts';

/** Looks at each row of one result set. */
export interface RowFilter {
  /** Values that were masked so far, those of `unproven` included. */
  readonly maskedValues: number;
  /** Values that became NULL because their binary form can't be searched (arrays, records, ranges, unknown types). */
  readonly unproven: number;
  /** Null where the DataRow goes on as it is; else the frame to send in its place. Throws WireError for a malformed row. */
  filter(buffer: Buffer, start: number, end: number): Buffer | null;
}

/** `formats` as in Bind: empty is all text, one is for all columns, else one each. */
export function createRowFilter(columns: readonly Pick<Column, 'dataType'>[], formats: readonly number[], detectors: Detectors): RowFilter {
  return new DetectingRowFilter(columns, formats, detectors);
}

class DetectingRowFilter implements RowFilter {
  maskedValues = 0;
  unproven = 0;
  readonly #detectors: Detectors;
  readonly #looks: readonly Look[];
  readonly #formats: readonly number[];
  /** One look at the bytes of the whole row tells whether there is anything in it. */
  readonly #quick: boolean;
  readonly #fields: Int32Array;

  constructor(columns: readonly Pick<Column, 'dataType'>[], formats: readonly number[], detectors: Detectors) {
    this.#detectors = detectors;
    this.#formats = columns.map((_, i) => (formats.length === 1 ? formats[0] : formats[i]) ?? 0);
    this.#looks = columns.map((column, i) => lookAt(column.dataType, this.#formats[i] as number));
    this.#quick = this.#looks.every((look, i) => showsInBytes(look, this.#formats[i] as number));
    this.#fields = new Int32Array(2 * columns.length);
  }

  filter(buffer: Buffer, start: number, end: number): Buffer | null {
    if (this.#quick && !this.#detectors.mayContain(buffer, start, end)) return null;
    const fields = this.#fields;
    walkDataRow(buffer, start, end, this.#looks.length, fields);
    let row: (Buffer | null)[] | null = null;
    for (let i = 0; i < this.#looks.length; i++) {
      const length = fields[2 * i + 1] as number;
      if (length <= 0) continue;
      const masked = maskField(
        this.#looks[i] as Look,
        this.#formats[i] as number,
        buffer,
        fields[2 * i] as number,
        length,
        this.#detectors,
      );
      if (masked.type === 'same') continue;
      row ??= this.#views(buffer);
      row[i] = masked.type === 'null' ? null : masked.bytes;
      this.maskedValues += masked.hits;
      if (masked.type === 'null' && masked.unproven) this.unproven++;
    }
    return row === null ? null : encodeDataRow(row);
  }

  #views(buffer: Buffer): (Buffer | null)[] {
    const fields = this.#fields;
    return this.#looks.map((_, i) => {
      const at = fields[2 * i] as number;
      const length = fields[2 * i + 1] as number;
      return length === -1 ? null : buffer.subarray(at, at + length);
    });
  }
}
