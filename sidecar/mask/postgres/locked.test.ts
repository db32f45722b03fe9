/** SELECT … FOR UPDATE of what is masked locks the rows that it would lock without masks; EXPLAIN tells nothing of what is masked. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import { hasPostgres, type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { type Analysis, newAnalyser, ready } from './analyse.ts';
import type { Catalog } from './catalog.ts';
import { loadCatalog } from './catalog-load.ts';
import { catalogConnection } from './testing.ts';

/** As long as each other, and of other distributions: many different values, and one. */
const schema = (ssn: string): string => `
CREATE TABLE people (id int PRIMARY KEY, ssn text, city text, pay int);
INSERT INTO people SELECT n, ${ssn}, 'city ' || n % 7, ${ssn.includes('n') ? 'n' : '5'} FROM generate_series(1, 3000) AS g(n);
CREATE INDEX ON people (ssn); CREATE INDEX ON people (pay); CREATE STATISTICS s ON ssn, city FROM people;
CREATE TABLE jobs (id int PRIMARY KEY, person int, note text); INSERT INTO jobs SELECT n, n % 100, 'x' FROM generate_series(1, 500) AS g(n);
CREATE VIEW seen AS SELECT p.ssn AS tax, p.city FROM people p;
CREATE TABLE part (id int, ssn text) PARTITION BY LIST (id); CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1); INSERT INTO part VALUES (1, ${ssn.includes('n') ? "'secret'" : "'hidden'"});
ANALYZE;`;

const masks = (partial: boolean): MaskPolicy => ({
  active: true,
  detectors: [],
  functions: new Set(),
  key: String(partial),
  column: (_schema, relation, column) =>
    ['people.ssn', 'people.pay', 'part.ssn'].includes(`${relation}.${column}`)
      ? { strategy: partial ? { type: 'Partial', keepStart: 1, keepEnd: 1 } : { type: 'Redact' }, authors: [], strict: false }
      : null,
});

const locking = [
  'SELECT * FROM people WHERE id = 5 FOR UPDATE',
  'SELECT id, ssn, p.*, upper(ssn), p::text FROM people p WHERE city = $$city 3$$ ORDER BY id DESC LIMIT 2 FOR UPDATE OF p SKIP LOCKED',
  'SELECT * FROM jobs j JOIN people p ON p.id = j.person WHERE j.id < 4 ORDER BY j.id FOR SHARE OF j NOWAIT',
  'SELECT p.id, j.id FROM people p, jobs j WHERE p.id = j.person AND j.id = 7 FOR NO KEY UPDATE',
  'SELECT public.people.ssn FROM public.people WHERE public.people.id = 9 FOR KEY SHARE',
  'SELECT * FROM part FOR UPDATE',
  'SELECT (SELECT max(note) FROM jobs WHERE person = people.id), * FROM people WHERE id IN (SELECT person FROM jobs WHERE id = 3) FOR UPDATE',
];

const explained = [
  'EXPLAIN SELECT * FROM people',
  "EXPLAIN SELECT ssn FROM people WHERE ssn = 'a'",
  "EXPLAIN SELECT id FROM people WHERE ssn > 'a' AND city = 'city 1'",
  'EXPLAIN SELECT id FROM people WHERE pay < 100',
  'EXPLAIN SELECT ssn, count(*) FROM people GROUP BY ssn',
  'EXPLAIN SELECT DISTINCT pay FROM people',
  'EXPLAIN SELECT max(pay), min(ssn) FROM people',
  'EXPLAIN SELECT * FROM people a JOIN people b ON a.ssn = b.ssn',
  'EXPLAIN SELECT * FROM people a JOIN people b USING (pay)',
  'EXPLAIN SELECT * FROM jobs WHERE person IN (SELECT pay FROM people)',
  'EXPLAIN (VERBOSE, FORMAT JSON) SELECT ssn FROM people ORDER BY ssn LIMIT 3',
  'EXPLAIN (ANALYZE, TIMING off, SUMMARY off, BUFFERS off) SELECT ssn, row_number() OVER (PARTITION BY ssn ORDER BY pay) FROM people ORDER BY pay',
  "EXPLAIN (ANALYZE, TIMING off, SUMMARY off, BUFFERS off) SELECT count(*) FROM people WHERE ssn LIKE '%7%'",
  "EXPLAIN SELECT * FROM seen WHERE tax = 'a' AND city = 'city 2'",
  "EXPLAIN UPDATE people SET pay = 5 WHERE city = 'city 1' RETURNING ssn, *",
  'EXPLAIN DELETE FROM people WHERE id < 50',
  "EXPLAIN INSERT INTO people VALUES (1, 'x', 'y', 2) ON CONFLICT (id) DO UPDATE SET ssn = excluded.ssn RETURNING *",
  'EXPLAIN SELECT * FROM people WHERE id < 100 FOR UPDATE',
];

