/** What RETURNING shows of a relation with masked columns: masks alone, under the names that the server would give them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { hasPostgres } from '#e2e/postgres/server.ts';
import { type Analysis, newAnalyser, ready } from './analyse.ts';
import { catalogConnection, formsOf, maskWith, schemaWithSecrets, startWithSecrets, type TestDatabase } from './testing.ts';

const VALUES = "(9, 'Dora', '900-11-2222', '11111111-1111-1111-1111-111111111111')";
const INSERT = `INSERT INTO customers (id, name, ssn, token) VALUES ${VALUES}`;

/** Each is masked, and gives the server's own column names. */
const shown = [
  `${INSERT} RETURNING *`,
  `${INSERT} RETURNING id, ssn, ssn AS tax, upper(ssn), ssn::text, coalesce(email, ssn), CASE WHEN ssn IS NULL THEN email ELSE ssn END`,
  `${INSERT} RETURNING customers`,
  `${INSERT} RETURNING to_jsonb(customers), customers::text, length(customers::text), md5(customers::text), row(customers.ssn, 1)`,
  `${INSERT} ON CONFLICT (id) DO UPDATE SET ssn = excluded.ssn, name = excluded.name RETURNING customers.*, ssn || 'x'`,
  "INSERT INTO customers AS c (id, name, token) VALUES (1, 'x', '11111111-1111-1111-1111-111111111111') ON CONFLICT (id) DO UPDATE SET name = 'y' RETURNING c.*, c",
  "UPDATE customers SET name = 'x' RETURNING *",
  "UPDATE customers c SET name = 'x' WHERE id = 1 RETURNING c.ssn, c.*, c . email, tags[1], c.tags[1:2], notes ->> 'pin', notes::text, avatar, pay + 1",
  "UPDATE customers SET name = 'x' RETURNING public.customers.ssn, public.customers.id, public.customers.*",
  "UPDATE ONLY customers SET name = 'x' FROM orders o WHERE o.customer_id = customers.id RETURNING *, o.memo, customers.ssn, customers.xmax",
  "UPDATE customers c SET name = 'x' FROM orders o JOIN (SELECT 1 AS one) s ON true, generate_series(1, 2) AS g WHERE o.customer_id = c.id RETURNING *",
  "UPDATE customers SET name = 'x' RETURNING (SELECT count(*) FROM orders WHERE customer_id = customers.id), ssn IN (SELECT memo FROM orders)",
  "UPDATE customers SET name = 'x' RETURNING row_to_json(row(ssn, email)), array[ssn], ssn = email, ssn BETWEEN 'a' AND 'b'",
  'DELETE FROM customers USING orders o WHERE o.customer_id = customers.id RETURNING *',
  'DELETE FROM customers RETURNING md5(ssn), born, vip, lvl, "token"',
  'DELETE FROM paid RETURNING *',
  'DELETE FROM paid_2025 RETURNING card, paid_2025',
  'DELETE FROM parent RETURNING *',
  'DELETE FROM child RETURNING secret, child',
  'DELETE FROM "Weird ""Tab" AS "ü" RETURNING $$é€😀$$, "é€", "ü".*',
  "WITH u AS (UPDATE customers SET name = 'x' RETURNING id, ssn, customers AS whole) SELECT u.*, upper(ssn), whole::text FROM u WHERE ssn <> 'a' ORDER BY ssn, id",
  `WITH i AS (${INSERT} RETURNING *) SELECT i.ssn, o.* FROM i LEFT JOIN orders o ON o.memo = i.ssn`,
  `WITH i AS (INSERT INTO orders VALUES (70, 1, 5) RETURNING id) ${INSERT} RETURNING ssn, (SELECT id FROM i)`,
  `PREPARE p AS ${INSERT} RETURNING ssn`,
];

