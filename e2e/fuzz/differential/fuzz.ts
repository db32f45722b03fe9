/** Our parser and what we say of statements, against a real server of each major: `npm run fuzz -- --target differential`. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ready } from '#sidecar/mask/postgres/analyse.ts';
import type { Catalog } from '#sidecar/mask/postgres/catalog.ts';
import { loadCatalog } from '#sidecar/mask/postgres/catalog-load.ts';
import { SETUP } from '#sidecar/mask/postgres/catalog-queries.ts';
import { open, statementsOf } from '../../corpora/databases.ts';
import { hasPostgres, type Major, type Postgres, startPostgres } from '../../postgres/server.ts';
import type { ServerFunction } from '../masking/expressions.ts';
import { MORE_SCHEMA } from '../masking/schema.ts';
import { functionsOf } from '../masking/twins.ts';
import { Dice } from '../mutate.ts';
import { Comparison, type Counts } from './compare.ts';
import { Oracle } from './server.ts';
import { corpusTexts, Texts } from './texts.ts';

const DATABASE = 'differential';
/** What writes by ways that the text does not show. */
const HIDDEN_WRITES = `
CREATE SEQUENCE counter;
CREATE FUNCTION writes() RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO public.scratch VALUES (1, NULL) RETURNING 1';
CREATE FUNCTION counts(int) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT nextval(''public.counter'') + $1';
CREATE FUNCTION counts_of(int, int) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT public.counts($1 + $2)';
CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = counts_of);
CREATE AGGREGATE adds(int) (SFUNC = counts_of, STYPE = int, INITCOND = '0');
CREATE VIEW v_writes AS SELECT public.writes() AS w;
CREATE VIEW v_behind AS SELECT w + 1 AS w FROM v_writes;
CREATE VIEW v_counts AS SELECT nextval('public.counter') AS n;
CREATE VIEW v_operator AS SELECT 1 OPERATOR(public.###) 2 AS n;
CREATE VIEW v_locks AS SELECT * FROM orders FOR UPDATE;
CREATE TYPE odd AS (x int);
CREATE FUNCTION to_odd(int) RETURNS odd LANGUAGE sql VOLATILE AS 'SELECT ROW(public.writes())::public.odd';
CREATE CAST (int AS odd) WITH FUNCTION to_odd(int);
CREATE FUNCTION is_counted(int) RETURNS bool LANGUAGE sql VOLATILE AS 'SELECT public.writes() > $1 - 1';
CREATE DOMAIN counted AS int CHECK (public.is_counted(VALUE));
CREATE FUNCTION lower(varchar) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT public.writes()::text';
CREATE FUNCTION total(orders) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT public.writes()';
CREATE RULE also AS ON UPDATE TO employees DO ALSO DELETE FROM scratch;
CREATE RULE looks AS ON INSERT TO employees DO INSTEAD SELECT 1;
`;
/** Every way to them that we thought of; most is made of these by chance. */
const WAYS = [
  ...[
    'SELECT writes()',
    'SELECT * FROM writes()',
    'SELECT counts(1)',
    'SELECT 1 ### 2',
    'SELECT 1 OPERATOR(public.###) 2',
    'SELECT adds(id) FROM orders',
    'TABLE v_writes',
  ],
  ...[
    'SELECT * FROM v_behind',
    'SELECT n FROM v_counts',
    'TABLE v_operator',
    'SELECT * FROM v_locks',
    'SELECT 1::odd',
    'SELECT CAST(1 AS odd)',
    'SELECT 1::counted',
  ],
  ...[
    'SELECT lower(full_name::varchar) FROM customers',
    'SELECT o.total FROM orders o',
    'SELECT o.total, total(o) FROM orders o',
    'SELECT (o).total FROM orders o',
  ],
  ...[
    "SELECT nextval('counter')",
    "SELECT setval('counter', 5)",
    'SELECT lo_create(0)',
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT query_to_xml('SELECT writes()', true, true, '')",
  ],
  ...[
    'SELECT * FROM orders FOR UPDATE',
    'SELECT * FROM orders FOR KEY SHARE',
    'EXPLAIN ANALYZE SELECT writes()',
    'EXPLAIN SELECT writes()',
    'EXPLAIN ANALYZE DELETE FROM orders',
  ],
  ...[
    'DECLARE c CURSOR FOR SELECT writes()',
    'PREPARE p AS SELECT writes()',
    'CREATE TEMP TABLE t AS SELECT 1',
    'SELECT 1 INTO t',
    'COPY (SELECT writes()) TO STDOUT',
    'VALUES (writes())',
  ],
  ...[
    'WITH w AS (DELETE FROM orders RETURNING 1) SELECT 1',
    'SELECT CASE WHEN writes() > 0 THEN 1 END',
    'SELECT 1 LIMIT writes()',
    'SELECT count(*) FILTER (WHERE writes() = 1) FROM orders',
  ],
  ...[
    'SELECT 1 ORDER BY writes()',
    'SELECT 1 GROUP BY writes()',
    'SELECT 1 HAVING writes() > 0',
    'SELECT sum(1) OVER (ORDER BY writes())',
    'SELECT * FROM orders TABLESAMPLE BERNOULLI (writes())',
  ],
  ...[
    'SELECT * FROM orders o JOIN LATERAL (SELECT writes()) w ON true',
    'SELECT * FROM ROWS FROM (writes(), counts(1))',
    'SELECT XMLFOREST(writes() AS w)',
    "SELECT '{1}'::int[] = ARRAY[writes()]",
  ],
  ...[
    'INSERT INTO employees VALUES (1)',
    'LISTEN c',
    "NOTIFY c, 'x'",
    "SELECT pg_notify('c', 'x')",
    'LOCK TABLE orders',
    'DISCARD TEMP',
    'SET CONSTRAINTS ALL DEFERRED',
    'REFRESH MATERIALIZED VIEW mv_cards',
    'ANALYZE orders',
  ],
] as const;

