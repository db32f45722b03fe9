import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { hasPostgres } from '#e2e/postgres/server.ts';
import { type Analysis, newAnalyser, ready } from './analyse.ts';
import { disagreement } from './result-plan.ts';
import { formsOf, maskWith, startWithSecrets, type TestDatabase } from './testing.ts';

const mark = `q${randomBytes(5).toString('hex')}z`;
const mask = maskWith({ type: 'Token', keySecret: { name: 'k', key: 'key' }, domain: 'd' });

/** Statement to the names of its output columns that are given in clear, for the sidecar to put a token in their place. */
const clear: readonly (readonly [string, string])[] = [
  ['SELECT ssn FROM customers', 'ssn'],
  ['SELECT id, ssn AS tax, name FROM public.customers', 'tax'],
  ['SELECT "customers"."ssn" "the number", email FROM "customers"', 'the number,email'],
  ['SELECT c.ssn/* a */, c . email FROM customers c -- b', 'ssn,email'],
  ['SELECT * FROM customers', 'email,ssn,notes,avatar,tags,token'],
  ['SELECT *, c.ssn AS again FROM ONLY customers AS c WHERE id = 1', 'email,ssn,notes,avatar,tags,token,again'],
  ['SELECT c.*, o.* FROM orders o JOIN customers c ON c.id = o.customer_id', 'email,ssn,notes,avatar,tags,token'],
  ['SELECT * FROM orders o LEFT JOIN customers c ON c.id = o.customer_id', 'email,ssn,notes,avatar,tags,token'],
  ['SELECT o.id, c.ssn FROM orders o, customers c WHERE c.id = o.customer_id ORDER BY o.total DESC, 1 LIMIT 2', 'ssn'],
  ['SELECT c.ssn, id FROM customers c LEFT JOIN orders o USING (id)', 'ssn'],
  ['SELECT a.ssn, b.email FROM customers a JOIN customers b ON a.id = b.id', 'ssn,email'],
  ["SELECT ssn, length(ssn), ssn || 'x' AS y FROM customers WHERE ssn LIKE '%' ORDER BY email", 'ssn'],
  ['SELECT c.ssn FROM customers c ORDER BY c.ssn, upper(ssn)', 'ssn'],
  ['SELECT ssn, (SELECT count(*) FROM customers d WHERE d.ssn > c.ssn) FROM customers c', 'ssn'],
  ['SELECT ssn FROM customers WHERE EXISTS (SELECT * FROM customers x WHERE x.id = 1)', 'ssn'],
  ['SELECT c.ssn, s.n FROM customers c, LATERAL (SELECT count(*) AS n FROM orders o WHERE o.customer_id = c.id) s', 'ssn'],
  ['WITH o AS (SELECT * FROM orders) SELECT c.ssn FROM customers c, o', 'ssn'],
  ['SELECT email, row_number() OVER (ORDER BY id) FROM customers', 'email'],
  ['SELECT "é€" FROM "Weird ""Tab"', 'é€'],
  ['SELECT $$é€😀$$, "ü"."é€" FROM "Weird ""Tab" AS "ü" WHERE "ü"."Sel ect" = 1', 'é€'],
  ['SELECT card FROM paid', 'card'],
  ['SELECT * FROM paid_2025', 'card'],
  ['SELECT secret, extra FROM child', 'secret'],
  ['SELECT secret FROM ONLY parent', 'secret'],
  ['(SELECT ssn FROM customers)', 'ssn'],
];

/** Of statements that write; they are rolled back. */
const INSERT = "INSERT INTO customers (id, name, ssn, token) VALUES (9, 'Dora', '900', '11111111-1111-1111-1111-111111111111')";
const written: readonly (readonly [string, string])[] = [
  [`${INSERT} RETURNING ssn`, 'ssn'],
  [`${INSERT} RETURNING id, ssn AS tax, customers.email, upper(ssn), name`, 'tax,email'],
  [`${INSERT} RETURNING *`, 'email,ssn,notes,avatar,tags,token'],
  ["UPDATE customers c SET name = 'x' RETURNING 1, c.*, c.ssn", 'email,ssn,notes,avatar,tags,token,ssn'],
  ["UPDATE customers SET name = 'x' FROM orders o WHERE o.customer_id = customers.id RETURNING customers.ssn, o.memo", 'ssn'],
  ['DELETE FROM paid RETURNING id, card', 'card'],
  ['DELETE FROM child RETURNING child.*', 'secret'],
  [`WITH i AS (INSERT INTO orders VALUES (70, 1, 5) RETURNING id) ${INSERT} RETURNING ssn, (SELECT id FROM i)`, 'ssn'],
];

const writtenPlaceholders = [
  "UPDATE customers SET name = 'x' FROM orders o WHERE o.customer_id = customers.id RETURNING *",
  "UPDATE customers SET name = 'x' FROM orders o WHERE o.customer_id = customers.id RETURNING o.*, customers.ssn",
  `WITH i AS (${INSERT} RETURNING ssn) SELECT ssn FROM i`,
  `COPY (${INSERT} RETURNING ssn) TO STDOUT`,
  `EXPLAIN ${INSERT} RETURNING ssn`,
  `${INSERT} RETURNING customers`,
  `${INSERT} RETURNING ssn::text, (ssn) || '', tags[1], born`,
  `SELECT 1; ${INSERT} RETURNING ssn`,
  'SELECT ssn FROM customers ORDER BY 1 FOR UPDATE',
  'SELECT ssn FROM customers FOR UPDATE',
];

