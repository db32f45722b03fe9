import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { hasPostgres } from '#e2e/postgres/server.ts';
import { type Analysis, newAnalyser, ready } from './analyse.ts';
import type { CatalogConnection } from './catalog.ts';
import { maskExpression } from './rewrite-expression.ts';
import { catalogConnection, formsOf, maskWith, startWithSecrets, type TestDatabase } from './testing.ts';

const mark = `q${randomBytes(5).toString('hex')}z`;
const redact = maskWith({ type: 'Redact' });

/** Rewritten: they run, and show no secret. */
const rewritten = [
  'SELECT * FROM customers',
  'SELECT * FROM public.customers c WHERE c.ssn LIKE $$%$$ ORDER BY c.ssn, c.id',
  'SELECT customers.email FROM customers',
  'SELECT public.customers.ssn, "public" . "customers".email FROM customers WHERE public.customers.id > 0 ORDER BY public.customers.ssn',
  'SELECT public.customers.*, public.customers.to_jsonb FROM public.customers',
  'SELECT "customers".* FROM"customers"WHERE id=1',
  'SELECT x.b FROM customers AS x(a, b, c)',
  'SELECT * FROM/**/customers/* a */WHERE id = 1 -- b',
  'SELECT * FROM ONLY customers',
  'SELECT * FROM ONLY (customers)',
  'SELECT * FROM customers *',
  'TABLE customers',
  'TABLE ONLY public.customers',
  'SELECT c FROM customers c',
  'SELECT (c).ssn, c.*::text, row_to_json(c), c::text FROM customers c',
  'SELECT count(DISTINCT ssn), max(email), string_agg(ssn, $$,$$), array_agg(pay) FROM customers',
  'SELECT o.id, c.ssn FROM orders o JOIN customers c ON c.id = o.customer_id',
  'SELECT o.id, j.ssn FROM orders o LEFT JOIN (customers c CROSS JOIN orders p) AS j(a, b, c, ssn) ON j.a = o.id',
  'SELECT * FROM customers NATURAL JOIN orders',
  'SELECT * FROM customers a JOIN customers b USING (ssn)',
  'SELECT * FROM orders o, LATERAL (SELECT ssn FROM customers c WHERE c.id = o.customer_id) x',
  'SELECT id, (SELECT ssn FROM customers c WHERE c.id = o.customer_id) FROM orders o',
  'SELECT id FROM orders WHERE memo IN (SELECT email FROM customers)',
  'SELECT EXISTS (SELECT 1 FROM customers WHERE ssn > $$a$$), ARRAY(SELECT ssn FROM customers)',
  'WITH c AS (SELECT * FROM customers) SELECT ssn FROM c',
  'WITH customers AS (SELECT * FROM customers) SELECT * FROM customers',
  'WITH RECURSIVE t(n, s) AS (SELECT 1, ssn::text FROM customers UNION ALL SELECT n + 1, s FROM t WHERE n < 3) SEARCH DEPTH FIRST BY s SET o SELECT * FROM t',
  'SELECT ssn FROM customers UNION SELECT memo FROM orders',
  'SELECT ssn, row_number() OVER (PARTITION BY ssn ORDER BY email) FROM customers',
  'SELECT CASE WHEN ssn < $$m$$ THEN 1 ELSE 2 END, substr(ssn, 1, 3), length(ssn::text), md5(ssn) FROM customers',
  'SELECT id FROM customers WHERE pay::text LIKE $$%$$ LIMIT (SELECT count(ssn) FROM customers)',
  'SELECT ssn::int FROM customers',
  'SELECT notes ->> $$pin$$, notes::text, avatar, encode(avatar, $$escape$$), tags[1], lvl, born, vip FROM customers',
  'SELECT "é€" FROM "Weird ""Tab"',
  'SELECT $$é€😀$$, "é€" FROM "Weird ""Tab" AS "ü" WHERE "ü"."Sel ect" = 1',
  'SELECT * FROM paid',
  'SELECT * FROM paid_2025',
  'SELECT * FROM ONLY paid_2024',
  'SELECT * FROM parent',
  'SELECT * FROM child',
  'SELECT * FROM v_contact',
  'SELECT tax FROM v_deep WHERE tax > $$a$$',
  'SELECT rec, (rec).ssn FROM v_whole',
  'SELECT v.* FROM v_own v',
  'COPY (SELECT ssn FROM customers) TO STDOUT',
  'COPY customers TO STDOUT',
  'COPY public.customers TO STDOUT (FORMAT binary)',
  'COPY"customers"( id,/* a */"ssn" )TO STDOUT WITH CSV HEADER',
  'COPY paid TO STDOUT',
  'PREPARE p AS SELECT * FROM customers WHERE ssn = $1',
  'DECLARE c CURSOR FOR SELECT * FROM customers',
  'EXPLAIN SELECT * FROM customers',
  'EXPLAIN (ANALYZE, VERBOSE, TIMING off, SUMMARY off) SELECT ssn FROM v_deep v JOIN customers c USING (id) WHERE c.ssn > $$a$$ ORDER BY v.tax',
  'SELECT 1; SELECT ssn FROM customers; SELECT email FROM customers',
];

