/** For tests: a small database with secrets, its catalog, and masks over it. */
import pg from 'pg';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import type { SnapshotStrategy } from '#crds/policy/snapshot.ts';
import type { Major, Postgres } from '#e2e/postgres/server.ts';
import { startPostgres } from '#e2e/postgres/server.ts';
import type { Catalog, CatalogConnection } from './catalog.ts';
import { loadCatalog } from './catalog-load.ts';
import { SETUP } from './catalog-queries.ts';

/** Every secret holds `mark`, so that a leak is seen wherever it shows. */
export function schemaWithSecrets(mark: string): string {
  const row = (id: number, name: string): string =>
    `(${id}, '${name}', '${mark}${id}@x.example', '${mark}-ssn-${id}', ${numberOf(mark)}${id}, true, '2001-02-0${id}', '{"pin": "${mark}"}', '${mark}', '{${mark}}', 'b', gen_random_uuid())`;
  return `
    CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%');
    CREATE TYPE level AS ENUM ('a', 'b');
    CREATE TABLE customers (id int PRIMARY KEY, gone int, name text NOT NULL, email mail, ssn varchar(40) UNIQUE, pay numeric(20, 2),
      vip bool, born date, notes jsonb, avatar bytea, tags text[], lvl level, token uuid NOT NULL);
    ALTER TABLE customers DROP COLUMN gone;
    INSERT INTO customers VALUES ${row(1, 'Ada')}, ${row(2, 'Bram')}, ${row(3, 'Cleo')};
    CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, total numeric(10, 2) NOT NULL, memo text);
    INSERT INTO orders VALUES (10, 1, 19.99, 'one'), (11, 2, 250, 'two'), (12, 3, 75.1, NULL), (13, 1, 5, 'four');
    CREATE TABLE "Weird ""Tab" ("Sel ect" int, "from" text, "é€" text);
    INSERT INTO "Weird ""Tab" VALUES (1, 'open', '${mark}'), (2, 'door', '${mark}2');
    CREATE TABLE paid (id int, card text, day date) PARTITION BY RANGE (day);
    CREATE TABLE paid_2024 PARTITION OF paid FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
    CREATE TABLE paid_2025 (day date, junk int, card text, id int);
    ALTER TABLE paid_2025 DROP COLUMN junk;
    ALTER TABLE paid ATTACH PARTITION paid_2025 FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
    INSERT INTO paid VALUES (1, '${mark}', '2024-05-05'), (2, '${mark}2', '2025-05-05');
    CREATE TABLE parent (id int, secret text);
    CREATE TABLE child (extra int) INHERITS (parent);
    INSERT INTO parent VALUES (1, '${mark}');
    INSERT INTO child VALUES (2, '${mark}', 7);
    CREATE VIEW v_contact AS SELECT c.id, c.name AS label, c.ssn AS tax, c.email AS reach FROM customers c;
    CREATE VIEW v_deep AS WITH v AS (SELECT * FROM v_contact) SELECT v.id, v.tax || '!' AS tax, o.total FROM v JOIN orders o ON o.customer_id = v.id;
    CREATE VIEW v_whole AS SELECT c.id, c AS rec FROM customers c;
    CREATE VIEW v_safe AS SELECT o.id, upper(o.memo) AS memo FROM orders o;
    CREATE VIEW v_own AS SELECT o.id, o.memo AS secret_memo FROM orders o;
    CREATE MATERIALIZED VIEW mv AS SELECT id, ssn FROM customers;
    CREATE MATERIALIZED VIEW mv_safe AS SELECT count(*) AS n FROM orders;
    CREATE TABLE holder (id int, rec customers);
    INSERT INTO holder SELECT 1, c FROM customers c;
    CREATE FUNCTION leak(int) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER AS 'SELECT ssn::text FROM public.customers WHERE id = $1';
    CREATE FUNCTION change() RETURNS int LANGUAGE plpgsql VOLATILE AS 'BEGIN RETURN 1; END';
    CREATE FUNCTION lower(varchar) RETURNS text LANGUAGE sql STABLE AS 'SELECT public.leak(1)';
    CREATE FUNCTION plus_leak(int, int) RETURNS text LANGUAGE sql STABLE AS 'SELECT public.leak($1)';
    CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = plus_leak);
    CREATE VIEW v_fn AS SELECT leak(1) AS x;
    CREATE VIEW v_change AS SELECT change() AS x;
    CREATE FUNCTION trg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TABLE regions (id int PRIMARY KEY);
    CREATE TABLE halls (id int PRIMARY KEY REFERENCES regions ON UPDATE CASCADE ON DELETE CASCADE);
    CREATE TABLE guests (hall int REFERENCES halls ON DELETE SET NULL, secret text);
    CREATE TABLE watched (id int);
    CREATE TRIGGER t BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION trg();
    CREATE TABLE ruled (id int);
    CREATE RULE r AS ON INSERT TO ruled DO ALSO SELECT ssn FROM customers;
    CREATE SCHEMA other;
    CREATE TABLE other.customers (id int, ssn text);
    INSERT INTO other.customers VALUES (1, 'not a secret');
    CREATE TYPE odd AS (x int);
    CREATE FUNCTION to_odd(int) RETURNS odd LANGUAGE sql STABLE AS 'SELECT ROW($1)::public.odd';
    CREATE CAST (int AS odd) WITH FUNCTION to_odd(int);
    CREATE SEQUENCE counter;`;
}

