import type { Column } from '../../wire/postgres/messages/row_description.ts';
import type { Detectors } from '../detect.ts';

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
export function createRowFilter(_columns: readonly Column[], _formats: readonly number[], _detectors: Detectors): RowFilter {
  throw new Error('not yet');
}
