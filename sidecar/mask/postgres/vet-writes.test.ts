import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { hasPostgres } from '#e2e/postgres/server.ts';
import { type Analysis, newAnalyser, ready } from './analyse.ts';
import { maskWith, startWithSecrets, type TestDatabase } from './testing.ts';

/** Sent as they are. */
const plain = [
  "INSERT INTO customers (id, name, ssn, token) VALUES (50, 'x', '900-11-2222', $1)",
  'INSERT INTO customers (id, name) SELECT id, memo FROM orders',
  "INSERT INTO customers VALUES (51, 'x', 'a@b', DEFAULT, 5, true, '2000-01-01', '{}', 'x', '{}', 'a', '11111111-1111-1111-1111-111111111111')",
  "INSERT INTO customers (id, name, token) VALUES (1, 'x', $1) ON CONFLICT (id) DO UPDATE SET name = excluded.name, ssn = 'y' RETURNING id",
  "UPDATE customers SET ssn = '111', name = upper(name) WHERE id = 1 RETURNING id, name",
  'UPDATE customers SET ssn = $1 WHERE id = 1',
  "UPDATE customers SET (name, ssn) = ('a', $1) WHERE id = 1",
  "INSERT INTO customers (id, ssn, token) SELECT id, 'y', $1 FROM orders WHERE total > 5",
  "INSERT INTO customers (id, name, ssn, token) VALUES (1, 'x', $1, $2) ON CONFLICT (id) DO UPDATE SET ssn = excluded.ssn RETURNING id",
  'MERGE INTO customers c USING orders o ON c.id = o.customer_id WHEN MATCHED AND o.total > 5 THEN DELETE',
  'MERGE INTO customers c USING orders o ON c.id = o.id WHEN NOT MATCHED THEN INSERT (id, name, ssn) VALUES (o.id, o.memo, $1) WHEN MATCHED THEN UPDATE SET ssn = DEFAULT',
  'DELETE FROM customers WHERE id = 1',
  'MERGE INTO orders o USING orders p ON o.id = p.id WHEN MATCHED THEN DO NOTHING',
];

