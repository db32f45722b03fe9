import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { dottedParts, segments, wildcard } from './glob.ts';

/** The same meaning by recursion: slow, and plainly right. */
function slowly(pattern: string, text: string): boolean {
  if (pattern === '') return text === '';
  if (pattern[0] === '*') return slowly(pattern.slice(1), text) || (text !== '' && slowly(pattern, text.slice(1)));
  return text !== '' && pattern[0] === text[0] && slowly(pattern.slice(1), text.slice(1));
}

const letters = (alphabet: string, maxLength: number) => fc.string({ unit: fc.constantFrom(...alphabet), maxLength });

test('a wildcard means what it means by recursion', () => {
  fc.assert(
    fc.property(letters('ab*', 8), letters('ab', 10), (pattern, text) => assert.equal(wildcard(pattern)(text), slowly(pattern, text))),
    { numRuns: 3000 },
  );
});

function slowSegments(pattern: readonly string[], parts: readonly string[]): boolean {
  const [first, ...rest] = pattern;
  if (first === undefined) return parts.length === 0;
  if (first === '**') return slowSegments(rest, parts) || (parts.length > 0 && slowSegments(pattern, parts.slice(1)));
  return parts.length > 0 && slowly(first, parts[0] ?? '') && slowSegments(rest, parts.slice(1));
}

test('segments mean what they mean by recursion', () => {
  const pattern = fc.array(fc.constantFrom('a', 'b', 'a*', '*', '**'), { maxLength: 6 });
  const path = fc.array(fc.constantFrom('a', 'b', 'ab', 'ba'), { maxLength: 7 });
  fc.assert(
    fc.property(pattern, path, (wanted, parts) =>
      assert.equal(segments(`/${wanted.join('/')}`, '/')(`/${parts.join('/')}`), slowSegments(wanted, parts)),
    ),
    { numRuns: 3000 },
  );
});

test('a pattern that would explode in a backtracking engine has an answer', () => {
  assert.equal(wildcard(`${'a*'.repeat(40)}b`)('a'.repeat(20_000)), false);
  assert.equal(segments(`/${'**/a/'.repeat(40)}b`, '/')('/a'.repeat(5000)), false);
});

test('a dotted pattern has as many parts as it must, none of them empty', () => {
  assert.equal(dottedParts('a.b', 3), null);
  assert.equal(dottedParts('a.b.c.d', 3), null);
  assert.equal(dottedParts('a..c', 3), null);
  assert.equal(dottedParts('a.*.c', 3)?.length, 3);
});
