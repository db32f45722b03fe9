/** COPY TO STDOUT in text and csv, row by row: the server sends one CopyData for each. What does not have that form throws. */
import { isUtf8 } from 'node:buffer';
import { WireError } from '../../wire/postgres/errors.ts';
import type { Detectors } from '../detect.ts';
import type { ResultPlan } from './result-plan.ts';
import type { CellMask } from './token-cell.ts';

const TAB = 0x09;
const LINE_END = 0x0a;
const QUOTE = 0x22;
const COMMA = 0x2c;

/** Start and end of a field within its row, quotes included. */
type Span = readonly [start: number, end: number];

export class CopyTokens {
  maskedValues = 0;
  readonly #plan: ResultPlan;
  readonly #csv: boolean;
  readonly #cells: ReadonlyMap<number, CellMask>;
  readonly #detectors: Detectors | null;
  #header: boolean;

  constructor(plan: ResultPlan, cells: ReadonlyMap<number, CellMask>, detectors: Detectors | null) {
    this.#plan = plan;
    this.#cells = cells;
    this.#detectors = detectors;
    this.#csv = plan.copy?.csv === true;
    this.#header = plan.copy?.header === true;
  }

  /** The row with its tokens. Detectors look at all that is between them. */
  row(row: Buffer): Buffer {
    const spans = this.#csv ? csvFields(row) : textFields(row);
    if (spans.length !== this.#plan.columns) throw malformed();
    if (this.#header) return this.#headerLine(row, spans);
    const parts: Buffer[] = [];
    let at = 0;
    for (const { index } of this.#plan.tokens) {
      const [start, end] = spans[index] as Span;
      const cell = this.#cells.get(index);
      const value = this.#csv ? csvValue(row, start, end) : textValue(row, start, end);
      if (value === null) continue;
      if (cell === undefined) throw malformed();
      const made = cell(value, 0, value.length);
      parts.push(this.#between(row.subarray(at, start)), this.#csv ? csvField(made, row[start] === QUOTE) : textField(made));
      this.maskedValues++;
      at = end;
    }
    parts.push(this.#between(row.subarray(at)));
    return Buffer.concat(parts);
  }

  /** It passes as it is only where it is what the statement makes of it: no first row goes for a header. */
  #headerLine(row: Buffer, spans: readonly Span[]): Buffer {
    this.#header = false;
    for (const { index, name } of this.#plan.tokens) {
      const [start, end] = spans[index] as Span;
      const value = this.#csv ? csvValue(row, start, end) : textValue(row, start, end);
      if (value?.toString('utf8') !== name) throw malformed();
    }
    return row;
  }

  #between(bytes: Buffer): Buffer {
    const detectors = this.#detectors;
    if (detectors === null || !detectors.mayContain(bytes, 0, bytes.length)) return bytes;
    const encoding = isUtf8(bytes) ? 'utf8' : 'latin1';
    const masked = detectors.mask(bytes.toString(encoding));
    this.maskedValues += masked.hits;
    return masked.hits === 0 ? bytes : Buffer.from(masked.text, encoding);
  }
}

function textFields(row: Buffer): Span[] {
  const end = row.length - 1;
  if (row[end] !== LINE_END || row.indexOf(LINE_END) !== end) throw malformed();
  const spans: Span[] = [];
  let start = 0;
  for (let tab = row.indexOf(TAB); tab !== -1; tab = row.indexOf(TAB, start)) {
    spans.push([start, tab]);
    start = tab + 1;
  }
  spans.push([start, end]);
  return spans;
}

const ESCAPES: { readonly [letter: string]: string } = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };
const ESCAPED: { readonly [character: string]: string } = { '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't', '\v': 'v', '\\': '\\' };

function textValue(row: Buffer, start: number, end: number): Buffer | null {
  const text = row.toString('latin1', start, end);
  if (text === '\\N') return null;
  return Buffer.from(
    text.replace(/\\(.)/gs, (_, letter: string) => ESCAPES[letter] ?? letter),
    'latin1',
  );
}

function textField(value: Buffer): Buffer {
  const text = value.toString('latin1');
  return Buffer.from(
    text.replace(/[\b\f\n\r\t\v\\]/g, (character) => `\\${ESCAPED[character]}`),
    'latin1',
  );
}

function csvFields(row: Buffer): Span[] {
  const spans: Span[] = [];
  let start = 0;
  let quoted = false;
  for (let at = 0; at < row.length; at++) {
    const byte = row[at];
    if (byte === QUOTE) quoted = !quoted;
    if (quoted) continue;
    if (byte === COMMA) {
      spans.push([start, at]);
      start = at + 1;
    } else if (byte === LINE_END) {
      if (at !== row.length - 1) throw malformed();
      spans.push([start, at]);
      return spans;
    }
  }
  throw malformed();
}

/** An empty field without quotes is NULL. */
function csvValue(row: Buffer, start: number, end: number): Buffer | null {
  if (start === end) return null;
  if (row[start] !== QUOTE) return row.subarray(start, end);
  if (row[end - 1] !== QUOTE || end - start < 2) throw malformed();
  return Buffer.from(row.toString('latin1', start + 1, end - 1).replaceAll('""', '"'), 'latin1');
}

function csvField(value: Buffer, quoted: boolean): Buffer {
  const text = value.toString('latin1');
  const needsQuotes = quoted || text === '' || /[",\n\r]/.test(text) || text === '\\.';
  return needsQuotes ? Buffer.from(`"${text.replaceAll('"', '""')}"`, 'latin1') : value;
}

function malformed(): WireError {
  return new WireError('bad_value', 'a row of COPY that is to be masked does not have its form');
}
