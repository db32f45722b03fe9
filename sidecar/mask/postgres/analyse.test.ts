import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { SqlStatement } from '#crds/policy/action.ts';
import { hasPostgres } from '#e2e/postgres/server.ts';
import { type Analyser, type Analysis, newAnalyser, ready } from './analyse.ts';
import { maskWith, startWithSecrets, type TestDatabase } from './testing.ts';

const state = { searchPath: ['pg_catalog', 'public'], user: 'u', database: 'secrets' };
const off = maskWith({ type: 'Redact' }, false);
const on = maskWith({ type: 'Redact' });

interface Options {
  readonly mask?: typeof on;
  readonly catalog?: TestDatabase['catalog'] | null;
  readonly searchPath?: readonly string[];
  readonly prepared?: Readonly<Record<string, Analysis>>;
  readonly cursors?: Readonly<Record<string, Analysis>>;
  readonly analyse?: Analyser;
}

describe('analysis', () => {
  let database: TestDatabase;
  let analyse: Analyser;

  before(async () => {
    await ready();
    database = await startWithSecrets(hasPostgres(18) ? 18 : 15, 'qsecretz');
    analyse = newAnalyser();
  });
  after(() => database?.server.stop());

  function one(sql: string, options: Options = {}): Analysis {
    return (options.analyse ?? analyse)({
      sql,
      catalog: options.catalog === undefined ? database.catalog : options.catalog,
      state: { ...state, searchPath: options.searchPath ?? state.searchPath },
      mask: options.mask ?? off,
      prepared: (name) => options.prepared?.[name],
      cursor: (name) => options.cursors?.[name],
    });
  }

  test('a setting whose name is not known may be set to what pg_dump sets, and to nothing that a setting of the parser has', () => {
    const set = (value: string) => one(`SELECT set_config(name, ${value}, false) FROM pg_settings WHERE name = 'x'`).refusal?.code;
    assert.deepEqual(["'view, foreign-table'", "'on'", "'off'", "'sjis'", 'setting'].map(set), [
      undefined,
      ...Array(4).fill('NotSupported'),
    ]);
  });

  const facts = (sql: string, options: Options = {}): SqlStatement => {
    const [statement] = one(sql, options).statements;
    assert.ok(statement !== undefined);
    return statement;
  };
  const names = (list: SqlStatement['reads']): string =>
    list
      .map((item) => `${item.schema ?? '?'}.${item.name}`)
      .sort()
      .join(' ');

  /** Reads, writes, reached. `?` is a name that is not resolved. */
  const resolved: readonly (readonly [string, string, string, string])[] = [
    ['SELECT * FROM customers', 'public.customers', '', ''],
    ['SELECT * FROM other.customers', 'other.customers', '', ''],
    ['SELECT * FROM nothing', '?.nothing', '', ''],
    ['SELECT * FROM pg_class', 'pg_catalog.pg_class', '', ''],
    ['SELECT * FROM v_deep', 'public.v_deep', '', 'public.customers public.orders public.v_contact'],
    ['SELECT * FROM paid', 'public.paid', '', 'public.paid_2024 public.paid_2025'],
    ['SELECT * FROM paid_2024', 'public.paid_2024', '', 'public.paid public.paid_2025'],
    ['INSERT INTO orders VALUES (1)', '', 'public.orders', ''],
    ['UPDATE orders SET memo = $$x$$ WHERE id = 1', 'public.orders', 'public.orders', ''],
    ['DELETE FROM orders', '', 'public.orders', ''],
    ['CREATE TABLE x AS SELECT * FROM orders', 'public.orders', 'public.x', ''],
    ['CREATE TEMP TABLE x (i int)', '', 'pg_temp.x', ''],
    ['CREATE TABLE other.x (i int REFERENCES orders)', '', 'other.x public.orders', ''],
    ['DROP TABLE orders, other.customers', '', 'other.customers public.orders', ''],
    ['DROP TABLE orders CASCADE', '', '?.what CASCADE takes along public.orders', ''],
    ['DROP TRIGGER t ON watched', '', '?.objects of DropStmt public.watched', ''],
    ['DROP SCHEMA other', '', '?.objects of DropStmt', ''],
    ['GRANT SELECT ON ALL TABLES IN SCHEMA public TO u', '', '?.objects of GrantStmt', ''],
    ['DO $$ BEGIN END $$', '', '?.objects of DoStmt', ''],
    ["COPY orders TO PROGRAM 'x'", 'public.orders', '?.a file or program of the server', ''],
    ['TRUNCATE orders', '', 'public.orders', ''],
  ];
  for (const [sql, reads, writes, reached] of resolved) {
    test(`names of ${sql}`, () => {
      const found = facts(sql);
      assert.deepEqual([names(found.reads), names(found.writes), names(found.reached)], [reads, writes, reached]);
    });
  }

  test('search_path decides, in its order', () => {
    assert.equal(names(facts('SELECT * FROM customers', { searchPath: ['pg_catalog', 'other', 'public'] }).reads), 'other.customers');
    assert.equal(names(facts('SELECT * FROM customers', { searchPath: ['pg_catalog'] }).reads), '?.customers');
  });

  test('a function that may be one of several counts as each', () => {
    assert.equal(names(facts('SELECT lower(memo) FROM orders').functions), 'pg_catalog.lower public.lower');
    assert.equal(names(facts('SELECT pg_catalog.lower(memo), nothing() FROM orders').functions), '?.nothing pg_catalog.lower');
    assert.equal(names(facts('SELECT lower(memo) FROM orders', { searchPath: ['pg_catalog'] }).functions), 'pg_catalog.lower');
  });

  test('nothing is resolved without a catalog', () => {
    const found = facts('SELECT lower(a) FROM public.customers', { catalog: null });
    assert.deepEqual([names(found.reads), names(found.functions), found.access], ['?.customers', '?.lower', 'Write']);
  });

  const access: Readonly<Record<SqlStatement['access'], readonly string[]>> = {
    Read: [
      'SELECT 1',
      'SELECT lower(memo), now(), random(), pg_sleep(0) FROM orders',
      'SELECT * FROM v_deep',
      'EXPLAIN ANALYZE SELECT * FROM orders',
      'PREPARE p AS SELECT * FROM orders',
      'DECLARE c CURSOR FOR SELECT * FROM orders',
      'COPY (SELECT * FROM orders) TO STDOUT',
      'COPY orders TO STDOUT',
      'BEGIN READ WRITE',
      'SHOW ALL',
      "SET application_name = 'x'",
    ],
    Write: [
      'INSERT INTO orders VALUES (1)',
      'WITH x AS (DELETE FROM orders RETURNING 1) SELECT 1',
      'EXPLAIN ANALYZE DELETE FROM orders',
      'SELECT * FROM orders FOR SHARE',
      'SELECT * INTO x FROM orders',
      "SELECT nextval('counter')",
      "SELECT pg_notify('a', 'b')",
      'SELECT change()',
      'SELECT nothing()',
      'SELECT * FROM v_change',
      'SELECT * FROM nothing',
      'SET work_mem = 5',
      'SET default_transaction_read_only = off',
      'SET ROLE x',
      'LOCK TABLE orders',
      'LISTEN x',
      'DISCARD ALL',
      "COPY orders TO '/tmp/x'",
      "PREPARE TRANSACTION 'x'",
      'FETCH 1 FROM unknown',
    ],
  };
  for (const [expected, statements] of Object.entries(access)) {
    for (const sql of statements) test(`${expected}: ${sql}`, () => assert.equal(facts(sql).access, expected));
  }

  test('housekeeping is what a session needs, and no more', () => {
    for (const sql of [
      'BEGIN',
      'COMMIT',
      'SAVEPOINT a',
      'SHOW x',
      "SET NAMES 'UTF8'",
      'DEALLOCATE ALL',
      'CLOSE c',
      'SET TRANSACTION READ ONLY',
    ]) {
      assert.equal(facts(sql).housekeeping, true, sql);
    }
    for (const sql of [
      'SELECT 1',
      'SET ROLE x',
      'SET work_mem = 1',
      "COMMIT PREPARED 'x'",
      'DISCARD ALL',
      'FETCH 1 FROM c',
      'PREPARE p AS SELECT 1',
    ]) {
      assert.equal(facts(sql).housekeeping, false, sql);
    }
  });

  test('no statement at all', () => {
    const analysis = one('-- nothing');
    assert.deepEqual([analysis.isEmpty, analysis.statements, analysis.refusal], [true, [], null]);
  });

  test('what can not be read is something that no Allow rule covers', () => {
    const [statement] = one('SELEC').statements;
    assert.deepEqual([statement?.kind, statement?.access, statement?.writes[0]?.schema], ['Other', 'Write', null]);
  });

  test('what would make the server read SQL otherwise is refused, with masks or without', () => {
    for (const sql of [
      'SET standard_conforming_strings = off',
      "SET client_encoding = 'SJIS'",
      "SELECT set_config('client_encoding', 'SJIS', false)",
      "SELECT pg_catalog.set_config('Standard_Conforming_Strings'::text, 'off', false)",
      "SELECT set_config('client_' || 'encoding', 'SJIS', false)",
      "UPDATE pg_settings SET setting = 'off'",
      "WITH x AS (UPDATE pg_catalog.pg_settings SET setting = 'off' RETURNING 1) SELECT 1",
      'ALTER ROLE u SET standard_conforming_strings = off',
    ]) {
      assert.equal(one(sql).refusal?.code, 'NotSupported', sql);
    }
    assert.equal(one("SELECT pg_catalog.set_config('search_path', '', false)").refusal, null);
  });

  test('a change of state comes last in its message', () => {
    assert.equal(one('SET search_path = other; SELECT * FROM customers').refusal?.code, 'NotSupported');
    assert.equal(one("SELECT set_config('search_path', 'other', false); SELECT * FROM customers").refusal?.code, 'NotSupported');
    assert.equal(one('BEGIN; SET LOCAL search_path = other; SHOW search_path; COMMIT').refusal, null);
  });

  /** The effects that are not empty. */
  const effects: readonly (readonly [string, object])[] = [
    ['SELECT 1', {}],
    ['CREATE TABLE x (i int)', { ddl: true, state: true }],
    ['SELECT change()', { ddl: true, state: true }],
    ['SET ROLE x', { state: true }],
    ['RESET ALL', { state: true }],
    ['COMMIT', { endsTransaction: true }],
    ['ROLLBACK TO a', { endsTransaction: true }],
    ['PREPARE p AS SELECT 1', { prepares: ['p'] }],
    ['DEALLOCATE p', { deallocates: ['p'] }],
    ['DEALLOCATE ALL', { deallocatesAll: true }],
    ['DECLARE c CURSOR FOR SELECT 1', { declares: ['c'] }],
    ['CLOSE c', { closes: ['c'] }],
    ['CLOSE ALL', { closesAll: true }],
    ['DISCARD ALL', { ddl: true, state: true, deallocatesAll: true, closesAll: true, discardsAll: true, unlistensAll: true }],
    ['COPY orders FROM STDIN', { copyIn: true }],
    ['COPY (SELECT 1) TO STDOUT', { copyOut: true }],
    ["COPY orders FROM '/tmp/x'", { ddl: true }],
  ];
  for (const [sql, expected] of effects) {
    test(`effects of ${sql}`, () => {
      const found = Object.entries(one(sql).effects).filter(([, value]) => value === true || (Array.isArray(value) && value.length > 0));
      assert.deepEqual(Object.fromEntries(found), expected);
    });
  }

  test('EXECUTE and FETCH are what they run', () => {
    const made = one('PREPARE p AS DELETE FROM orders');
    const run = one('EXECUTE p', { prepared: { p: made } }).statements[0];
    assert.deepEqual(run?.kinds, ['Execute', 'Delete']);
    assert.deepEqual([names(run?.writes ?? []), run?.access, run?.missingWhere], ['public.orders', 'Write', true]);
    const cursor = one('DECLARE c CURSOR FOR SELECT * FROM customers', { mask: on });
    const fetched = one('FETCH 1 FROM c', { cursors: { c: cursor }, mask: on });
    assert.deepEqual([fetched.refusal, fetched.touchesMasked, fetched.statements[0]?.housekeeping], [null, true, true]);
  });

  test('what was prepared under other masks is not run', () => {
    const plain = one('PREPARE p AS SELECT ssn FROM customers');
    assert.equal(one('EXECUTE p', { prepared: { p: plain }, mask: on }).refusal?.code, 'NotResolved');
    const masked = one('PREPARE p AS SELECT ssn FROM customers', { mask: on });
    const again = one('EXECUTE p', { prepared: { p: masked }, mask: on });
    assert.deepEqual([again.refusal, again.touchesMasked, again.sent], [null, true, 'EXECUTE p']);
  });

  test('EXECUTE of a utility statement that the protocol prepared is refused', () => {
    const utility = one('SET ROLE x');
    assert.equal(one('EXECUTE s', { prepared: { s: utility } }).refusal?.code, 'NotSupported');
    const itself = one('EXECUTE s', { prepared: {} });
    assert.equal(one('EXECUTE s', { prepared: { s: itself } }).refusal !== null, true);
  });

  test('a target with masks and no catalog takes housekeeping only', () => {
    assert.equal(one('SELECT 1', { mask: on, catalog: null }).refusal?.code, 'NotResolved');
    assert.equal(one('BEGIN', { mask: on, catalog: null }).refusal, null);
  });

  test('another schema before pg_catalog is refused on a target with masks', () => {
    assert.equal(one('SELECT 1', { mask: on, searchPath: ['public', 'pg_catalog'] }).refusal?.code, 'NotResolved');
    assert.equal(one('SET search_path = public', { mask: on, searchPath: ['public', 'pg_catalog'] }).refusal, null);
  });

  test('parameters that go to a masked column are named', () => {
    assert.deepEqual(
      one('UPDATE customers SET ssn = $2, name = $1, email = $3::text WHERE id = $4', { mask: on }).maskedParameters,
      [2, 3],
    );
    assert.deepEqual(one('INSERT INTO customers (id, ssn, name) VALUES ($1, $2, $3), ($4, $5, $6)', { mask: on }).maskedParameters, [2, 5]);
  });

  test('errors are replaced where they may quote masked values', () => {
    const replaced = (sql: string): boolean => one(sql, { mask: on }).replaceErrors;
    // What references regions through halls is masked, and its rows are quoted where a change is carried on to them.
    const may = [
      'SELECT ssn FROM customers',
      'COMMIT',
      'DELETE FROM regions',
      'UPDATE halls SET id = 1',
      'INSERT INTO watched VALUES (1)',
      'SELEC',
    ];
    for (const sql of may) assert.ok(replaced(sql), sql);
    const never = [
      'SELECT 1',
      'SELECT * FROM orders',
      'INSERT INTO orders VALUES (1)',
      'DELETE FROM orders',
      'INSERT INTO regions VALUES (1)',
    ];
    for (const sql of never) assert.ok(!replaced(sql), sql);
    assert.equal(one('SELECT ssn FROM customers').replaceErrors, false);
  });

  test('literals are tokenised where they may be secret', () => {
    const recorded = (sql: string, mask = off): string => one(sql, { mask }).recorded((literal) => `<${literal}>`);
    assert.equal(recorded("SELECT * FROM customers WHERE ssn = '1-2'", on), "SELECT * FROM customers WHERE ssn = '<1-2>'");
    assert.equal(recorded("SELECT * FROM orders WHERE memo = '1-2'", on), "SELECT * FROM orders WHERE memo = '1-2'");
    assert.equal(recorded("SELECT * FROM customers WHERE ssn = '1-2'"), "SELECT * FROM customers WHERE ssn = '1-2'");
    assert.equal(recorded("ALTER ROLE u PASSWORD 'p'"), "ALTER ROLE u PASSWORD '<p>'");
    assert.equal(recorded("ALTER ROLE u PASSWORD 'p"), "<ALTER ROLE u PASSWORD 'p>");
    assert.equal(recorded('SELEC 1', on), '<SELEC 1>');
  });

  test('an answer is remembered for its text, catalog, search path and masks', () => {
    const sql = "SELECT ssn FROM customers WHERE name = 'x'";
    const own = newAnalyser();
    const first = one(sql, { analyse: own, mask: on });
    assert.equal(one(sql, { analyse: own, mask: on }), first);
    assert.notEqual(one(sql, { analyse: own }).sent, first.sent);
    assert.notEqual(one(sql, { analyse: own, mask: on, searchPath: ['pg_catalog', 'other'] }).sent, first.sent);
    assert.equal(one(sql, { analyse: own, mask: on, catalog: null }).refusal?.code, 'NotResolved');
    assert.notEqual(one(sql, { analyse: own, mask: on, searchPath: ['pg_catalog', 'other'] }).basis, first.basis);
  });

  test('texts that differ in integers are analysed as if each were new', () => {
    const integer = fc.oneof(fc.nat(12), fc.nat(999_999_999), fc.constantFrom(1_234_567_890, 99_999_999_999));
    const templates = [
      'SELECT id, ssn FROM customers c1 WHERE id = # AND pay > # OR c1.id+#=c1.id+#',
      'SELECT # FROM customers, orders o WHERE o.id=#',
      'SELECT memo FROM orders WHERE id IN (#, #) LIMIT #',
      'UPDATE customers SET vip = true, pay = # WHERE id = #',
      'DELETE FROM orders WHERE id + # = id + #',
      'INSERT INTO orders VALUES (#, #, #.5)',
      'SELECT 1e#, #.#, x#, #x FROM customers',
    ];
    const shared = newAnalyser();
    fc.assert(
      fc.property(fc.constantFrom(...templates), fc.array(integer, { minLength: 4, maxLength: 4 }), (template, values) => {
        let index = 0;
        const sql = template.replaceAll('#', () => String(values[index++ % values.length]));
        const plain = (analysis: Analysis): unknown => ({
          ...analysis,
          isMasked: typeof analysis.isMasked,
          recorded: analysis.recorded((x) => `<${x}>`),
          recordedSent: analysis.recordedSent((x) => `<${x}>`),
          receivedPosition: Array.from({ length: analysis.sent.length + 1 }, (_, at) => analysis.receivedPosition(at + 1)),
        });
        assert.deepEqual(plain(one(sql, { analyse: shared, mask: on })), plain(one(sql, { analyse: newAnalyser(), mask: on })));
      }),
      { numRuns: 500 },
    );
  });

  test('any text gives an answer, and never throws', () => {
    const words = fc.constantFrom(
      'SELECT',
      'ssn',
      'FROM',
      'customers',
      ',',
      '(',
      ')',
      "'",
      '"',
      '$1',
      '*',
      'WITH',
      'AS',
      ';',
      '--',
      '/*',
      'WHERE',
      '=',
      '1',
      '\0',
      'é',
      '\ud800',
      'UPDATE',
      'SET',
    );
    fc.assert(
      fc.property(fc.array(words, { maxLength: 14 }), (parts) => {
        const analysis = one(parts.join(' '), { mask: on });
        assert.ok(analysis.refusal !== null || analysis.sent.length > 0 || analysis.isEmpty);
      }),
      { numRuns: 500 },
    );
  });
});
