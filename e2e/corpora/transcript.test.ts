import assert from 'node:assert/strict';
import { test } from 'node:test';
import { statementsOf } from './databases.ts';
import { differenceOf, linesOf, secretsIn, type Transcript } from './transcript.ts';

const transcript = (...messages: readonly (readonly [string, string])[]): Transcript => ({
  messages: messages.map(([type, body]) => ({ type, body: Buffer.from(body, 'latin1') })),
  hangs: false,
  tookMs: 0,
});

test('a secret is found in a message of any type, as text and as bytes', () => {
  const seen = transcript(['S', 'application_name\x00078-05-1120\0'], ['D', '\x7a\xeb']);
  assert.deepEqual(secretsIn(seen, ['078-05-1120', '219-09-9999'], ['7aeb', '7aec']), ['078-05-1120', '7aeb']);
});

test('process ids, own types and numbers of temporary schemas make no difference; anything else does', () => {
  const column = (name: string, type: string) => `\0\x01${name}\0\0\0\0\0\0\0${type}\0\x04\0\0\0\0\0\0`;
  const one = transcript(['K', 'aaaa'], ['A', 'pid1ch\0x\0'], ['T', column('id', '\0\x01\0\0')], ['D', 'pg_temp_3.x']);
  const other = transcript(['K', 'bbbb'], ['A', 'pid2ch\0x\0'], ['T', column('id', '\0\x02\0\0')], ['D', 'pg_temp_17.x']);
  assert.equal(differenceOf(linesOf(one), linesOf(other)), null);
  const named = transcript(['T', column('ix', '\0\x01\0\0')]);
  assert.match(differenceOf(linesOf(transcript(['T', column('id', '\0\x01\0\0')])), linesOf(named)) ?? '', /^message 1: /);
  const builtIn = (oid: string) => linesOf(transcript(['T', column('id', oid)]));
  assert.notEqual(differenceOf(builtIn('\0\0\0\x17'), builtIn('\0\0\0\x19')), null);
  assert.match(differenceOf(linesOf(one), [...linesOf(one), 'Z I']) ?? '', /nothing ≠ Z I/);
});

test('guesses that a case writes down are left out', () => {
  const lines = (guess: string) => linesOf(transcript(['D', `Filter: ssn < ${guess}`]), ["'9'", "'0'"]);
  assert.equal(differenceOf(lines("'9'"), lines("'0'")), null);
});

test('statements end where no quote or comment is open', () => {
  const text = "SELECT ';'; -- a;\nDO $x$ BEGIN; END; $x$;\nSELECT 'it''s;'; -- the end;\n";
  assert.deepEqual(
    statementsOf(text).map((statement) => statement.trim().replace(/^--.*\n/, '')),
    ["SELECT ';'", 'DO $x$ BEGIN; END; $x$', "SELECT 'it''s;'"],
  );
});