const refused = [
  'INSERT INTO orders (id, memo) SELECT id, ssn FROM customers',
  'UPDATE orders SET memo = (SELECT ssn FROM customers LIMIT 1)',
  'UPDATE customers SET name = ssn',
  'UPDATE customers SET ssn = name',
  'UPDATE customers SET ssn = ssn',
  "UPDATE customers SET ssn = 'a' || 'b'",
  'UPDATE customers SET (name, ssn) = (SELECT 1, 2)',
  "UPDATE customers SET name = 'x' WHERE ssn LIKE 'a%'",
  'UPDATE customers c SET name = c::text',
  'UPDATE customers SET name = to_jsonb(customers)::text',
  'UPDATE customers SET name = to_jsonb(public.customers)::text',
  'UPDATE customers SET tags[1] = $$x$$',
  'UPDATE customers SET name = $$x$$ WHERE customers.to_jsonb IS NULL',
  'UPDATE customers c SET name = c.row_to_json WHERE id = 1',
  'UPDATE customers SET name = public.customers.to_jsonb',
  'UPDATE customers SET name = (public.customers).ssn',
  "UPDATE customers SET (name, ssn) = ('a', name)",
  'UPDATE customers SET (name, ssn) = (SELECT $$a$$, $$b$$)',
  "INSERT INTO customers (id, name, token) VALUES (1, 'x', $1) ON CONFLICT (id) DO UPDATE SET name = excluded.to_jsonb",
  "INSERT INTO customers (id, name, token) VALUES (1, 'x', $1) ON CONFLICT (id) DO UPDATE SET ssn = excluded.name",
  "INSERT INTO customers (id, name, token) VALUES (1, 'x', $1) ON CONFLICT (id) DO UPDATE SET ssn = customers.ssn",
  'INSERT INTO customers (id, ssn, token) SELECT id, memo, $1 FROM orders',
  'INSERT INTO customers (id, ssn, token) SELECT o.*, $1 FROM orders o',
  'INSERT INTO customers (id, ssn, token) SELECT 1, $1, $2 UNION SELECT id, memo, $2 FROM orders',
  'MERGE INTO customers c USING orders o ON c.ssn = o.memo WHEN MATCHED THEN DELETE',
  'MERGE INTO customers c USING orders o ON c.id = o.id WHEN MATCHED AND c.ssn IS NULL THEN DELETE',
  'MERGE INTO customers c USING orders o ON c.id = o.id WHEN MATCHED THEN UPDATE SET ssn = o.memo',
  'MERGE INTO customers c USING orders o ON c.id = o.id WHEN MATCHED THEN UPDATE SET name = c.ssn',
  'MERGE INTO customers c USING orders o ON c.id = o.id WHEN NOT MATCHED THEN INSERT (id, ssn) VALUES (o.id, o.memo)',
  'MERGE INTO customers c USING orders o ON c.to_jsonb IS NULL WHEN MATCHED THEN DELETE',
  'DELETE FROM customers USING (SELECT $$x$$::text AS ssn) x WHERE customers.ssn = x.ssn',
  "INSERT INTO customers (id, name, token) VALUES (1, 'x', $1) ON CONFLICT (ssn) DO NOTHING",
  "INSERT INTO customers (id, name, token) VALUES (1, 'x', $1) ON CONFLICT (id) DO UPDATE SET name = excluded.ssn",
  "INSERT INTO customers (id, name, token) VALUES (1, 'x', $1) ON CONFLICT (id) DO UPDATE SET name = customers::text",
  "UPDATE customers SET ssn = '[redacted]'",
  "UPDATE customers SET token = '00000000-0000-0000-0000-000000000000'",
  'INSERT INTO customers (id, name, ssn, token) VALUES (9, $$x$$, $$y$$, gen_random_uuid()) ON CONFLICT DO NOTHING',
  'INSERT INTO orders (id, customer_id, total, memo) SELECT id + 100, id, 1, ssn FROM customers',
  'INSERT INTO orders (id, total, memo) SELECT 1, 1, c::text FROM customers c',
  'UPDATE orders SET memo = c.ssn FROM customers c WHERE c.id = customer_id',
  'UPDATE v_contact SET label = tax',
  "INSERT INTO v_contact (id, label) VALUES (1, 'x')",
  'WITH x AS (UPDATE customers SET name = $$y$$ RETURNING id) SELECT ssn FROM customers',
  'MERGE INTO orders o USING customers c ON c.id = o.customer_id WHEN MATCHED THEN UPDATE SET memo = c.ssn',
];

/** They read other columns of it, from the sub-select that stands there. */
const through = [
  'INSERT INTO orders (id, customer_id, total, memo) SELECT id + 100, id, 1, name FROM customers',
  'UPDATE orders SET memo = c.name FROM customers c WHERE c.id = customer_id',
  'DELETE FROM orders USING customers c WHERE c.id = customer_id',
  'DELETE FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE name = $$Ada$$)',
];

describe('statements that write to a relation with masked columns', () => {
  let database: TestDatabase;
  let one: (sql: string) => Analysis;

  before(async () => {
    await ready();
    database = await startWithSecrets(hasPostgres(18) ? 18 : 15, 'qsecretz');
    const analyse = newAnalyser();
    const state = { searchPath: ['pg_catalog', 'public'], user: 'u', database: 'secrets' };
    const mask = maskWith({ type: 'Redact' });
    one = (sql) => analyse({ sql, catalog: database.catalog, state, mask, prepared: () => undefined, cursor: () => undefined });
  });
  after(() => database?.server.stop());

  for (const sql of plain) {
    test(`leaves ${sql}`, () => {
      const { refusal, sent } = one(sql);
      assert.equal(refusal, null);
      assert.equal(sent, sql);
    });
  }
  for (const sql of through) {
    test(`masks what is read by ${sql}`, () => {
      const { refusal, sent, touchesMasked } = one(sql);
      assert.equal(refusal, null);
      assert.ok(touchesMasked);
      assert.match(sent, /\(SELECT m\."id".*'\[redacted\]'.* FROM "public"\."customers" AS m\)/);
    });
  }
  for (const sql of refused)
    test(`refuses ${JSON.stringify(sql)}`, () => assert.equal(one(sql).refusal?.code, 'NotRewritable', one(sql).refusal?.message ?? ''));
});
