/** Replaces the literals of a text, so that it can be recorded where they may be secret. */
import { COMMENT_TOKENS, scanSql, TOKEN } from './parse.ts';

const LITERALS: ReadonlySet<number> = new Set([TOKEN.fconst, TOKEN.sconst, TOKEN.usconst, TOKEN.bconst, TOKEN.xconst, TOKEN.iconst]);
const PARAM = 267;

/** A text in parts: what can be shown, and literals that may not. */
export type Piece = string | { readonly literal: string };

/** Every literal becomes `'token'`, every comment goes. A text that can't be scanned becomes one token. */
export function replaceLiterals(sql: string, tokenise: (literal: string) => string): string {
  return renderPieces(piecesOf(sql), tokenise);
}

export function renderPieces(pieces: readonly Piece[], tokenise: (literal: string) => string): string {
  let out = '';
  for (const piece of pieces) out += typeof piece === 'string' ? piece : tokenise(piece.literal);
  return out;
}

/** By the scanner of the server's grammar. */
export function piecesOf(sql: string): readonly Piece[] {
  const tokens = scanSql(sql);
  if (tokens === null) return sql === '' ? [] : [{ literal: sql }];
  const bytes = Buffer.from(sql);
  const pieces: Piece[] = [];
  let at = 0;
  for (const token of tokens) {
    const isComment = COMMENT_TOKENS.has(token.type);
    if (!isComment && (!LITERALS.has(token.type) || token.type === PARAM)) continue;
    pieces.push(bytes.toString('utf8', at, token.start));
    if (isComment) pieces.push(' ');
    else pieces.push("'", { literal: literalValue(bytes.toString('utf8', token.start, token.end)) }, "'");
    at = token.end;
  }
  pieces.push(bytes.toString('utf8', at));
  return pieces;
}

const NUMBER = /(?<!\w)\.?\d[\w.]*/g;

/** The same for a text without quotes, dollars and comments: all literals are numbers then, and no scanner is needed to see them. */
export function plainPiecesOf(sql: string): readonly Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (const match of sql.matchAll(NUMBER)) {
    pieces.push(sql.slice(at, match.index), "'", { literal: match[0] }, "'");
    at = match.index + match[0].length;
  }
  pieces.push(sql.slice(at));
  return pieces;
}

/** The value of a plain quoted or dollar-quoted literal; anything else as written. */
function literalValue(raw: string): string {
  if (raw.startsWith("'") && raw.endsWith("'") && raw.length >= 2) return raw.slice(1, -1).replaceAll("''", "'");
  const dollar = /^(\$[^$]*\$)([\s\S]*)\1$/.exec(raw);
  return dollar?.[2] ?? raw;
}