export interface Bench {
  readonly server: Postgres;
  readonly major: Major;
  readonly catalog: Catalog;
  readonly functions: readonly ServerFunction[];
}

export async function startBench(major: Major): Promise<Bench> {
  await ready();
  const server = await startPostgres({ major, settings: { autovacuum: 'off' } });
  try {
    await server.query(`CREATE DATABASE ${DATABASE}`);
    const client = await open(server, DATABASE);
    const schema = await readFile(join(import.meta.dirname, '../../corpora/pg-corpus-schema.sql'), 'utf8');
    for (const text of [...statementsOf(schema), 'SET ROLE app', ...statementsOf(MORE_SCHEMA), 'RESET ROLE']) await client.query(text);
    for (const text of ['SET ROLE app', ...statementsOf(HIDDEN_WRITES), 'RESET ROLE']) await client.query(text).catch(() => undefined);
    for (const text of SETUP.split('; ')) await client.query(text);
    const asText = { getTypeParser: () => (value: unknown) => value };
    const query = async (sql: string) => (await client.query({ text: sql, rowMode: 'array', types: asText })).rows as (string | null)[][];
    const { catalog } = await loadCatalog(query);
    await client.end();
    return { server, major, catalog, functions: await functionsOf(server, DATABASE) };
  } catch (error: unknown) {
    await server.stop();
    throw error;
  }
}

/** `goesOn` is asked before each text. The ways to hidden writes come first. */
export async function compare(bench: Bench, seed: number, goesOn: () => boolean): Promise<Comparison> {
  const oracle = new Oracle(bench.server.port, DATABASE);
  const comparison = new Comparison(oracle, bench.catalog, bench.major, DATABASE);
  try {
    const texts = new Texts(new Dice(seed), bench.functions, [...WAYS, ...(await corpusTexts())]);
    for (const text of WAYS) await comparison.look(text);
    while (goesOn()) await comparison.look(texts.next());
    return comparison;
  } finally {
    oracle.end();
  }
}

/** How many differed in what matters. */
export async function fuzzDifferential(seed: number, forMs: number): Promise<number> {
  const majors: readonly Major[] = hasPostgres(15) ? [15, 18] : [18];
  let found = 0;
  for (const major of majors) {
    const bench = await startBench(major);
    try {
      const deadline = Date.now() + forMs / majors.length;
      const { counts, differences } = await compare(bench, seed, () => Date.now() < deadline);
      process.stdout.write(`differential, PostgreSQL ${major}: ${countsInWords(counts)}, ${differences.length} differences\n`);
      for (const { text, problem } of differences) process.stdout.write(`  ${problem}\n    ${text}\n`);
      found += differences.length;
    } finally {
      await bench.server.stop();
    }
  }
  return found;
}

function countsInWords({ texts, bothTake, bothRefuse, weRefuse, ran, reading }: Counts): string {
  return `${texts} texts, ${bothTake} taken by both, ${bothRefuse} by neither, ${weRefuse} refused by us alone, ${ran} run read only, ${reading} of them called reading`;
}