/** From PostgreSQL 17 and 18 on. */
const merged = [
  'MERGE INTO customers c USING orders o ON c.id = o.customer_id AND o.id <> 13 WHEN MATCHED THEN DELETE RETURNING *',
  'MERGE INTO customers c USING orders o ON c.id = o.customer_id AND o.id <> 13 WHEN MATCHED THEN UPDATE SET ssn = DEFAULT RETURNING merge_action(), c.ssn, c',
];
const versions = [
  "UPDATE customers SET name = 'x' RETURNING old.ssn, new.ssn, new.*, old.id, upper(old.email)",
  `${INSERT} RETURNING old.ssn, new.ssn, old.*`,
];

const refused = [
  `${INSERT} RETURNING customers.to_jsonb`,
  `${INSERT} RETURNING public.customers.row_to_json`,
  `${INSERT} RETURNING (customers).ssn`,
  `${INSERT} RETURNING (customers).*`,
  `${INSERT} RETURNING row(customers.*)`,
  `${INSERT} RETURNING count(customers.*)`,
  `${INSERT} RETURNING (SELECT ssn)`,
  `${INSERT} RETURNING (SELECT customers.ssn)`,
  `${INSERT} RETURNING (SELECT customers)`,
  `${INSERT} RETURNING (SELECT c FROM (SELECT customers.*) c)`,
  `${INSERT} RETURNING (SELECT max(x.ssn) FROM (SELECT 1 AS ssn) x)`,
  `${INSERT} RETURNING (SELECT customers.to_jsonb)`,
  `${INSERT} RETURNING ctid`,
  `${INSERT} RETURNING customers.ctid`,
  `${INSERT} RETURNING old`,
  `${INSERT} RETURNING new`,
  `${INSERT} RETURNING to_jsonb(new)`,
  `${INSERT} RETURNING old.to_jsonb`,
  `${INSERT} RETURNING WITH (NEW AS n) n.ssn`,
  `${INSERT} RETURNING U&"\\0073sn"`,
  `${INSERT} RETURNING excluded.ssn`,
  `${INSERT} RETURNING other.customers.ssn`,
  "UPDATE customers SET name = 'x' FROM orders a JOIN orders b USING (id) RETURNING *",
  "UPDATE customers SET name = 'x' FROM generate_series(1, 2) RETURNING *",
  "UPDATE customers c SET name = 'x' RETURNING customers.ssn",
  `WITH u AS (${INSERT} RETURNING ssn) INSERT INTO orders (id, memo) SELECT 1, ssn FROM u`,
  `WITH u AS (${INSERT} RETURNING ssn AS x), v AS (INSERT INTO orders (id, memo) SELECT 1, x FROM u) SELECT 1`,
  `CREATE TEMP TABLE t AS WITH u AS (${INSERT} RETURNING ssn AS x) SELECT x FROM u`,
  `WITH u AS (${INSERT} RETURNING ssn) UPDATE customers SET name = ssn FROM u`,
  `WITH u AS (${INSERT} RETURNING ssn) SELECT c.name FROM u JOIN customers c USING (ssn)`,
];