const refused = [
  'SELECT id FROM people WHERE ssn IS NULL FOR UPDATE',
  'SELECT id FROM people ORDER BY ssn FOR UPDATE',
  'SELECT ssn AS x FROM people ORDER BY people.pay FOR UPDATE',
  'SELECT id FROM people p WHERE p.to_jsonb IS NULL FOR UPDATE',
  'SELECT p.to_jsonb FROM people p FOR UPDATE',
  'SELECT (p).ssn FROM people p FOR UPDATE',
  'SELECT p.ssn FROM people p JOIN people q ON p.id = q.id FOR UPDATE OF q',
  'SELECT * FROM (SELECT * FROM people) p FOR UPDATE',
  'SELECT * FROM (SELECT * FROM people FOR UPDATE) p',
  'SELECT * FROM jobs WHERE person IN (SELECT id FROM people FOR UPDATE)',
  'SELECT * FROM jobs WHERE person IN (SELECT id FROM people) FOR UPDATE',
  'SELECT * FROM people WHERE id IN (SELECT person FROM jobs FOR UPDATE) FOR UPDATE',
  'WITH p AS (SELECT * FROM people FOR UPDATE) SELECT * FROM p',
  'WITH p AS (SELECT * FROM people) SELECT * FROM jobs j, p FOR UPDATE OF j',
  'SELECT * FROM people AS p(a, b, c, d) FOR UPDATE',
  'SELECT j.b FROM (people p CROSS JOIN jobs) AS j(a, b) FOR UPDATE',
  'SELECT * FROM people NATURAL JOIN jobs FOR UPDATE',
  'SELECT * FROM people TABLESAMPLE system (50) FOR UPDATE',
  'SELECT * FROM seen FOR UPDATE',
  'SELECT id FROM people LIMIT (SELECT count(ssn) FROM people) FOR UPDATE',
  'SELECT id, (SELECT max(x) FROM (SELECT ssn AS x) s) FROM people FOR UPDATE',
  'SELECT count(ssn) OVER w FROM people WINDOW w AS (ORDER BY pay) FOR UPDATE',
  'EXPLAIN CREATE TABLE x AS SELECT * FROM people',
  'EXPLAIN DECLARE c CURSOR FOR SELECT * FROM people',
];

const major = hasPostgres(18) ? 18 : 15;

describe('row locks and plans', () => {
  let server: Postgres;
  let catalog: Catalog;
  const clients: pg.Client[] = [];
  const analyse = newAnalyser();
  const one = (sql: string, partial = false): Analysis => {
    const state = { searchPath: ['pg_catalog', 'public'], user: 'u', database: 'a' };
    return analyse({ sql, catalog, state, mask: masks(partial), prepared: () => undefined, cursor: () => undefined });
  };

  before(async () => {
    await ready();
    server = await startPostgres({ major, database: 'a', initSql: schema("'secret-' || lpad(n::text, 5, '0')") });
    await server.query('CREATE DATABASE b');
    for (const database of ['a', 'b']) {
      const client = new pg.Client({ host: server.host, port: server.port, ...server.superuser, database });
      await client.connect();
      clients.push(client);
    }
    await clients[1]?.query(schema("'hidden-00001'"));
    const connection = await catalogConnection(server, 'a');
    catalog = (await loadCatalog(connection.query)).catalog;
    await connection.close();
  });
  after(async () => {
    for (const client of clients) await client.end();
    await server?.stop();
  });

  async function answer(index: number, sql: string): Promise<string> {
    await clients[index]?.query('BEGIN');
    try {
      return JSON.stringify((await clients[index]?.query({ text: sql, rowMode: 'array' }))?.rows);
    } catch (error) {
      return `error ${String(error)}`;
    } finally {
      await clients[index]?.query('ROLLBACK');
    }
  }

  /** The rows that are locked after the statement, as another session finds them. */
  async function lockedAfter(sql: string): Promise<unknown> {
    await clients[0]?.query('BEGIN');
    await clients[0]?.query(sql);
    const other = new pg.Client({ host: server.host, port: server.port, ...server.superuser, database: 'a' });
    await other.connect();
    try {
      const free = async (table: string) => {
        await other.query('BEGIN');
        const { rows } = await other.query(`SELECT array_agg(id ORDER BY id) FROM (SELECT id FROM ${table} FOR UPDATE SKIP LOCKED) x`);
        await other.query('ROLLBACK');
        return rows;
      };
      return [await free('people'), await free('jobs'), await free('part')];
    } finally {
      await other.end();
      await clients[0]?.query('ROLLBACK');
    }
  }

  for (const sql of locking) {
    test(`masks, and locks as the server does: ${sql}`, async () => {
      for (const partial of [false, true]) {
        const { sent, refusal } = one(sql, partial);
        assert.equal(refusal, null, refusal?.message ?? '');
        const shown = await answer(0, sent);
        assert.doesNotMatch(shown, /secret-|error|secret"/);
        if (!partial) assert.equal(shown, await answer(1, sent));
        assert.deepEqual(await lockedAfter(sent), await lockedAfter(sql));
      }
    });
  }

  for (const sql of explained) {
    test(`the plan is the same whatever is masked: ${sql}`, async () => {
      const { sent, refusal } = one(sql);
      assert.equal(refusal, null, refusal?.message ?? '');
      const [first, second] = [await answer(0, sent), await answer(1, sent)];
      assert.doesNotMatch(first, /^error/);
      assert.equal(first, second);
      assert.notEqual(one(sql, true).refusal, null, 'Partial');
    });
  }

  test('without masks the plans do tell', async () => {
    const told = [];
    for (const sql of explained) if ((await answer(0, sql)) !== (await answer(1, sql))) told.push(sql);
    assert.ok(told.length > 6, String(told.length));
  });

  for (const sql of refused) test(`refuses ${sql}`, () => assert.notEqual(one(sql).refusal, null));
});