/** Not proved, or not of their own: the placeholder. */
const placeholders = [
  'SELECT DISTINCT ssn FROM customers',
  'SELECT DISTINCT ON (id) ssn FROM customers',
  'SELECT ssn FROM customers GROUP BY ssn',
  'SELECT ssn FROM customers ORDER BY ssn',
  'SELECT ssn AS x FROM customers ORDER BY x DESC',
  'SELECT id, ssn FROM customers ORDER BY 2',
  'SELECT ssn FROM customers UNION ALL SELECT memo FROM orders',
  'SELECT max(ssn) FROM customers',
  'SELECT ssn FROM customers ORDER BY count(*)',
  'SELECT ssn::text FROM customers',
  'SELECT (ssn) || $$$$ FROM customers',
  'SELECT c FROM customers c',
  'SELECT ssn, c FROM customers c',
  'SELECT c.ssn, c.* IS NULL FROM customers c',
  'SELECT ssn, to_jsonb(c) FROM customers c',
  'SELECT c.ssn, c.row_to_json FROM customers c',
  'SELECT c.ssn, (c).row_to_json FROM customers c',
  'SELECT c.ssn, (SELECT c) FROM customers c',
  'SELECT c.ssn, (SELECT array_agg(c.*) FROM orders) FROM customers c',
  'SELECT c.ssn, r.* FROM customers c, LATERAL (SELECT c.*) r',
  'SELECT ssn, customers FROM customers',
  'SELECT x.c FROM customers AS x(a, b, c, d, e, f, g, h, i, j, k, l)',
  'SELECT * FROM customers NATURAL JOIN orders',
  'SELECT ssn FROM customers c JOIN orders o USING (id)',
  'SELECT * FROM customers c JOIN orders o USING (id)',
  'SELECT j.ssn FROM (customers c CROSS JOIN orders o) AS j(a, b, c, ssn)',
  'SELECT s.ssn FROM (SELECT * FROM customers) s',
  'WITH c AS (SELECT * FROM customers) SELECT ssn FROM c',
  'WITH customers AS (SELECT * FROM customers) SELECT ssn FROM customers',
  'SELECT tax FROM v_contact',
  'SELECT secret_memo FROM v_own',
  'SELECT (SELECT ssn FROM customers LIMIT 1)',
  'SELECT ssn FROM customers UNION SELECT email FROM customers',
  'TABLE customers',
  'VALUES ((SELECT max(ssn) FROM customers))',
  'SELECT ssn, 1 AS _chaperone_k5 FROM customers',
  'SELECT ssn, U&"\\005fid" FROM (SELECT 1 AS _id) x, customers',
  'SELECT ssn; SELECT ssn FROM customers',
  'SELECT born, lvl, pay, vip FROM customers',
  'SELECT _chaperone_k5 FROM customers',
  'SELECT ssn, _chaperone_k4 FROM customers',
  'SELECT tags[1], (notes ->> $$pin$$) FROM customers',
];

