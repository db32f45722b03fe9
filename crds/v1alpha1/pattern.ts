/** Patterns run on RE2, as in the API server: the same dialect, and linear in the length of the text. */
import { RE2JS } from 're2js';

/** Patterns are constants of the schema: there are few of them, and each is compiled once. */
const compiled = new Map<string, RE2JS>();

export function matchesPattern(pattern: string, text: string): boolean {
  const known = compiled.get(pattern) ?? RE2JS.compile(pattern);
  compiled.set(pattern, known);
  return known.matcher(text).find();
}

const DATE_TIME = /^\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})$/;

/** RFC 3339, with the ranges of its fields. */
export function isDateTime(text: string): boolean {
  return text.length <= 64 && DATE_TIME.test(text) && !Number.isNaN(Date.parse(text));
}
