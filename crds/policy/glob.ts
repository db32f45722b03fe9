/** Globs without regular expressions: time is bounded by the product of the lengths, whatever the pattern. */
export type TextMatcher = (text: string) => boolean;

/** `*` stands for any characters. */
export function wildcard(pattern: string): TextMatcher {
  if (!pattern.includes('*')) return (text) => text === pattern;
  if (/^\*+$/.test(pattern)) return () => true;
  return (text) => matchesWildcard(pattern, text);
}

/** Compares from the left and, at a mismatch, lets the last `*` take one character more. */
function matchesWildcard(pattern: string, text: string): boolean {
  let [p, t, star, resume] = [0, 0, -1, 0];
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p;
      resume = t;
      p += 1;
    } else if (pattern[p] === text[t]) {
      p += 1;
      t += 1;
    } else if (star >= 0) {
      p = star + 1;
      resume += 1;
      t = resume;
    } else return false;
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}

/** Parts of a dotted pattern, or null where their number is not `count`. */
export function dottedParts(pattern: string, count: number): readonly TextMatcher[] | null {
  const parts = pattern.split('.');
  return parts.length === count && parts.every((part) => part !== '') ? parts.map(wildcard) : null;
}

/** `*` within one segment, a segment that is `**` over any number of segments, none included. Empty segments count for nothing. */
export function segments(pattern: string, separator: '/' | '.'): TextMatcher {
  const wanted = pattern.split(separator).filter((part) => part !== '');
  const matchers = wanted.map((part) => (part === '**' ? null : wildcard(part)));
  return (text) =>
    matchesSegments(
      matchers,
      text.split(separator).filter((part) => part !== ''),
    );
}

function matchesSegments(matchers: readonly (TextMatcher | null)[], parts: readonly string[]): boolean {
  let [m, p, any, resume] = [0, 0, -1, 0];
  while (p < parts.length) {
    const matcher = matchers[m];
    if (matcher === null) {
      any = m;
      resume = p;
      m += 1;
    } else if (matcher?.(parts[p] ?? '')) {
      m += 1;
      p += 1;
    } else if (any >= 0) {
      m = any + 1;
      resume += 1;
      p = resume;
    } else return false;
  }
  while (matchers[m] === null) m += 1;
  return m === matchers.length;
}
