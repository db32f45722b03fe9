/**
 * Statements that differ in integers alone have one analysis: clients of the simple protocol write their values into the text.
 * Only for plain texts, where an integer can be told from everything else without a parser: printable ASCII, no quote, dollar,
 * backslash or comment. Integers that are equal stay equal, so that `n + 1 = n + 1` keeps its meaning.
 */
import { type Piece, piecesOf, plainPiecesOf } from '../../wire/postgres/sql/literals.ts';
import type { Analysis } from './analyse.ts';

export interface Shape {
  readonly key: string;
  /** Start and end of each integer. */
  readonly spans: readonly (readonly [number, number])[];
}

export interface Edit {
  /** Byte offsets into the text. */
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** An analysis of one text of the shape, and how that text was rewritten. */
export interface ShapedAnalysis {
  readonly analysis: Analysis;
  readonly shape: Shape;
  readonly edits: readonly Edit[];
  /** The text of an edit, in parts. */
  editPieces(index: number): readonly Piece[];
}

export const MAX_SHAPED = 1024;
const BEGINS = /^\s*(?:select|insert|update|delete)\s/i;
const NOT_PLAIN = /[^\t\n\r -~]|['"$\\`]|--|\/\*/;
/** At most nine digits: more may be another token to the grammar. */
const MAX_DIGITS = 9;

/** Null for a text that is not plain, or holds no integer. */
export function shapeOf(sql: string): Shape | null {
  if (sql.length > MAX_SHAPED || !BEGINS.test(sql) || NOT_PLAIN.test(sql)) return null;
  const seen: number[] = [];
  const spans: [number, number][] = [];
  let key = '';
  let at = 0;
  for (let start = 0; start < sql.length; start++) {
    if (CLASS[sql.charCodeAt(start)] === OTHER) continue;
    // A word, or a number, up to its end.
    let end = start;
    let value = 0;
    let digits = true;
    for (; end < sql.length; end++) {
      const code = sql.charCodeAt(end);
      const kind = CLASS[code];
      if (kind === OTHER) break;
      if (kind === DIGIT) value = value * 10 + code - ZERO;
      else digits = false;
    }
    if (digits && end - start <= MAX_DIGITS) {
      // 05 and 5 are one number, and `n + 05 = n + 5` is true of every row.
      let number = seen.indexOf(value);
      if (number < 0) number = seen.push(value) - 1;
      key += `${sql.slice(at, start)}\0${number}\0`;
      spans.push([start, end]);
      at = end;
    }
    start = end;
  }
  return spans.length === 0 ? null : { key: key + sql.slice(at), spans };
}

const ZERO = 0x30;
const OTHER = 0;
const DIGIT = 1;
const WORD = 2;
/** Of printable ASCII: digits, what else a word is made of with the dot of a fraction, and the rest. */
const CLASS = Uint8Array.from({ length: 128 }, (_, code) => {
  const character = String.fromCharCode(code);
  return /\d/.test(character) ? DIGIT : /[\w.]/.test(character) ? WORD : OTHER;
});

/** The text of the same shape, rewritten as the one that was analysed. */
export function rewriteLike(known: ShapedAnalysis, shape: Shape, sql: string): string {
  let out = '';
  let at = 0;
  for (const edit of known.edits) {
    const start = moved(known.shape, shape, edit.start);
    out += sql.slice(at, start) + edit.text;
    at = moved(known.shape, shape, edit.end);
  }
  return out + sql.slice(at);
}

/** The literals of a text of the shape, and of that text rewritten. No scanner is needed: a plain text has no literals but numbers. */
export function literalsLike(
  known: ShapedAnalysis,
  shape: Shape,
  sql: string,
): { received(): readonly Piece[]; sent(): readonly Piece[]; edits(): readonly Edit[] } {
  const sent = (): readonly Piece[] => {
    const pieces: Piece[] = [];
    let at = 0;
    for (const [index, edit] of known.edits.entries()) {
      pieces.push(...plainPiecesOf(sql.slice(at, moved(known.shape, shape, edit.start))), ...known.editPieces(index));
      at = moved(known.shape, shape, edit.end);
    }
    return [...pieces, ...plainPiecesOf(sql.slice(at))];
  };
  const edits = (): readonly Edit[] =>
    known.edits.map(({ start, end, text }) => ({ start: moved(known.shape, shape, start), end: moved(known.shape, shape, end), text }));
  return { received: () => plainPiecesOf(sql), sent, edits };
}

/** Keeps how the first text of a shape was judged, with the literals of what was put in found once. */
export function shaped(analysis: Analysis, shape: Shape, edits: readonly Edit[]): ShapedAnalysis {
  const found: (readonly Piece[])[] = [];
  return { analysis, shape, edits, editPieces: (index) => (found[index] ??= piecesOf(edits[index]?.text ?? '')) };
}

/** Where an offset between the integers of one text lies in another of its shape. */
function moved(from: Shape, to: Shape, offset: number): number {
  let shift = 0;
  for (const [index, span] of from.spans.entries()) {
    if (span[1] > offset) break;
    shift = (to.spans[index]?.[1] ?? 0) - span[1];
  }
  return offset + shift;
}
