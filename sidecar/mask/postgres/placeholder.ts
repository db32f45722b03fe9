/** What a masked value looks like: a client that writes it back would overwrite the real one. */
export const REDACTED = '[redacted]';

/** In a text of no more characters than that. Cut in two it would look like a value. */
export function shortRedacted(maxLength: number | null): string {
  return maxLength === null || maxLength >= REDACTED.length ? REDACTED : '*'.repeat(maxLength);
}

/** A token that a sidecar made: nobody can tell any more what it stood for. */
const TOKEN = /\btok_[a-z2-7]{12,26}\b/;

const TYPED = new Set([
  '00000000-0000-0000-0000-000000000000',
  '1970-01-01',
  '"[redacted]"',
  '00:00:00:00:00:00',
  '00:00:00:00:00:00:00:00',
]);

/** True for text that the masks produce, so that it can't be written to a masked column. */
export function looksLikeMask(value: string): boolean {
  return (
    value.includes(REDACTED) || TYPED.has(value.trim()) || /^1970-01-01[ T]00:00:00/.test(value) || /\*{3}/.test(value) || TOKEN.test(value)
  );
}
