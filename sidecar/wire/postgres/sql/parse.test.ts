import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { readFacts } from './facts.ts';
import { loadParser, parseSql, scanSql } from './parse.ts';
import { parseLimits } from './parse-limits.ts';

const { maxBytes } = parseLimits;

before(loadParser);

const refusals: readonly (readonly [string, string, RegExp])[] = [
  ['a NUL, which would cut the text', 'SELECT 1\0; DROP TABLE x', /NUL/],
  ['a lone surrogate', `SELECT '${String.fromCharCode(0xd800)}'`, /Unicode/],
  ['a text past the limit', `SELECT '${'x'.repeat(maxBytes)}'`, /longer/],
  ['a text past the limit in bytes only', `SELECT '${'é'.repeat(maxBytes / 2)}'`, /longer/],
  ['what is no SQL', 'SELEC 1', /syntax error/],
  ['an open literal', "SELECT 'a", /unterminated/],
  ['deep parentheses', `SELECT ${'('.repeat(20_000)}1${')'.repeat(20_000)}`, /./],
];

for (const [name, sql, message] of refusals) {
  test(`refuses ${name}`, () => {
    const parsed = parseSql(sql);
    assert.equal(parsed.ok, false);
    assert.match(parsed.ok ? '' : parsed.message, message);
    assert.equal(parseSql('SELECT 1').ok, true, 'the parser stays usable');
  });
}

test('a long chain of operators is refused by the parser or by the walk', () => {
  const parsed = parseSql(`SELECT ${'1+'.repeat(5000)}1`);
  if (parsed.ok) assert.throws(() => readFacts(parsed.statements[0]?.stmt ?? {}), RangeError);
});

for (const sql of ['', '  \n', ';', ' ; ;', '-- only a comment', '/* one */']) {
  test(`${JSON.stringify(sql)} holds no statement`, () => {
    assert.deepEqual(parseSql(sql), { ok: true, statements: [] });
  });
}

test('offsets are bytes, also behind characters of two, three and four', () => {
  const sql = `SELECT 'é€😀' FROM "tablé" AS x`;
  const tokens = scanSql(sql) ?? [];
  const bytes = Buffer.from(sql);
  assert.deepEqual(
    tokens.map((token) => bytes.toString('utf8', token.start, token.end)),
    ['SELECT', "'é€😀'", 'FROM', '"tablé"', 'AS', 'x'],
  );
  const parsed = parseSql(sql);
  const [relation] = parsed.ok ? readFacts(parsed.statements[0]?.stmt ?? {}).relations : [];
  assert.equal(relation?.node.location, bytes.indexOf('"tablé"'));
});