for (const major of [18, 15] as const) {
  describe(`RETURNING on PostgreSQL ${major}`, { skip: hasPostgres(major) ? false : 'not on this machine' }, () => {
    const marks = [`q${randomBytes(5).toString('hex')}z`, `k${randomBytes(5).toString('hex')}w`] as const;
    let database: TestDatabase;
    const clients: pg.Client[] = [];
    const analyse = newAnalyser();
    const one = (sql: string, mask = maskWith({ type: 'Redact' })): Analysis => {
      const state = { searchPath: ['pg_catalog', 'public'], user: 'u', database: 'secrets' };
      return analyse({ sql, catalog: database.catalog, state, mask, prepared: () => undefined, cursor: () => undefined });
    };

    before(async () => {
      await ready();
      database = await startWithSecrets(major, marks[0]);
      await database.server.query('CREATE DATABASE twin');
      const twin = await catalogConnection(database.server, 'twin');
      await twin.query('SET default_transaction_read_only = off');
      await twin.query('SET search_path = public');
      await twin.query(schemaWithSecrets(marks[1]));
      await twin.close();
      for (const name of ['secrets', 'twin']) {
        const { host, port, superuser } = database.server;
        const client = new pg.Client({ host, port, ...superuser, database: name });
        await client.connect();
        // Any customer may go.
        for (const sql of ['orders DROP CONSTRAINT orders_customer_id_fkey', 'customers ALTER token DROP NOT NULL'])
          await client.query(`ALTER TABLE ${sql}`);
        clients.push(client);
      }
    });
    after(async () => {
      for (const client of clients) await client.end();
      await database?.server.stop();
    });

    /** Names and rows, or the error; undone. */
    async function answer(client: pg.Client | undefined, sql: string): Promise<{ readonly names: string; readonly text: string }> {
      await client?.query('BEGIN');
      try {
        const asText = { getTypeParser: () => (value: string) => value };
        const result = await client?.query({ text: sql, rowMode: 'array', types: asText });
        return { names: JSON.stringify(result?.fields.map(({ name }) => name)), text: JSON.stringify(result?.rows) };
      } catch (error) {
        return { names: 'error', text: `error ${String(error)} ${JSON.stringify(error)}` };
      } finally {
        await client?.query('ROLLBACK');
        await client?.query('DEALLOCATE ALL');
      }
    }

    for (const sql of [...shown, ...(major >= 17 ? merged : []), ...(major >= 18 ? versions : [])]) {
      test(`masks ${sql}`, async () => {
        for (const mask of [
          maskWith({ type: 'Redact' }),
          maskWith({ type: 'Null' }),
          maskWith({ type: 'Partial', keepStart: 0, keepEnd: 0 }),
        ]) {
          const analysis = one(sql, mask);
          assert.equal(analysis.refusal, null, analysis.refusal?.message ?? '');
          assert.equal(analysis.touchesMasked, true);
          const [first, second] = [await answer(clients[0], analysis.sent), await answer(clients[1], analysis.sent)];
          const direct = await answer(clients[0], sql);
          assert.notEqual(direct.names, 'error', direct.text);
          assert.equal(first.names, direct.names, first.text);
          assert.equal(first.text, second.text);
          for (const form of [...formsOf(marks[0]), '900-11-2222']) assert.ok(!first.text.includes(form), first.text);
        }
      });
    }

    test('the direct answers do show the secrets', async () => {
      for (const sql of shown.filter((text) => /^(UPDATE|DELETE)/.test(text) && text.endsWith('*'))) {
        const { text } = await answer(clients[0], sql);
        assert.ok(
          formsOf(marks[0]).some((form) => text.includes(form)),
          sql,
        );
      }
    });

    test('columns that are not masked come as the server gives them', async () => {
      for (const sql of [
        `${INSERT} RETURNING id, name, reverse(pg_typeof(id)::text) || name`,
        'DELETE FROM paid RETURNING id, day, paid.day + 1',
      ]) {
        const { sent, refusal } = one(sql);
        assert.equal(refusal, null, refusal?.message ?? '');
        assert.deepEqual(await answer(clients[0], sent), await answer(clients[0], sql));
      }
    });

    test('Partial masks keep what they say', async () => {
      const { sent } = one('DELETE FROM customers WHERE id = 1 RETURNING ssn', maskWith({ type: 'Partial', keepStart: 1, keepEnd: 2 }));
      const full = `${marks[0]}-ssn-1`;
      assert.equal((await answer(clients[0], sent)).text, JSON.stringify([[`${full[0]}${'*'.repeat(full.length - 3)}${full.slice(-2)}`]]));
    });

    for (const sql of refused) test(`refuses ${sql}`, () => assert.notEqual(one(sql).refusal, null));

    test('Strict refuses what a mask decides in RETURNING', () => {
      const strict = maskWith({ type: 'Redact' }, true, true);
      assert.equal(one(`${INSERT} RETURNING ssn`, strict).refusal, null);
      assert.equal(one(`${INSERT} RETURNING ssn = 'x'`, strict).refusal?.code, 'NotRewritable');
      assert.equal(one(`WITH u AS (${INSERT} RETURNING ssn AS s) SELECT 1 FROM u WHERE s = 'x'`, strict).refusal?.code, 'NotRewritable');
    });
  });
}
