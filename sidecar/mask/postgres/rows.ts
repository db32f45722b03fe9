import { encodeDataRow, walkDataRow } from '../../wire/postgres/messages/data_row.ts';
import type { Column } from '../../wire/postgres/messages/row_description.ts';
import type { Detectors } from '../detect.ts';
import { type Look, lookAt, showsInBytes } from './rows-types.ts';
import { maskField } from './rows-value.ts';
import type { CellMask } from './token-cell.ts';

/** Looks at each row of one result set. */
export interface RowFilter {
  /** Values that were masked so far, those of `unproven` included. */
  readonly maskedValues: number;
  /** Values that became NULL because their binary form can't be searched (arrays, records, ranges, unknown types). */
  readonly unproven: number;
  /** Null where the DataRow goes on as it is; else the frame to send in its place. Throws WireError for a malformed row. */
  filter(buffer: Buffer, start: number, end: number): Buffer | null;
}

/** `formats` as in Bind: empty is all text, one is for all columns, else one each. `cells`: by index, columns of which each value is replaced. */
export function createRowFilter(
  columns: readonly Pick<Column, 'dataType'>[],
  formats: readonly number[],
  detectors: Detectors | null,
  cells: ReadonlyMap<number, CellMask> = NO_CELLS,
): RowFilter {
  return new MaskingRowFilter(columns, formats, detectors, cells);
}

const NO_CELLS: ReadonlyMap<number, CellMask> = new Map();

class MaskingRowFilter implements RowFilter {
  maskedValues = 0;
  unproven = 0;
  readonly #detectors: Detectors | null;
  readonly #cells: ReadonlyMap<number, CellMask>;
  readonly #looks: readonly Look[];
  readonly #types: readonly number[];
  readonly #formats: readonly number[];
  /** One look at the bytes of the whole row tells whether there is anything in it. */
  readonly #quick: boolean;
  readonly #fields: Int32Array;

  constructor(
    columns: readonly Pick<Column, 'dataType'>[],
    formats: readonly number[],
    detectors: Detectors | null,
    cells: ReadonlyMap<number, CellMask>,
  ) {
    this.#detectors = detectors;
    this.#cells = cells;
    this.#formats = columns.map((_, i) => (formats.length === 1 ? formats[0] : formats[i]) ?? 0);
    this.#types = columns.map((column) => column.dataType);
    this.#looks = columns.map((column, i) => lookAt(column.dataType, this.#formats[i] as number));
    this.#quick = cells.size === 0 && this.#looks.every((look, i) => showsInBytes(look, this.#formats[i] as number));
    this.#fields = new Int32Array(2 * columns.length);
  }

  filter(buffer: Buffer, start: number, end: number): Buffer | null {
    const detectors = this.#detectors;
    if (this.#quick && detectors?.mayContain(buffer, start, end) !== true) return null;
    const fields = this.#fields;
    walkDataRow(buffer, start, end, this.#looks.length, fields);
    let row: (Buffer | null)[] | null = null;
    for (let i = 0; i < this.#looks.length; i++) {
      const length = fields[2 * i + 1] as number;
      const cell = this.#cells.get(i);
      if (cell !== undefined) {
        if (length === -1) continue;
        row ??= this.#views(buffer);
        row[i] = cell(buffer, fields[2 * i] as number, length);
        this.maskedValues++;
        continue;
      }
      if (this.#looks[i] === 'never' && length !== -1) {
        row ??= this.#views(buffer);
        row[i] = null;
        this.maskedValues++;
        continue;
      }
      if (length <= 0 || detectors === null) continue;
      const masked = maskField(
        this.#looks[i] as Look,
        this.#types[i] as number,
        this.#formats[i] as number,
        buffer,
        fields[2 * i] as number,
        length,
        detectors,
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
