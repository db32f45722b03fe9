import type { Edit } from './analyse-shape.ts';

/** `edits` in order, by byte offsets. Null where two of them meet. */
export function splice(sql: string, edits: readonly Edit[]): string | null {
  const bytes = Buffer.from(sql);
  let out = '';
  let at = 0;
  for (const edit of edits) {
    if (edit.start < at || edit.end > bytes.length) return null;
    out += bytes.toString('utf8', at, edit.start) + edit.text;
    at = edit.end;
  }
  return out + bytes.toString('utf8', at);
}