/** Sent as they are. */
const plain = [
  'SELECT 1',
  'SELECT * FROM orders',
  'SELECT * FROM other.customers',
  'WITH customers AS (SELECT 1) SELECT * FROM customers',
  'SELECT * FROM v_safe',
  'SELECT * FROM mv_safe',
  'SELECT now(), random(), version(), gen_random_uuid(), current_user, generate_series(1, 3)',
  'SELECT * FROM orders FOR UPDATE',
  'EXPLAIN SELECT * FROM orders',
  'TRUNCATE customers CASCADE',
  "INSERT INTO orders VALUES (20, 1, nextval('counter'), 'm')",
  'DELETE FROM orders',
  'BEGIN',
  'COMMIT',
  "SET application_name = 'x'",
  'SET search_path = other, public',
  'SHOW ALL',
  'DISCARD ALL',
  'VACUUM orders',
  'SELECT relname FROM pg_class',
  'SELECT * FROM information_schema.columns',
  'COPY orders TO STDOUT',
  'COPY orders TO STDOUT (FORMAT binary)',
  "COPY orders TO STDOUT (FORMAT csv, NULL 'none', DELIMITER ';', HEADER)",
  'COPY orders FROM STDIN',
];

const refused: Readonly<Record<string, readonly string[]>> = {
  NotRewritable: [
    `SELECT 1 FROM ${Array.from({ length: 65 }, (_, i) => `customers c${i}`).join(', ')}`,
    "COPY (SELECT memo FROM orders) TO STDOUT (DELIMITER '-')",
    "COPY (SELECT memo FROM orders) TO STDOUT (DELIMITER ';')",
    'COPY orders TO STDOUT (FORMAT csv, FORMAT binary)',
    "COPY orders TO STDOUT (ENCODING 'latin1')",
    "COPY (SELECT memo FROM orders) TO STDOUT CSV QUOTE '1'",
    "COPY orders TO STDOUT (FORMAT csv, ESCAPE '9')",
    'SELECT * FROM customers TABLESAMPLE system (100)',
    'SELECT public.customers.ssn FROM public.customers, other.customers',
    'SELECT (SELECT public.customers.ssn FROM other.customers) FROM public.customers',
    'SELECT public.customers.ssn FROM public.customers, (SELECT 1 AS ssn) AS customers',
    'SELECT secrets.public.customers.ssn FROM public.customers',
    'SELECT U&"public".customers.ssn FROM public.customers',
    'COPY v_contact TO STDOUT',
    'COPY BINARY customers TO STDOUT',
    'COPY customers (nothing) TO STDOUT',
    'COPY customers (ssn, ssn) TO STDOUT',
    'COPY customers (customers) TO STDOUT',
    'COPY U&"customers" TO STDOUT',
    'COPY mv TO STDOUT',
    'SELECT * FROM mv',
    'SELECT * FROM holder',
  ],
  NotSupported: [
    'SELECT leak(1)',
    'SELECT public.leak(id) FROM orders',
    'SELECT * FROM v_fn',
    'SELECT lower(memo) FROM orders',
    'SELECT id ### 1 FROM orders',
    'SELECT id OPERATOR(public.###) 1 FROM orders',
    'SELECT 1::odd',
    'SELECT ssn INTO x FROM customers',
    'CREATE TABLE x AS SELECT 1',
    'CREATE TEMP TABLE x (LIKE orders INCLUDING ALL)',
    'CREATE TEMP TABLE x () INHERITS (orders)',
    'CREATE TEMP TABLE x (i int DEFAULT random())',
    'CREATE TEMP TABLE x (i int REFERENCES customers)',
    'CREATE TEMP VIEW x AS SELECT 1',
    'CREATE TEMP TABLE x (i int) PARTITION BY LIST (i)',
    'CREATE VIEW x AS SELECT 1',
    'CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
    'ALTER TABLE orders ADD x int',
    'DROP TABLE orders',
    'GRANT SELECT ON customers TO PUBLIC',
    "COMMENT ON TABLE orders IS 'x'",
    'DO $$ BEGIN END $$',
    'LOCK TABLE orders',
    'INSERT INTO ruled VALUES (1)',
    "SELECT set_config('work_mem', '1', false)",
    "SELECT query_to_xml('select 1', true, true, '')",
    "SELECT table_to_xml('customers', true, true, '')",
    "SELECT database_to_xml(true, true, '')",
    "SELECT * FROM ts_stat('select 1')",
    "SELECT ts_rewrite('a'::tsquery, 'select 1')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_read_file('/etc/passwd')",
    'SELECT pg_advisory_lock(1)',
    "SELECT setval('counter', 5)",
    'SELECT * FROM pg_stats',
    'SELECT * FROM pg_statistic',
    'SELECT * FROM pg_stat_activity',
    'SELECT pg_stat_get_activity(NULL)',
    'SELECT * FROM pg_largeobject',
    'SELECT * FROM pg_authid',
    'SELECT * FROM pg_shadow',
    'SELECT * FROM pg_locks',
    'SELECT * FROM information_schema.user_mapping_options',
    "UPDATE pg_settings SET setting = 'off' WHERE name = 'standard_conforming_strings'",
    'SET standard_conforming_strings = off',
    'SET debug_print_plan = on',
    'SET client_min_messages = debug5',
    'SET session_replication_role = replica',
    'SET search_path = other; SELECT * FROM customers',
    "PREPARE TRANSACTION 'x'",
    'VACUUM',
    'VACUUM VERBOSE customers',
    'REFRESH MATERIALIZED VIEW mv_safe',
    "COPY orders TO '/tmp/x'",
    "COPY (SELECT 1) TO PROGRAM 'x'",
  ],
  NotResolved: [
    'SELECT * FROM nothing',
    'SELECT * FROM other.nothing',
    'SELECT * FROM otherdb.public.customers',
    'SELECT * FROM pg_temp.customers',
    'SELECT nothing(1)',
    'SELECT ssn(customers) FROM customers',
    'SELECT 1::nothing',
    'EXECUTE nothing',
    'FETCH 1 FROM nothing',
  ],
  Unparsable: ['SELEC 1', "SELECT '", 'SELECT 1\0'],
};

