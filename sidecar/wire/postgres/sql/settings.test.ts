import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { readFacts } from './facts.ts';
import { replaceLiterals } from './literals.ts';
import { loadParser, parseSql } from './parse.ts';
import { classifySetting } from './settings.ts';

before(loadParser);

const settings: Readonly<Record<ReturnType<typeof classifySetting>, readonly string[]>> = {
  harmless: [
    "SET application_name = 'x'",
    'SET LOCAL statement_timeout = 5',
    "SET TIME ZONE 'UTC'",
    "SET NAMES 'utf8'",
    "SET client_encoding TO 'UTF-8'",
    'SET standard_conforming_strings = on',
    'SET DateStyle = ISO, MDY',
    'SET client_min_messages = warning',
    'RESET timezone',
  ],
  state: [
    'SET search_path = a, b',
    'SET ROLE x',
    'SET SESSION AUTHORIZATION x',
    'RESET ALL',
    'RESET search_path',
    'RESET ROLE',
    'SET LOCAL search_path = a',
  ],
  transaction: ['SET TRANSACTION ISOLATION LEVEL SERIALIZABLE', 'SET TRANSACTION READ ONLY'],
  other: [
    'SET client_min_messages = debug1',
    'SET work_mem = 5',
    "SET TRANSACTION SNAPSHOT 'x'",
    'SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE',
    'SET default_transaction_read_only = off',
    'SET debug_print_plan = on',
  ],
  parser: [
    "SET client_encoding = 'SJIS'",
    "SET NAMES 'GBK'",
    'SET standard_conforming_strings = off',
    'SET "standard_conforming_strings" = off',
    'SET STANDARD_CONFORMING_STRINGS TO false',
    'SET backslash_quote = on',
    'RESET backslash_quote',
  ],
};

for (const [expected, statements] of Object.entries(settings)) {
  for (const sql of statements) {
    test(`${sql} is ${expected}`, () => {
      const parsed = parseSql(sql);
      assert.ok(parsed.ok);
      assert.deepEqual(readFacts(parsed.statements[0]?.stmt ?? {}).settings.map(classifySetting), [expected]);
    });
  }
}

test('a setting inside another statement is found', () => {
  for (const sql of [
    "ALTER ROLE x SET client_encoding = 'SJIS'",
    'ALTER DATABASE x SET standard_conforming_strings = off',
    'CREATE FUNCTION f() RETURNS int LANGUAGE sql SET standard_conforming_strings = off AS $$ SELECT 1 $$',
  ]) {
    const parsed = parseSql(sql);
    assert.ok(parsed.ok);
    assert.deepEqual(readFacts(parsed.statements[0]?.stmt ?? {}).settings.map(classifySetting), ['parser'], sql);
  }
});

const literals: readonly (readonly [string, string])[] = [
  ["SELECT 'a', 1, 1.5, $1, x'ff', $$b$$, $q$c$q$", "SELECT '<a>', '<1>', '<1.5>', $1, '<x'ff'>', '<b>', '<c>'"],
  ["SELECT 'it''s é' /* secret */ FROM t -- secret", "SELECT '<it's é>'   FROM t  "],
  ["ALTER ROLE x PASSWORD 'y'", "ALTER ROLE x PASSWORD '<y>'"],
  ["SELECT 'open", "<SELECT 'open>"],
];

for (const [sql, expected] of literals) {
  test(`literals of ${sql}`, () =>
    assert.equal(
      replaceLiterals(sql, (literal) => `<${literal}>`),
      expected,
    ));
}
