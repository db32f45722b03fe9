/** Non-interference: two databases that differ in their secrets alone give the same answers to whatever SELECT may be sent. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { hasPostgres } from '#e2e/postgres/server.ts';
import { type Analysis, newAnalyser, ready } from './analyse.ts';
import type { CatalogConnection } from './catalog.ts';
import { catalogConnection, formsOf, maskWith, schemaWithSecrets, startWithSecrets, type TestDatabase } from './testing.ts';

const columns: Readonly<Record<string, readonly string[]>> = {
  customers: ['id', 'name', 'email', 'ssn', 'pay', 'vip', 'born', 'notes', 'avatar', 'tags', 'lvl'],
  'public.customers': ['id', 'name', 'ssn'],
  orders: ['id', 'customer_id', 'total', 'memo'],
  '"Weird ""Tab"': ['"Sel ect"', '"from"', '"é€"'],
  paid: ['id', 'card', 'day'],
  paid_2025: ['id', 'card', 'day'],
  'ONLY parent': ['id', 'secret'],
  child: ['id', 'secret', 'extra'],
  v_contact: ['id', 'label', 'tax', 'reach'],
  v_deep: ['id', 'tax', 'total'],
  v_whole: ['id', 'rec'],
  v_own: ['id', 'secret_memo'],
  v_safe: ['id', 'memo'],
};
const sources = Object.keys(columns);

/** A FROM item with an alias, and an expression maker over its columns. */
const item = (alias: string): fc.Arbitrary<{ readonly from: string; readonly column: fc.Arbitrary<string> }> =>
  fc.constantFrom(...sources).chain((source) =>
    fc.constantFrom('', ' ', ' AS ', '/* x */ AS ').map((gap) => ({
      from: `${source}${gap === '' ? ' ' : gap}${alias}`,
      column: fc.constantFrom(...(columns[source] ?? [])).map((name) => `${alias}.${name}`),
    })),
  );

const wrap = (column: string): fc.Arbitrary<string> =>
  fc.constantFrom(
    column,
    `${column}::text`,
    `length(${column}::text)`,
    `md5(${column}::text)`,
    `substr(${column}::text, 2, 3)`,
    `to_jsonb(${column})`,
    `coalesce(${column}::text, 'none')`,
    `CASE WHEN ${column}::text > 'k' THEN 1 ELSE 2 END`,
    `${column}::text || '€'`,
    `${column}::text::int`,
    `row(${column})`,
    `(SELECT max(z.ssn) FROM customers z WHERE z.ssn::text >= ${column}::text)`,
  );

const simple: fc.Arbitrary<string> = fc.tuple(item('t'), item('u')).chain(([left, right]) =>
  fc
    .record({
      one: left.column.chain(wrap),
      two: right.column.chain(wrap),
      where: left.column.chain(wrap),
      order: left.column,
      shape: fc.constantFrom('plain', 'star', 'join', 'whole', 'group', 'exists', 'cte', 'hiding', 'union', 'lateral', 'window', 'scalar'),
    })
    .map(({ one, two, where, order, shape }) => {
      const tail = `WHERE ${where}::text <> 'x' ORDER BY ${order}::text, 1`;
      switch (shape) {
        case 'star':
          return `SELECT * FROM ${left.from} ORDER BY ${order}::text`;
        case 'join':
          return `SELECT ${one} AS a, ${two} AS b FROM ${left.from} JOIN ${right.from} ON t.id::text >= u.id::text ${tail}, 2`;
        case 'whole':
          return `SELECT t::text, row_to_json(t) FROM ${left.from} ${tail.replace(/ORDER.*/s, 'ORDER BY 1')}`;
        case 'group':
          return `SELECT ${one} AS a, count(*) FROM ${left.from} GROUP BY 1 ORDER BY 1, 2`;
        case 'exists':
          return `SELECT count(*) FROM ${left.from} WHERE EXISTS (SELECT 1 FROM ${right.from} WHERE ${two}::text = ${one}::text)`;
        case 'cte':
          return `WITH c AS (SELECT ${one} AS a FROM ${left.from}) SELECT a::text FROM c ORDER BY 1`;
        case 'hiding':
          return `WITH customers AS (SELECT * FROM customers) SELECT ssn::text FROM customers UNION ALL SELECT ${one}::text FROM ${left.from} ORDER BY 1`;
        case 'union':
          return `SELECT ${one}::text FROM ${left.from} UNION SELECT ${two}::text FROM ${right.from} ORDER BY 1`;
        case 'lateral':
          return `SELECT l.a FROM ${left.from}, LATERAL (SELECT ${two}::text || ${one}::text AS a FROM ${right.from}) l ORDER BY 1`;
        case 'window':
          return `SELECT t.id, rank() OVER (ORDER BY ${one}::text) FROM ${left.from} ORDER BY 1, 2`;
        case 'scalar':
          return `SELECT (SELECT string_agg(${two}::text, ',' ORDER BY ${two}::text) FROM ${right.from}), ${one} AS a FROM ${left.from} ${tail}`;
        default:
          return `SELECT ${one} AS a FROM ${left.from} ${tail}`;
      }
    }),
);

const major = hasPostgres(18) ? 18 : 15;

describe('generated SELECTs', () => {
  const marks = [`q${randomBytes(5).toString('hex')}z`, `k${randomBytes(5).toString('hex')}w`] as const;
  let database: TestDatabase;
  const sessions: CatalogConnection[] = [];

  before(async () => {
    await ready();
    database = await startWithSecrets(major, marks[0]);
    await database.server.query('CREATE DATABASE twin');
    const twin = await catalogConnection(database.server, 'twin');
    await twin.query('SET default_transaction_read_only = off');
    await twin.query('SET search_path = public');
    await twin.query(schemaWithSecrets(marks[1]));
    sessions.push(await catalogConnection(database.server, 'secrets'), twin);
    for (const session of sessions) await session.query('SET search_path = public');
  });
  after(async () => {
    for (const session of sessions) await session.close();
    await database?.server.stop();
  });

  async function answer(session: CatalogConnection, sql: string): Promise<string> {
    try {
      return JSON.stringify(await session.query(sql));
    } catch (error) {
      return `error ${String(error)}`;
    }
  }

  test('show no secret, and tell two databases of other secrets not apart', async () => {
    const analyse = newAnalyser();
    const mask = maskWith({ type: 'Redact' });
    const state = { searchPath: ['pg_catalog', 'public'], user: 'u', database: 'secrets' };
    let answered = 0;
    const judge = (sql: string): Analysis =>
      analyse({ sql, catalog: database.catalog, state, mask, prepared: () => undefined, cursor: () => undefined });
    await fc.assert(
      fc.asyncProperty(simple, async (sql) => {
        const analysis = judge(sql);
        assert.equal(analysis.refusal, null, `${sql}: ${analysis.refusal?.message}`);
        const shown = await Promise.all(sessions.map((session) => answer(session, analysis.sent)));
        if (!shown[0]?.startsWith('error')) answered += 1;
        assert.equal(shown[0], shown[1], analysis.sent);
        for (const form of formsOf(marks[0])) assert.ok(!shown[0]?.includes(form), analysis.sent);
      }),
      { numRuns: 200 },
    );
    assert.ok(answered > 60, `only ${answered} had an answer`);
  });
});