/** Each with one masked relation or more, and only columns that are not masked: the answers are the direct ones. */
const unchanged = [
  'SELECT id, name FROM customers ORDER BY id',
  'SELECT c.name, sum(o.total) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.name ORDER BY 1',
  'WITH c AS (SELECT id, name FROM customers WHERE id > 1) SELECT * FROM c ORDER BY id DESC',
  'SELECT "Sel ect", "from" FROM "Weird ""Tab" ORDER BY 1',
  'SELECT id, day FROM paid ORDER BY id',
  'SELECT id FROM ONLY parent UNION ALL SELECT extra FROM child ORDER BY 1',
  'SELECT id, label FROM v_contact ORDER BY id',
  'SELECT id, total FROM v_deep ORDER BY id, total',
  'SELECT x.id FROM customers x WHERE EXISTS (SELECT FROM orders o WHERE o.customer_id = x.id AND o.total > 100)',
];

const MODIFIERS: { readonly [type: string]: readonly string[] } = {
  varchar: ['(3)', '(40)'],
  bpchar: ['(1)', '(40)'],
  bit: ['(3)'],
  varbit: ['(3)'],
  numeric: ['(10,2)', '(3,3)', '(2,-3)'],
  ...Object.fromEntries(['time', 'timetz', 'timestamp', 'timestamptz', 'interval'].map((name) => [name, ['(3)']])),
};

