const JWT = /\beyJ[\w-]{6,}\.[\w-]*\.?[\w-]*/g;
const AUTHORIZATION = /\b(bearer|basic)\s+[\w.~+/-]{8,}=*/gi;
/** Password of a URL's user part. */
const URL_PASSWORD = /(\b[a-z][a-z0-9+.-]*:\/\/[^\s:/@]*):[^\s/@]+@/gi;
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** The last net under the log: what looks like a token or a password is taken out of a line before it is written. */
export function scrub(line: string): string {
  return line.replace(JWT, '‹token›').replace(AUTHORIZATION, '$1 ‹redacted›').replace(URL_PASSWORD, '$1:‹redacted›@');
}

/** One line of printable text: what clients send must not move a terminal's cursor or forge a line. */
export const printable = (text: string): string => text.replace(UNPRINTABLE, '�');
