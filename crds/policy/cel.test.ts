import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { SqlStatement } from './action.ts';
import { type ConditionInput, compileCondition, MAX_CONDITION_COST } from './cel.ts';
import type { Principal } from './principal.ts';

const alice: Principal = {
  kind: 'User',
  issuer: 'https://id.example',
  subject: 'alice',
  groups: ['sre', 'dba'],
  claims: { level: 3, team: 'shop', nested: { roles: ['a', 'b'] } },
  proof: 'token',
};
const statement: SqlStatement = {
  kind: 'Delete',
  kinds: ['Delete', 'Select'],
  reads: [{ schema: 'public', name: 'orders' }],
  writes: [{ schema: null, name: 'mystery' }],
  reached: [],
  functions: [],
  access: 'Write',
  missingWhere: true,
  effects: [{ kind: 'DeleteWithoutWhere', what: 'DELETE', function: null }],
  countsRows: false,
  housekeeping: false,
};
const input: ConditionInput = {
  action: { type: 'sql', database: 'shop', user: 'app', statements: [statement] },
  principals: [alice],
  resource: { namespace: 'shop', name: 'orders-db', protocol: 'PostgreSQL' },
  nowMs: Date.UTC(2026, 10, 21, 10, 30),
};

function evaluate(text: string, given: ConditionInput = input) {
  const compiled = compileCondition(text);
  assert.ok(compiled.ok, compiled.ok ? '' : `${text}: ${compiled.message}`);
  return compiled.condition.evaluate(given);
}

const TRUE = [
  "action.type == 'sql' && action.database == 'shop'",
  "action.statements.exists(s, s.kind == 'Delete' && s.missingWhere)",
  "action.statements.all(s, s.kinds.exists(k, k == 'Select'))",
  "action.statements[0].reads == ['public.orders']",
  '!has(action.statements[0].writes)',
  "principals.exists(p, 'dba' in p.groups && p.claims.level >= 3)",
  "principals[0].claims.nested.roles.exists(r, r == 'b')",
  "resource.namespace + '/' + resource.name == 'shop/orders-db'",
  "now < timestamp('2030-01-01T00:00:00Z') && now.getHours() == 10",
  "now.getHours('Europe/Berlin') == 11",
  "principals.map(p, p.subject).filter(s, s.startsWith('al')).size() == 1",
  "action.user.matches('^[a-z]+$') ? true : false",
  "principals[0].claims.team in ['shop', 'it'] || principals[0].claims.nothing == 1",
];
for (const text of TRUE) test(`true: ${text}`, () => assert.deepEqual(evaluate(text), { ok: true, value: true }));

const RUN_TIME_ERRORS = [
  ["action.statements[0].writes.exists(w, w == 'public.secrets')", 'a list with an unresolved name can not be looked at'],
  ["action.path == '/'", 'a member of another kind of action'],
  ['principals[0].claims.team', 'a value that is not boolean'],
  ['principals[3].kind == "User"', 'an index past the end'],
  ["principals[0].claims.absent == 'x'", 'a claim that is absent'],
] as const;
for (const [text, why] of RUN_TIME_ERRORS) test(`fails at run time: ${why}`, () => assert.equal(evaluate(text).ok, false));

const REFUSED: readonly (readonly [string, RegExp])[] = [
  ['', /not a CEL expression/],
  ['1 +', /not a CEL expression/],
  ['1 + 1', /must be boolean/],
  ["'yes'", /must be boolean/],
  ['action', /must be boolean/],
  ['!action.user', /must be boolean/],
  ['actoin.type == "sql"', /unknown variable actoin/],
  ['action.statments.size() > 0', /action has no member statments/],
  ["action.statements.exists(s, s.kid == 'Drop')", /a statement has no member kid/],
  ['principals.exists(p, p.role == "x")', /a principal has no member role/],
  ['system("id") == ""', /unknown function system/],
  ['action.user.matches(principals[0].subject)', /must be a string in quotes/],
  ["action.user.matches('(')", /not an RE2/],
  ["action.user.matches('(?=x)')", /not an RE2/],
  ["action.user.matches('((a?){30}){30}')", /too complex/],
  [`action.user == '${'x'.repeat(1024)}'`, /at most 1024/],
  ['('.repeat(65) + 'true' + ')'.repeat(65), /at most 64 brackets/],
  ['{1:'.repeat(60), /not a CEL expression/],
  [
    'action.statements.exists(a, action.statements.exists(b, a.reached.exists(x, b.reached.exists(y, x == y))))',
    new RegExp(`too expensive: .* ${MAX_CONDITION_COST} are allowed`),
  ],
  ['principals.exists(p, p.claims.x.exists(a, p.claims.y.exists(b, p.claims.z.exists(c, a == b && b == c))))', /too expensive/],
  ['google.protobuf.Timestamp{} == now', /messages can not be made/],
];
for (const [text, message] of REFUSED)
  test(`refused: ${text.slice(0, 60)}`, () => {
    const compiled = compileCondition(text);
    assert.equal(compiled.ok, false);
    assert.match(compiled.ok ? '' : compiled.message, message);
  });

