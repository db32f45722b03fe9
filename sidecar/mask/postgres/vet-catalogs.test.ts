import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { hasPostgres } from '#e2e/postgres/server.ts';
import { type Analysis, newAnalyser, ready } from './analyse.ts';
import { createRowFilter } from './rows.ts';
import { maskWith, startWithSecrets, type TestDatabase } from './testing.ts';

const mask = maskWith({ type: 'Redact' });
const state = { searchPath: ['pg_catalog', 'public'], user: 'u', database: 'secrets' };

describe('columns of the catalog that hold values', () => {
  let database: TestDatabase;

  before(async () => {
    await ready();
    database = await startWithSecrets(hasPostgres(18) ? 18 : 15, 'qsecretz');
  });
  after(() => database?.server.stop());

  const analysed = (sql: string): Analysis => {
    const input = { sql, catalog: database.catalog, state, mask, prepared: () => undefined, cursor: () => undefined };
    return newAnalyser()(input);
  };

  for (const sql of [
    'SELECT attmissingval FROM pg_attribute',
    'SELECT a.attmissingval::text FROM pg_catalog.pg_attribute a',
    'SELECT (a).attmissingval FROM pg_attribute a',
    'SELECT a FROM pg_attribute a',
    'SELECT to_jsonb(pg_attribute) FROM pg_attribute',
    'SELECT to_jsonb(a.*) FROM pg_attribute a',
    'SELECT x.* FROM (SELECT * FROM pg_attribute) x',
    'SELECT x FROM (TABLE pg_attrdef) x',
    'WITH x AS (SELECT * FROM pg_attrdef) SELECT * FROM x',
    'SELECT d FROM pg_attrdef AS x(a, b, c, d)',
    'SELECT j FROM (pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid) AS j',
    'SELECT * FROM pg_attrdef UNION ALL SELECT 1, 1, 1, $$$$',
    'COPY (SELECT * FROM pg_attrdef) TO STDOUT',
    'SELECT adbin FROM pg_attrdef',
    'SELECT pg_get_expr(adbin::text::pg_node_tree, adrelid), length(adbin) FROM pg_attrdef',
    'SELECT * FROM pg_attribute a NATURAL JOIN pg_attrdef d',
    'SELECT relpartbound FROM pg_class',
    'SELECT 1 FROM pg_proc ORDER BY prosqlbody',
    'PREPARE p AS SELECT * FROM pg_class',
  ])
    test(`refused: ${sql}`, () => assert.equal(analysed(sql).refusal?.code, 'NotSupported'));

  for (const sql of [
    'SELECT attname FROM pg_attribute',
    'SELECT count(*) FROM pg_class c, pg_attribute a WHERE a.attrelid = c.oid',
    'SELECT pg_get_expr(d.adbin, d.adrelid, true) FROM pg_attrdef d',
    'SELECT relpartbound IS NOT NULL FROM pg_class',
    'SELECT c.*, pg_catalog.pg_get_expr(c.relpartbound, c.oid) FROM pg_class c',
  ])
    test(`allowed: ${sql}`, () => {
      const analysis = analysed(sql);
      assert.equal(analysis.refusal, null);
      assert.equal(analysis.mustDescribe, true);
    });

  test('what a star shows of them is NULL, with detectors or without', async () => {
    const [column] = await database.server.query("SELECT 'pg_node_tree'::regtype::oid AS tree, 'anyarray'::regtype::oid AS values");
    const columns = [25, Number(column?.['tree']), Number(column?.['values'])].map((dataType) => ({ dataType }));
    const row = Buffer.from('44000000190003000000016100000001620000000163', 'hex');
    const shown = createRowFilter(columns, [], null).filter(row, 0, row.length);
    assert.equal(shown?.toString('hex'), '440000001300030000000161ffffffffffffffff');
  });
});