/** A number that is found again in output, other for other marks. */
function numberOf(mark: string): string {
  return [...mark]
    .map((char) => String(char.charCodeAt(0) % 10))
    .join('')
    .slice(0, 12)
    .replace(/^0/, '7');
}

/** Forms in which a secret may show: as it is, as hex of bytea, as the number. */
export function formsOf(mark: string): readonly string[] {
  return [mark, Buffer.from(mark).toString('hex'), numberOf(mark), 'b@x.example'];
}

const MASKED: Readonly<Record<string, readonly string[]>> = {
  'public.customers': ['email', 'ssn', 'pay', 'vip', 'born', 'notes', 'avatar', 'tags', 'lvl', 'token'],
  'public.Weird "Tab': ['é€'],
  'public.paid_2024': ['card'],
  'public.child': ['secret'],
  'public.guests': ['secret'],
  'public.v_own': ['secret_memo'],
};

export function maskWith(
  strategy: SnapshotStrategy,
  active = true,
  strict = false,
  functions: ReadonlySet<string> = new Set(),
): MaskPolicy {
  return {
    active,
    detectors: [],
    functions,
    key: JSON.stringify([strategy, active, strict, [...functions]]),
    column: (schema, relation, column) =>
      active && MASKED[`${schema}.${relation}`]?.includes(column) === true ? { strategy, authors: [], strict } : null,
  };
}

export interface TestDatabase {
  readonly server: Postgres;
  readonly catalog: Catalog;
  readonly major: Major;
}

export async function startWithSecrets(major: Major, mark: string): Promise<TestDatabase> {
  const server = await startPostgres({ major, database: 'secrets', initSql: schemaWithSecrets(mark) });
  const connection = await catalogConnection(server, 'secrets');
  try {
    return { server, major, catalog: (await loadCatalog(connection.query)).catalog };
  } finally {
    await connection.close();
  }
}

/** Rows as a simple Query gives them in text format. */
export async function catalogConnection(server: Postgres, database: string): Promise<CatalogConnection> {
  const client = new pg.Client({ host: server.host, port: server.port, ...server.superuser, database });
  client.on('error', () => undefined);
  await client.connect();
  const asText = { getTypeParser: () => (value: unknown) => value };
  const query: CatalogConnection['query'] = async (sql) => {
    const result = await client.query({ text: sql, rowMode: 'array', types: asText });
    return result.rows;
  };
  for (const statement of SETUP.split('; ')) await query(statement);
  return { query, close: () => client.end() };
}
