/** Where in the client's own text the server found something in the rewritten one. */
import type { Edit } from './analyse-shape.ts';

/** `position` counts characters from 1, as an error's field does; `edits` are in order. What was found inside of a replacement is told at its start. */
export function receivedPosition(sql: string, sent: string, edits: readonly Edit[], position: number): number {
  const found = Buffer.byteLength([...sent].slice(0, position - 1).join(''));
  let grown = 0;
  for (const edit of edits) {
    const start = edit.start + grown;
    if (found < start) break;
    const length = Buffer.byteLength(edit.text);
    if (found < start + length) return charactersBefore(sql, edit.start) + 1;
    grown += length - (edit.end - edit.start);
  }
  return charactersBefore(sql, found - grown) + 1;
}

function charactersBefore(text: string, bytes: number): number {
  return [...Buffer.from(text).subarray(0, bytes).toString('utf8')].length;
}
