/**
 * The server's own grammar, as WASM. What it can't parse, or could parse otherwise than the server, is refused.
 * It cuts its input at the first NUL, and assumes UTF-8 and standard_conforming_strings = on.
 */
import { loadModule, parseSync, scanSync } from 'libpg-query';
import { type Fields, isFields, list } from './ast.ts';
import { parseLimits } from './parse-limits.ts';
import type { SyntaxError } from './syntax-error.ts';

export interface ParsedStatement {
  /** `{ SelectStmt: {…} }` */
  readonly stmt: Fields;
}

export type Parsed =
  | { readonly ok: true; readonly statements: readonly ParsedStatement[] }
  /** `syntaxError`: the grammar's own; null where it is a limit or a rule of ours. */
  | { readonly ok: false; readonly message: string; readonly syntaxError: SyntaxError | null };

export interface Token {
  /** Byte offsets into the UTF-8 text. */
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly type: number;
}

/** Of PostgreSQL's gram.h as libpg-query numbers them. */
export const TOKEN = { ident: 258, uident: 259, fconst: 260, sconst: 261, usconst: 262, bconst: 263, xconst: 264, iconst: 266 } as const;
export const COMMENT_TOKENS: ReadonlySet<number> = new Set([275, 276]);

export function loadParser(): Promise<void> {
  return loadModule();
}

/** Never throws. */
export function parseSql(sql: string): Parsed {
  const why = whyNotParsable(sql);
  if (why !== null) return refused(why);
  if (sql.trim() === '') return { ok: true, statements: [] };
  try {
    const result: unknown = parseSync(sql);
    if (!isFields(result)) return refused('the parser gave no result');
    const statements: ParsedStatement[] = [];
    for (const raw of list(result.stmts)) {
      if (!isFields(raw) || !isFields(raw.stmt)) return refused('the parser gave a statement without a tree');
      statements.push({ stmt: raw.stmt });
    }
    return { ok: true, statements };
  } catch (error) {
    return failed(error);
  }
}

/** The tokens of a text that parses, comments included. Null where the scanner fails. */
export function scanSql(sql: string): readonly Token[] | null {
  if (whyNotParsable(sql) !== null) return null;
  try {
    return scanSync(sql).tokens.map((token) => ({ start: token.start, end: token.end, text: token.text, type: token.tokenType }));
  } catch {
    return null;
  }
}

function whyNotParsable(sql: string): string | null {
  const { maxBytes } = parseLimits;
  if (sql.length > maxBytes || Buffer.byteLength(sql) > maxBytes) return `the statement is longer than ${maxBytes} bytes`;
  if (sql.includes('\0')) return 'the statement holds a NUL character';
  if (!sql.isWellFormed()) return 'the statement is not valid Unicode';
  return null;
}

function refused(message: string): Parsed {
  return { ok: false, message, syntaxError: null };
}

/** SqlError is the grammar's; RangeError is a stack too deep, here or in the parser, which stays usable. */
function failed(error: unknown): Parsed {
  if (error instanceof RangeError) return refused('the statement is nested too deeply');
  const message = error instanceof Error ? error.message : 'unknown error of the parser';
  const details = isFields(error) && isFields(error.sqlDetails) ? error.sqlDetails : null;
  if (details === null) return refused(message);
  const position = typeof details.cursorPosition === 'number' && details.cursorPosition >= 0 ? details.cursorPosition + 1 : null;
  const { functionName, fileName, lineNumber } = details;
  const place = { file: String(fileName).replace(/^.*_/, ''), line: String(lineNumber), routine: String(functionName) };
  return { ok: false, message, syntaxError: { message, position, place } };
}
