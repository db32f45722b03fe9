import { styleText } from 'node:util';

/**
 * What was recorded may hold anything: bytes that move a terminal's cursor or change its title are shown as escapes,
 * and so are the marks that turn the direction of text.
 */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\u2028\u2029]/gu, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\t') return '\\t';
    return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
  });
}

/** Columns as kubectl prints them: no borders, three blanks between. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const clean = [head, ...rows.map((row) => row.map(printable))];
  const widths = head.map((_, column) => Math.max(...clean.map((row) => (row[column] ?? '').length)));
  return clean
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join('   ')
          .trimEnd()}\n`,
    )
    .join('');
}

export type Paint = (style: 'red' | 'green' | 'yellow' | 'bold' | 'dim' | 'cyan', text: string) => string;

export function painter(color: boolean | undefined): Paint {
  return color === true ? (style, text) => styleText(style, text, { validateStream: false }) : (_, text) => text;
}