for (const major of [18, 15] as const) {
  describe(`PostgreSQL ${major}`, { skip: hasPostgres(major) ? false : 'not on this machine' }, () => {
    let database: TestDatabase;
    let client: pg.Client;
    let one: (sql: string) => Analysis;
    const prepared = new Map<string, Analysis>();

    before(async () => {
      await ready();
      database = await startWithSecrets(major, mark);
      client = new pg.Client({ host: database.server.host, port: database.server.port, ...database.server.superuser, database: 'secrets' });
      await client.connect();
      const analyse = newAnalyser();
      const state = { searchPath: ['pg_catalog', 'public'], user: 'u', database: 'secrets' };
      const named = (name: string) => prepared.get(name);
      one = (sql) => analyse({ sql, catalog: database.catalog, state, mask, prepared: named, cursor: named });
    });
    after(async () => {
      await client?.end();
      await database?.server.stop();
    });

    /** The answer with what is planned to be a token taken out; and what the plan says of it. */
    async function answer({ sent, plan, isMasked }: Analysis): Promise<{ readonly shown: string; readonly wrong: string | null }> {
      const asText = { getTypeParser: () => (value: string) => value };
      try {
        const result = await client.query({ text: sent, rowMode: 'array', types: asText });
        for (const row of result.rows) for (const { index } of plan?.tokens ?? []) row[index] = 'T';
        const columns = result.fields.map(({ name, tableID, columnID, dataTypeID, dataTypeSize, dataTypeModifier }) => {
          const type = { dataType: dataTypeID, size: dataTypeSize, modifier: dataTypeModifier, format: 0 } as const;
          return { name, table: tableID, attribute: columnID, ...type };
        });
        return { shown: JSON.stringify(result.rows), wrong: disagreement(plan, columns, isMasked) };
      } catch (error) {
        return { shown: String(error), wrong: null };
      }
    }

    for (const [sql, names] of clear) {
      test(`gives ${names} of ${sql}`, async () => {
        const analysis = one(sql);
        assert.equal(analysis.refusal, null);
        assert.equal(analysis.plan?.tokens.map(({ name }) => name).join(), names);
        const { shown, wrong } = await answer(analysis);
        assert.equal(wrong, null);
        assert.match(shown, /^\[\["?/, shown);
        for (const form of formsOf(mark)) assert.ok(!shown.includes(form), shown);
        const others = await client.query({ text: analysis.sent, rowMode: 'array' });
        const direct = await client.query({ text: sql, rowMode: 'array' });
        assert.deepEqual(
          others.fields.map(({ name }) => name),
          direct.fields.map(({ name }) => name),
        );
        for (const { index } of analysis.plan?.tokens ?? []) {
          const values = (rows: unknown[][]) => rows.map((row) => JSON.stringify(row[index])).sort();
          assert.deepEqual(values(others.rows), values(direct.rows));
        }
      });
    }

    for (const [sql, names] of written) {
      test(`gives ${names} of ${sql}`, async () => {
        const analysis = one(sql);
        assert.equal(analysis.refusal, null, analysis.refusal?.message ?? '');
        assert.equal(analysis.plan?.tokens.map(({ name }) => name).join(), names);
        assert.equal(analysis.mustDescribe, true);
        await client.query('BEGIN');
        await client.query('SET LOCAL session_replication_role = replica');
        const { shown, wrong } = await answer(analysis);
        await client.query('ROLLBACK');
        assert.equal(wrong, null);
        assert.match(shown, /^\[\["?/, shown);
        for (const form of [...formsOf(mark), '900']) assert.ok(!shown.includes(form), shown);
      });
    }

    for (const sql of [...placeholders, ...writtenPlaceholders]) {
      test(`gives placeholders only for ${sql}`, async () => {
        const analysis = one(sql);
        assert.equal(analysis.plan, null);
        if (analysis.refusal !== null || sql.startsWith('COPY')) return;
        await client.query('BEGIN');
        await client.query('SET LOCAL session_replication_role = replica');
        const { shown, wrong } = await answer(analysis);
        await client.query('ROLLBACK');
        assert.equal(wrong, null);
        for (const form of formsOf(mark)) assert.ok(!shown.includes(form), shown);
      });
    }

    test('what is in clear without being planned is seen', async () => {
      const { isMasked } = one('SELECT ssn FROM customers');
      const direct = { sent: 'SELECT ssn FROM customers', plan: null, isMasked } as Analysis;
      assert.equal((await answer(direct)).wrong, 'a masked column would be shown as it is');
      const planned = one('SELECT ssn, email FROM customers');
      for (const sent of ['SELECT email, ssn FROM customers', 'SELECT ssn FROM customers', 'SELECT ssn, id FROM customers', 'SELECT 1, 2'])
        assert.notEqual((await answer({ ...planned, sent, plan: planned.plan, isMasked })).wrong, null, sent);
    });

    test('a sort by position is judged by its own integer, whatever text was seen before', () => {
      const plans = () => [1, 2, 1].map((n) => one(`SELECT id, ssn FROM customers WHERE id = ${n} ORDER BY ${n}`).plan?.tokens.length ?? 0);
      assert.deepEqual(plans(), [1, 0, 1]);
      assert.deepEqual(plans(), [1, 0, 1]);
      const alike = [1, 2].map((n) => one(`SELECT id, ssn FROM customers WHERE id = ${n}`));
      assert.deepEqual(
        alike.map(({ plan }) => plan?.tokens.length),
        [1, 1],
      );
    });

    test('what was prepared or declared gives its plan to EXECUTE and FETCH, alone', () => {
      for (const sql of ['PREPARE p AS SELECT id, ssn FROM customers', 'DECLARE p CURSOR FOR SELECT id, ssn FROM customers']) {
        const analysis = one(sql);
        assert.equal(analysis.plan?.tokens[0]?.index, 1);
        prepared.set('p', analysis);
        const run = sql.startsWith('PREPARE') ? 'EXECUTE p' : 'FETCH ALL FROM p';
        assert.deepEqual(one(run).plan, analysis.plan);
        assert.equal(one(run).refusal, null);
        for (const other of [`SELECT 1; ${run}`, `${run}; ${run}`]) assert.equal(one(other).refusal?.code, 'NotRewritable');
      }
      prepared.set('p', one('PREPARE p AS SELECT id, ssn FROM customers'));
      for (const other of ['EXPLAIN ANALYZE EXECUTE p', 'CREATE TABLE t AS EXECUTE p']) assert.notEqual(one(other).refusal, null, other);
    });

    test('strategies that have no form in a type are told', () => {
      const { unfit } = one('SELECT id FROM customers');
      assert.deepEqual(
        unfit.map((text) => text.replace(/.* of public\./, '')),
        ['customers.pay', 'customers.vip', 'customers.born', 'customers.lvl'],
      );
    });
  });
}
