/** Bounds of what is looked at: a manifest is a small thing, and YAML aliases can make a small file into a huge tree. */
import type { Problem } from './problem.ts';

export const MAX_DEPTH = 32;
export const MAX_VALUES = 50_000;
/** Of all strings and keys together, in UTF-16 code units; etcd takes 1.5 MiB. */
export const MAX_TEXT = 1_500_000;

/** Null where the value is small enough. Does not recurse, so that no depth harms it. */
export function tooLarge(value: unknown): Problem | null {
  const open: { readonly value: unknown; readonly depth: number }[] = [{ value, depth: 0 }];
  let values = 0;
  let text = 0;
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    values++;
    if (next.depth > MAX_DEPTH) return refused(`nested deeper than ${MAX_DEPTH}`);
    if (typeof next.value === 'string') text += next.value.length;
    if (typeof next.value === 'object' && next.value !== null) {
      const depth = next.depth + 1;
      for (const [key, member] of Object.entries(next.value)) {
        text += key.length;
        open.push({ value: member, depth });
      }
    }
    if (values + open.length > MAX_VALUES) return refused(`more than ${MAX_VALUES} values`);
    if (text > MAX_TEXT) return refused(`more than ${MAX_TEXT} characters`);
  }
  return null;
}

function refused(why: string): Problem {
  return { path: '', code: 'TooLarge', message: `the manifest is too large: ${why}` };
}
