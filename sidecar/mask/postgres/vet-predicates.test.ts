import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { hasPostgres } from '#e2e/postgres/server.ts';
import { type Analysis, newAnalyser, ready } from './analyse.ts';
import { maskWith, startWithSecrets, type TestDatabase } from './testing.ts';

const state = { searchPath: ['pg_catalog', 'public'], user: 'u', database: 'secrets' };
const sourceMasked = maskWith({ type: 'Redact' });
const strict = maskWith({ type: 'Redact' }, true, true);

describe('what may be done with a masked column beside showing it', () => {
  let database: TestDatabase;

  before(async () => {
    await ready();
    database = await startWithSecrets(hasPostgres(18) ? 18 : 15, 'qsecretz');
  });
  after(() => database?.server.stop());

  const analysed = (sql: string, mask = strict): Analysis =>
    newAnalyser()({ sql, catalog: database.catalog, state, mask, prepared: () => undefined, cursor: () => undefined });

  for (const sql of [
    "SELECT id FROM customers WHERE ssn = 'x'",
    "SELECT id FROM customers c WHERE c.email LIKE 'a%'",
    "SELECT id FROM customers WHERE to_jsonb(customers)->>'ssn' = 'x'",
    "SELECT id FROM (SELECT id, ssn AS s FROM customers) x WHERE s = 'x'",
    "WITH x(i, s) AS (SELECT id, ssn FROM customers) SELECT i FROM x WHERE s = 'x'",
    "SELECT 1 FROM customers AS c(i, n, e, s) WHERE s = 'x'",
    "SELECT id FROM v_contact WHERE tax = 'x'",
    "SELECT id FROM v_deep WHERE tax = 'x'",
    "SELECT id FROM v_whole WHERE rec::text LIKE '%x%'",
    'SELECT o.id FROM orders o JOIN customers c ON o.memo = c.ssn',
    'SELECT 1 FROM customers a JOIN customers b USING (ssn)',
    'SELECT 1 FROM customers NATURAL JOIN orders',
    'SELECT id FROM customers ORDER BY ssn',
    'SELECT id, ssn AS s FROM customers ORDER BY s',
    'SELECT id, ssn FROM customers ORDER BY 2',
    'SELECT * FROM customers ORDER BY 4',
    'SELECT count(*) FROM customers GROUP BY ssn',
    'SELECT DISTINCT ssn FROM customers',
    'SELECT ssn FROM customers UNION SELECT memo FROM orders',
    'SELECT count(*) FROM customers HAVING max(ssn) > $$a$$',
    "SELECT count(*) FILTER (WHERE ssn < '1') FROM customers",
    'SELECT rank() OVER (ORDER BY ssn) FROM customers',
    "SELECT CASE WHEN ssn LIKE '0%' THEN 1 END FROM customers",
    "SELECT ssn = 'x' FROM customers",
    "SELECT ssn IN ('x', 'y') FROM customers",
    'SELECT ssn IS NULL FROM customers',
    'SELECT id FROM customers LIMIT (SELECT length(ssn) FROM customers LIMIT 1)',
    "SELECT id FROM orders WHERE EXISTS (SELECT 1 FROM customers WHERE ssn = 'x')",
    "SELECT id FROM orders WHERE (SELECT ssn FROM customers LIMIT 1) = 'x'",
  ])
    test(`refused where predicates are strict: ${sql}`, () => {
      assert.equal(analysed(sql).refusal?.code, 'NotRewritable');
      assert.equal(analysed(sql, sourceMasked).refusal, null);
    });

  for (const sql of [
    'SELECT * FROM customers ORDER BY id',
    'SELECT ssn, email, upper(ssn) FROM customers WHERE id = 1',
    'SELECT name FROM customers WHERE id IN (SELECT customer_id FROM orders WHERE total > 5) ORDER BY name',
    'SELECT c.name, count(o.id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.id, c.name',
    'SELECT DISTINCT name FROM customers',
    'SELECT ssn FROM customers UNION ALL SELECT memo FROM orders',
    'SELECT label FROM v_contact WHERE id = 1',
    'SELECT ssn FROM other.customers WHERE ssn = $$x$$',
    'WITH customers AS (SELECT 1 AS id, $$x$$::text AS ssn) SELECT ssn FROM customers WHERE ssn = $$x$$',
  ])
    test(`allowed where predicates are strict: ${sql}`, () => assert.equal(analysed(sql).refusal, null));

  test('a function is allowed by its definition, and only where every rule lists it', async () => {
    const [row] = await database.server.query(
      "SELECT encode(sha256(convert_to(pg_get_functiondef('public.leak(int)'::regprocedure), 'UTF8')), 'hex') AS hash",
    );
    const listing = (...hashes: string[]) => maskWith({ type: 'Redact' }, true, false, new Set(hashes));
    assert.equal(analysed('SELECT leak(1)', listing(String(row?.['hash']))).refusal, null);
    assert.equal(analysed('SELECT leak(1)', listing('0'.repeat(64))).refusal?.code, 'NotSupported');
    assert.equal(analysed('SELECT change()', listing(String(row?.['hash']))).refusal?.code, 'NotSupported');
  });

  test('a plain temporary table may be made, of what is not masked', () => {
    for (const sql of [
      'CREATE TEMP TABLE x (i int PRIMARY KEY, t text NOT NULL DEFAULT $$a$$, UNIQUE (t))',
      'CREATE TEMP TABLE x AS SELECT id, name FROM customers',
      'CREATE TEMP TABLE x ON COMMIT DROP AS SELECT label FROM v_contact',
      'LISTEN x',
      "NOTIFY x, 'y'",
    ])
      assert.equal(analysed(sql).refusal, null, sql);
    for (const sql of [
      'CREATE TEMP TABLE x AS SELECT id, ssn FROM customers',
      'CREATE TEMP TABLE x AS SELECT * FROM customers',
      'CREATE TEMP TABLE x AS SELECT customers FROM customers',
      'CREATE TEMP TABLE x AS SELECT tax FROM v_contact',
      'CREATE TEMP TABLE x AS SELECT s FROM (SELECT upper(ssn) AS s FROM customers) y',
      'CREATE TABLE x AS SELECT id FROM customers',
    ])
      assert.notEqual(analysed(sql, sourceMasked).refusal, null, sql);
  });
});