for (const major of [18, 15] as const) {
  describe(`PostgreSQL ${major}`, { skip: hasPostgres(major) ? false : 'not on this machine' }, () => {
    let database: TestDatabase;
    let session: CatalogConnection;
    let one: (sql: string, mask?: typeof redact) => Analysis;

    before(async () => {
      await ready();
      database = await startWithSecrets(major, mark);
      session = await catalogConnection(database.server, 'secrets');
      await session.query('SET search_path = public');
      await session.query('SET default_transaction_read_only = off');
      const analyse = newAnalyser();
      const state = { searchPath: ['pg_catalog', 'public'], user: 'u', database: 'secrets' };
      one = (sql, mask = redact) =>
        analyse({ sql, catalog: database.catalog, state, mask, prepared: () => undefined, cursor: () => undefined });
    });
    after(async () => {
      await session?.close();
      await database?.server.stop();
    });

    /** All that the server says, rolled back. */
    async function answer(sql: string): Promise<string> {
      await session.query('BEGIN');
      try {
        return JSON.stringify(await session.query(sql));
      } catch (error) {
        return `error ${JSON.stringify(error)} ${String(error)}`;
      } finally {
        await session.query('ROLLBACK');
        await session.query('DEALLOCATE ALL');
      }
    }

    for (const sql of rewritten) {
      test(`rewrites ${sql}`, async () => {
        const analysis = one(sql);
        assert.equal(analysis.refusal, null);
        assert.notEqual(analysis.sent, sql);
        assert.equal(analysis.touchesMasked, true);
        if (/^COPY|;/.test(sql)) return; // the test's client takes neither a stream nor many results
        const shown = await answer(analysis.sent);
        for (const form of formsOf(mark)) assert.ok(!shown.includes(form), shown);
        if (shown.startsWith('error')) assert.match(shown, /redacted|mail_check/, 'only a mask may be what the server dislikes');
      });
    }

    test('the direct answers do show the secrets', async () => {
      const direct = rewritten.filter((sql) => sql.startsWith('SELECT *') || sql.startsWith('TABLE'));
      for (const sql of direct) {
        if (sql === 'SELECT * FROM customers NATURAL JOIN orders') continue;
        const shown = await answer(sql);
        assert.ok(
          formsOf(mark).some((form) => shown.includes(form)),
          sql,
        );
      }
    });

    for (const sql of unchanged) {
      test(`answers like the server: ${sql}`, async () => {
        const analysis = one(sql);
        assert.equal(analysis.refusal, null);
        assert.notEqual(analysis.sent, sql);
        assert.equal(await answer(analysis.sent), await answer(sql));
      });
    }

    for (const sql of plain) {
      test(`leaves ${sql}`, () => {
        const analysis = one(sql);
        assert.equal(analysis.refusal, null);
        assert.equal(analysis.sent, sql);
      });
    }

    for (const [code, statements] of Object.entries(refused)) {
      for (const sql of statements)
        test(`refuses as ${code}: ${JSON.stringify(sql)}`, () =>
          assert.equal(one(sql).refusal?.code, code, one(sql).refusal?.message ?? ''));
    }

    test('each type gets a mask of its own type', async () => {
      const [row] = JSON.parse(await answer(one('SELECT * FROM customers WHERE id = 1').sent));
      const zero = '00000000-0000-0000-0000-000000000000';
      assert.deepEqual(row, ['1', 'Ada', '[redacted]', '[redacted]', '0.00', 'f', '1970-01-01', '"[redacted]"', '\\x', '{}', null, zero]);
    });

    test('each built-in type has a mask that the server takes, with and without a modifier', async () => {
      const oids =
        "SELECT typname FROM pg_type WHERE typtype IN ('b', 'r', 'm') AND typnamespace = 'pg_catalog'::regnamespace AND oid < 16384 ORDER BY 1";
      const names = (await session.query(oids)).map(([name]) => name ?? '');
      const { catalog } = database;
      const none: string[] = [];
      for (const name of names) {
        const type = catalog.types.get('pg_catalog')?.get(name)?.oid ?? assert.fail(name);
        const modifiers = MODIFIERS[name.replace(/^_/, '')] ?? [];
        for (const typmod of ['', ...modifiers]) {
          const column = { name: 'c', attnum: 1, type, typmod, readable: true, generated: false };
          const expression = maskExpression(catalog, column, { strategy: { type: 'Redact' }, authors: [], strict: false }, 'm');
          const shown = await answer(`SELECT ${expression}`);
          assert.doesNotMatch(shown, /^error/, expression);
          if (expression.startsWith('NULL')) none.push(name);
        }
      }
      for (const name of ['interval', 'inet', 'time', 'int4range', 'bit', 'point', 'tsvector', '_inet'])
        assert.ok(!none.includes(name), name);
    });

    test('Null masks are null, and keep the type', async () => {
      const { sent } = one(
        'SELECT ssn, pg_typeof(ssn), pay, pg_typeof(pay), pg_typeof(lvl) FROM customers WHERE id = 1',
        maskWith({ type: 'Null' }),
      );
      assert.deepEqual(JSON.parse(await answer(sent)), [[null, 'character varying', null, 'numeric', 'level']]);
    });

    test('Partial masks keep what they say, and nothing of a short value', async () => {
      const mask = maskWith({ type: 'Partial', keepStart: 1, keepEnd: 2 });
      const full = `${mark}-ssn-1`;
      const kept = `${full.slice(0, 1)}${'*'.repeat(full.length - 3)}${full.slice(-2)}`;
      const rows = JSON.parse(await answer(one('SELECT ssn, vip FROM customers WHERE id = 1', mask).sent));
      assert.deepEqual(rows, [[kept, 'f']]);
      await session.query('BEGIN');
      await session.query("UPDATE customers SET ssn = 'é2345' WHERE id = 1");
      const short = await session.query(one('SELECT ssn FROM customers WHERE id = 1', mask).sent);
      await session.query('ROLLBACK');
      assert.deepEqual(short, [['*****']]);
    });

    test('a policy without masks changes and refuses nothing of these', () => {
      const off = maskWith({ type: 'Redact' }, false);
      for (const sql of [...rewritten, ...(refused.NotRewritable ?? []), 'DROP TABLE orders', 'SELECT leak(1)']) {
        const analysis = one(sql, off);
        assert.equal(analysis.refusal, null, sql);
        assert.equal(analysis.sent, sql);
        assert.equal(analysis.touchesMasked, false);
      }
    });
  });
}
