import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { shapeOf } from './analyse-shape.ts';
import { isLike, templateOf } from './analyse-template.ts';

function like(one: string, other: string): boolean {
  const template = templateOf(one);
  assert.ok(template !== null);
  const bytes = Buffer.from(`\0${other}\0`);
  return isLike(template, bytes, 1, bytes.length - 1);
}

const PIECE = fc.oneof(
  fc.constantFrom(
    '0',
    '5',
    '05',
    '7',
    '42',
    '123456789',
    '1234567890',
    '1.5',
    'a1',
    '1a',
    '_',
    ' ',
    ',',
    '=',
    '(',
    ')',
    'n',
    ';',
    '.',
    '\n',
    'x ',
  ),
  fc.nat({ max: 3 }).map(String),
);
const TEXT = fc.array(PIECE, { minLength: 1, maxLength: 10 }).map((pieces) => `select ${pieces.join('')}`);

test('finds a shape in bytes where the analysis finds it in the text', () => {
  fc.assert(
    fc.property(TEXT, TEXT, (one, other) => {
      const key = shapeOf(one)?.key;
      fc.pre(key !== undefined);
      assert.equal(like(one, other), shapeOf(other)?.key === key);
    }),
    { numRuns: 3000 },
  );
});

test('finds it for the same text with other integers, in whatever way they are equal', () => {
  const texts = fc.tuple(TEXT, fc.array(fc.nat({ max: 12 }), { minLength: 12, maxLength: 12 }));
  fc.assert(
    fc.property(texts, ([one, integers]) => {
      fc.pre(shapeOf(one) !== null);
      let at = 0;
      const other = one.replace(/(?<![\w.])\d{1,9}(?![\w.])/g, () => String(integers[at++ % integers.length]));
      assert.equal(like(one, other), shapeOf(other)?.key === shapeOf(one)?.key);
    }),
    { numRuns: 3000 },
  );
});

test('tells equal integers, their number of digits, and what is around them', () => {
  assert.ok(like('select n from t where a = 1 and b = 2', 'select n from t where a = 10 and b = 999999999'));
  assert.ok(like('select n from t where a = 1 and b = 1', 'select n from t where a = 07 and b = 7'));
  for (const other of [
    'select n from t where a = 1 and b = 1',
    'select n from t where a = 1 and b = 1234567890',
    'select n from t where a = 1 and b = ',
    'select n from t where a = 1 and b = 2 or true',
    'select n from t where a = 1 and b = 2.5',
    'select n from t where a = 1 and b = 2e3',
    'select n from t where a = -1 and b = 2',
    'SELECT n from t where a = 1 and b = 2',
    "select n from t where a = '1' and b = 2",
  ])
    assert.ok(!like('select n from t where a = 1 and b = 2', other), other);
  assert.ok(!like('select 1 = 1', 'select 1 = 2'));
  assert.equal(templateOf('select a'), null);
  assert.equal(templateOf("select 'x', 1"), null);
});

test('a text that is longer than shapes may be is none', () => {
  const long = (digits: string) => `select ${'a, '.repeat(338)}${digits}`;
  assert.ok(shapeOf(long('1')) !== null);
  assert.equal(shapeOf(long('12345678')), null);
  assert.ok(!like(long('1'), long('12345678')));
});
