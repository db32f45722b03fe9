import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sourceFiles } from './tree.ts';

const MOST_LINES = 400;
const MEDIAN_LINES = 150;

/** A file over the limit says why among its first lines: `// Long because …`. */
function tooLong(files: ReadonlyMap<string, string>): string[] {
  return [...files]
    .filter(([, text]) => lines(text) > MOST_LINES && !hasReason(text))
    .map(([path, text]) => `${path}: ${lines(text)} lines`);
}

function hasReason(text: string): boolean {
  return /^(\/\/|\/?\*\*?| \*) ?.*\bLong because \S+/m.test(text.split('\n').slice(0, 10).join('\n'));
}

function lines(text: string): number {
  return text.split('\n').length - 1;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

test('no file is over 400 lines without a reason at its head', async () => {
  assert.deepEqual(tooLong(await sourceFiles()), []);
});

test('the median file is under 150 lines', async () => {
  const sizes = [...(await sourceFiles()).values()].map(lines);
  assert.ok(median(sizes) < MEDIAN_LINES, `median ${median(sizes)} of ${sizes.length} files`);
});

test('a long file is caught, and one with a reason is not', () => {
  const body = 'export {};\n'.repeat(MOST_LINES + 1);
  assert.deepEqual(tooLong(new Map([['a.ts', body]])), ['a.ts: 401 lines']);
  assert.deepEqual(tooLong(new Map([['a.ts', `// Long because the table is one table.\n${body}`]])), []);
  assert.deepEqual(tooLong(new Map([['a.ts', `${body}// Long because it is late to say so.\n`]])), ['a.ts: 402 lines']);
});
