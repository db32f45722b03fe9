/** Replaces the literals of a text, so that it can be recorded where they may be secret. */
import { COMMENT_TOKENS, scanSql, TOKEN } from './parse.ts';

const LITERALS: ReadonlySet<number> = new Set([TOKEN.fconst, TOKEN.sconst, TOKEN.usconst, TOKEN.bconst, TOKEN.xconst, TOKEN.iconst]);
const PARAM = 267;

/** Every literal becomes `'token'`, every comment goes. A text that can't be scanned becomes one token. */
export function replaceLiterals(sql: string, tokenise: (literal: string) => string): string {
  const tokens = scanSql(sql);
  if (tokens === null) return sql === '' ? '' : tokenise(sql);
  const bytes = Buffer.from(sql);
  let out = '';
  let at = 0;
  for (const token of tokens) {
    const isComment = COMMENT_TOKENS.has(token.type);
    if (!isComment && (!LITERALS.has(token.type) || token.type === PARAM)) continue;
    out += bytes.toString('utf8', at, token.start);
    const raw = bytes.toString('utf8', token.start, token.end);
    out += isComment ? ' ' : `'${tokenise(literalValue(raw))}'`;
    at = token.end;
  }
  return out + bytes.toString('utf8', at);
}

/** The value of a plain quoted or dollar-quoted literal; anything else as written. */
function literalValue(raw: string): string {
  if (raw.startsWith("'") && raw.endsWith("'") && raw.length >= 2) return raw.slice(1, -1).replaceAll("''", "'");
  const dollar = /^(\$[^$]*\$)([\s\S]*)\1$/.exec(raw);
  return dollar?.[2] ?? raw;
}