test('matches runs on RE2: a pattern that explodes in a backtracking engine has an answer', () => {
  const path = `${'a'.repeat(4000)}!`;
  const http: ConditionInput = { ...input, action: { type: 'http', method: 'GET', host: 'h', path, query: '' } };
  assert.deepEqual(evaluate("action.path.matches('^(a+)+$')", http), { ok: true, value: false });
  assert.deepEqual(evaluate("action.path.matches('(x+x+)+y')", http), { ok: true, value: false });
});

test('what is larger than a condition may look at is an error, not a cut', () => {
  const long: ConditionInput = { ...input, action: { type: 'http', method: 'GET', host: 'h', path: `/${'a'.repeat(5000)}`, query: '' } };
  assert.equal(evaluate("action.path.startsWith('/a')", long).ok, false);
  const many = { ...input, principals: [{ ...alice, groups: Array.from({ length: 300 }, (_, i) => `g${i}`) }] };
  assert.equal(evaluate("principals.exists(p, 'g1' in p.groups)", many).ok, false);
  const deep = { ...input, principals: [{ ...alice, claims: { list: Array.from({ length: 300 }, () => 1) } }] };
  assert.equal(evaluate('has(principals[0].claims.list) && principals[0].claims.list.size() > 0', deep).ok, false);
});

test('says whether it looks at names, and whether it can be asked of an opened session', () => {
  const facts = (text: string) => {
    const compiled = compileCondition(text);
    assert.ok(compiled.ok);
    return [compiled.condition.namesMatter, compiled.condition.aboutCommands];
  };
  assert.deepEqual(facts("action.statements.exists(s, s.kind == 'Drop')"), [false, true]);
  assert.deepEqual(facts("action.statements.exists(s, 'public.a' in s.reached)"), [true, true]);
  assert.deepEqual(facts("action.statements.all(s, s.access == 'Read')"), [true, true]);
  assert.deepEqual(facts("action.user == 'app'"), [false, false]);
  assert.deepEqual(facts("action.method == 'GET'"), [false, true]);
});

test('never throws, whatever the text', () => {
  const words = fc.constantFrom(
    'action',
    '.',
    'statements',
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    'exists',
    's,',
    '==',
    '&&',
    "'x'",
    '1',
    '?',
    ':',
    '!',
    '-',
    'matches',
    ' in ',
    '"',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ maxLength: 80 }),
        fc.array(words, { maxLength: 24 }).map((all) => all.join('')),
      ),
      (text) => {
        const compiled = compileCondition(text);
        if (compiled.ok) assert.equal(typeof compiled.condition.evaluate(input).ok, 'boolean');
        else assert.ok(compiled.message.length > 0);
      },
    ),
    { numRuns: 500 },
  );
});

test('every example of docs/conditions.md compiles', () => {
  const page = readFileSync(new URL('../../docs/conditions.md', import.meta.url), 'utf8');
  const examples = [...page.matchAll(/```cel\n([^`]*)```/g)].map(([, text = '']) => text.trim());
  assert.ok(examples.length >= 5);
  for (const text of examples) {
    const compiled = compileCondition(text);
    assert.ok(compiled.ok, compiled.ok ? '' : `${text}: ${compiled.message}`);
  }
});
