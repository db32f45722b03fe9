import { BACKEND } from '../types.ts';
import { Body, format } from './body.ts';
import { cstring, frame, int32, uint16 } from './encode.ts';

/** https://www.postgresql.org/docs/current/protocol-message-formats.html#PROTOCOL-MESSAGE-FORMATS-ROWDESCRIPTION */
export interface Column {
  readonly name: string;
  /** OID of the table that the column is a plain column of; 0 where it is not one. */
  readonly table: number;
  /** Attribute number in that table; 0 where it is not one. */
  readonly attribute: number;
  /** OID of the type. */
  readonly dataType: number;
  readonly size: number;
  readonly modifier: number;
  /** Text for the answer to a Describe of a statement: the formats are not known yet. */
  readonly format: 0 | 1;
}

export function decodeRowDescription(buffer: Buffer, start: number, end: number): Column[] {
  const body = new Body(buffer, start, end);
  const columns = body.list(column);
  body.finish();
  return columns;
}

function column(body: Body): Column {
  const name = body.cstring();
  const table = body.uint32();
  const attribute = body.int16();
  const dataType = body.uint32();
  const size = body.int16();
  const modifier = body.int32();
  return { name, table, attribute, dataType, size, modifier, format: format(body.uint16()) };
}

export function encodeRowDescription(columns: readonly Column[]): Buffer {
  return frame(BACKEND.RowDescription, uint16(columns.length), ...columns.flatMap(encodeColumn));
}

function encodeColumn(c: Column): Buffer[] {
  return [
    cstring(c.name),
    int32(c.table),
    uint16(c.attribute & 0xffff),
    int32(c.dataType),
    uint16(c.size & 0xffff),
    int32(c.modifier),
    uint16(c.format),
  ];
}

/** A column of text that is no table's. */
export function textColumn(name: string): Column {
  return { name, table: 0, attribute: 0, dataType: 25, size: -1, modifier: -1, format: 0 };
}
