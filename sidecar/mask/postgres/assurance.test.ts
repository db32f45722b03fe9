import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import { hasPostgres, type Major, type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { assuranceOf, type DatabaseAssurance, sessionAssurance } from './assurance.ts';
import type { Query } from './catalog.ts';
import { loadCatalog, readFingerprint } from './catalog-load.ts';
import { SETUP } from './catalog-queries.ts';

const password = randomBytes(12).toString('hex');
/** A database at A: another role owns the tables, and `app` has the columns that are not masked. */
const SCHEMA = `
CREATE ROLE dba; CREATE ROLE team; CREATE ROLE outer_team; CREATE ROLE maker; ALTER DATABASE shop OWNER TO dba;
GRANT ALL ON SCHEMA public TO dba, maker;
SET ROLE dba;
CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text, card text);
CREATE TABLE paid (id int, card text, day date) PARTITION BY RANGE (day);
CREATE TABLE paid_2024 PARTITION OF paid FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE TABLE orders (id int, memo text);
CREATE TABLE log (id int);
CREATE VIEW v_safe AS SELECT id, name FROM customers;
CREATE VIEW v_masked AS SELECT id, '***'::text AS ssn FROM customers;
CREATE VIEW v_ssn AS SELECT id, ssn AS tax FROM customers;
CREATE VIEW v_over AS SELECT id FROM v_ssn;
CREATE VIEW v_row AS SELECT id, c AS whole FROM customers c;
CREATE VIEW v_where AS SELECT id FROM customers WHERE ssn LIKE '0%';
CREATE MATERIALIZED VIEW mv AS SELECT ssn FROM customers;
CREATE FUNCTION peek() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT ssn FROM public.customers LIMIT 1';
REVOKE ALL ON FUNCTION peek() FROM PUBLIC;
CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER t BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION mine();
GRANT SELECT (id, name), UPDATE (name), INSERT, DELETE, REFERENCES ON customers TO app;
GRANT SELECT (id, day) ON paid TO app;
GRANT SELECT ON orders, v_safe, v_masked TO app;
RESET ROLE;
`;
const MASKED = ['public.customers.ssn', 'public.customers.card', 'public.paid.card'];

function maskOf(columns: readonly string[], functions: readonly string[] = [], detectors: MaskPolicy['detectors'] = []): MaskPolicy {
  return {
    active: true,
    detectors,
    functions: new Set(functions),
    key: JSON.stringify([columns, functions, detectors]),
    column: (schema, relation, column) =>
      columns.includes(`${schema}.${relation}.${column}`) ? { strategy: { type: 'Redact' }, authors: [], strict: false } : null,
  };
}

/** What opens a way, what closes it again, and what is said of it. Everything runs as superuser. */
const WAYS: readonly (readonly [title: string, open: string, close: string, says: RegExp, columns?: number])[] = [
  [
    'SELECT on the table',
    'GRANT SELECT ON customers TO app',
    'REVOKE SELECT ON customers FROM app; GRANT SELECT (id, name) ON customers TO app',
    /^public\.customers\.ssn: app may SELECT it$/,
    2,
  ],
  [
    'SELECT on the column',
    'GRANT SELECT (ssn) ON customers TO app',
    'REVOKE SELECT (ssn) ON customers FROM app',
    /ssn: app may SELECT it/,
    1,
  ],
  [
    'SELECT for everybody',
    'GRANT SELECT (card) ON customers TO PUBLIC',
    'REVOKE SELECT (card) ON customers FROM PUBLIC',
    /customers\.card: app may SELECT it/,
    1,
  ],
  [
    'SELECT on a partition alone',
    'GRANT SELECT ON paid_2024 TO app',
    'REVOKE SELECT ON paid_2024 FROM app',
    /paid_2024\.card: app may SELECT it/,
    1,
  ],
  [
    'ownership, with its own SELECT revoked',
    'ALTER TABLE customers OWNER TO app; REVOKE ALL ON customers FROM app',
    'ALTER TABLE customers OWNER TO dba; GRANT SELECT (id, name) ON customers TO app',
    /customers\.ssn: app owns it/,
    2,
  ],
  [
    'a role that it inherits',
    'GRANT team TO app; GRANT SELECT ON customers TO team',
    'REVOKE team FROM app; REVOKE SELECT ON customers FROM team',
    /may SELECT it/,
    2,
  ],
  [
    'a role that it can only become',
    'ALTER ROLE app NOINHERIT; GRANT outer_team TO team; GRANT team TO app; GRANT SELECT ON customers TO outer_team',
    'REVOKE outer_team FROM team; REVOKE team FROM app; ALTER ROLE app INHERIT; REVOKE SELECT ON customers FROM outer_team',
    /team may SELECT it/,
    2,
  ],
  ['the owner, as one of its roles', 'GRANT dba TO app', 'REVOKE dba FROM app', /dba (owns|may)/],
  ['pg_read_all_data', 'GRANT pg_read_all_data TO app', 'REVOKE pg_read_all_data FROM app', /may SELECT it/],
  [
    'files of the server',
    'GRANT pg_read_server_files TO app',
    'REVOKE pg_read_server_files FROM app',
    /pg_read_server_files reaches the server's files/,
  ],
  [
    'a function that reads files',
    'GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app',
    'REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM app',
    /app may call pg_read_file\(text\)/,
  ],
  ['SUPERUSER', 'ALTER ROLE app SUPERUSER', 'ALTER ROLE app NOSUPERUSER', /app (is a superuser|may)/],
  [
    'a superuser, as one of its roles',
    'ALTER ROLE team SUPERUSER; GRANT team TO app',
    'ALTER ROLE team NOSUPERUSER; REVOKE team FROM app',
    /team (is a superuser|may)/,
  ],
  ['REPLICATION', 'ALTER ROLE app REPLICATION', 'ALTER ROLE app NOREPLICATION', /app has REPLICATION/],
  [
    'statistics',
    'GRANT SELECT (stavalues1) ON pg_statistic TO app',
    'REVOKE SELECT (stavalues1) ON pg_statistic FROM app',
    /pg_statistic, which holds values/,
  ],
  [
    'ownership of the database, which pg_database_owner reads',
    'ALTER DATABASE shop OWNER TO app; GRANT SELECT ON customers TO pg_database_owner',
    'ALTER DATABASE shop OWNER TO dba; REVOKE SELECT ON customers FROM pg_database_owner',
    /may SELECT it/,
    2,
  ],
  ['TRIGGER', 'GRANT TRIGGER ON customers TO app', 'REVOKE TRIGGER ON customers FROM app', /app may make a trigger/, 2],
  [
    'a trigger function of its own',
    'ALTER FUNCTION mine() OWNER TO app',
    'ALTER FUNCTION mine() OWNER TO dba',
    /may replace public\.mine\(\)/,
    2,
  ],
  ['a view that shows it', 'GRANT SELECT ON v_ssn TO app', 'REVOKE SELECT ON v_ssn FROM app', /ssn: public\.v_ssn reads it/, 1],
  [
    'one column of a view that shows it',
    'GRANT SELECT (tax) ON v_ssn TO app',
    'REVOKE SELECT (tax) ON v_ssn FROM app',
    /ssn: public\.v_ssn reads it/,
    1,
  ],
  ['a view over a view', 'GRANT SELECT ON v_over TO app', 'REVOKE SELECT ON v_over FROM app', /ssn: public\.v_over reads it/, 1],
  ['a view of whole rows', 'GRANT SELECT ON v_row TO app', 'REVOKE SELECT ON v_row FROM app', /public\.v_row reads it/, 2],
  ['a view that only compares it', 'GRANT SELECT ON v_where TO app', 'REVOKE SELECT ON v_where FROM app', /public\.v_where reads it/, 1],
  ['a copy', 'GRANT SELECT ON mv TO app', 'REVOKE SELECT ON mv FROM app', /public\.mv reads it/, 1],
  [
    'a copy of its own, filled when it could',
    'GRANT ALL ON SCHEMA public TO app; ALTER MATERIALIZED VIEW mv OWNER TO app',
    'ALTER MATERIALIZED VIEW mv OWNER TO dba; REVOKE CREATE ON SCHEMA public FROM app',
    /public\.mv reads it/,
    1,
  ],
  [
    'a rule of a table that it writes',
    'GRANT INSERT ON log TO app; CREATE RULE r AS ON INSERT TO log DO ALSO SELECT ssn FROM customers',
    'DROP RULE r ON log; REVOKE INSERT ON log FROM app',
    /ssn: public\.log reads it/,
    1,
  ],
  [
    'a function with the rights of another',
    'GRANT EXECUTE ON FUNCTION peek() TO app',
    'REVOKE EXECUTE ON FUNCTION peek() FROM app',
    /app may call public\.peek\(\), which runs as dba/,
  ],
];

for (const major of [15, 18] as const satisfies readonly Major[]) {
  describe(`assurance on PostgreSQL ${major}`, { skip: !hasPostgres(major) }, () => {
    let server: Postgres;
    let client: pg.Client;
    let query: Query;
    const found = async (mask = maskOf(MASKED)): Promise<DatabaseAssurance> => assuranceOf((await loadCatalog(query)).catalog, mask);

    before(async () => {
      server = await startPostgres({ major, database: 'shop', roles: [{ name: 'app', password }], initSql: SCHEMA });
      client = new pg.Client({ host: server.host, port: server.port, user: 'app', password, database: 'shop' });
      client.on('error', () => undefined);
      await client.connect();
      query = async (sql) =>
        (await client.query({ text: sql, rowMode: 'array', types: { getTypeParser: () => (value: unknown) => value } })).rows;
      for (const statement of SETUP.split('; ')) await query(statement);
    });
    after(async () => {
      await client.end();
      await server.stop();
    });

    test('a role without any way to the columns is at A', async () => {
      const { level, columns, loweredBy } = await found();
      assert.deepEqual([level, loweredBy], ['A', []]);
      assert.deepEqual(columns.map(({ relation, column }) => `${relation.name}.${column.name}`).sort(), [
        'customers.card',
        'customers.ssn',
        'paid.card',
        'paid_2024.card',
      ]);
    });

    for (const [title, open, close, says, count = 4] of WAYS)
      test(`${title} is a way, and found by the fingerprint`, async () => {
        const before = await readFingerprint(query);
        await server.query(open);
        try {
          assert.notEqual(await readFingerprint(query), before);
          const { level, columns, loweredBy } = await found();
          assert.equal(level, 'B');
          assert.match(loweredBy.join('\n'), new RegExp(says.source, 'm'));
          assert.equal(columns.filter((column) => column.level === 'B').length, count, loweredBy.join('\n'));
        } finally {
          await server.query(close);
        }
      });

    test('all of them are closed again', async () => {
      assert.equal((await found()).level, 'A');
    });

    test('CREATEROLE is a way before 16 only', async () => {
      await server.query('ALTER ROLE app CREATEROLE');
      try {
        assert.equal((await found()).level, major < 16 ? 'B' : 'A');
      } finally {
        await server.query('ALTER ROLE app NOCREATEROLE');
      }
    });

    test('a view with the rights of who asks is none', async () => {
      await server.query('ALTER VIEW v_ssn SET (security_invoker = true); GRANT SELECT ON v_ssn TO app');
      try {
        assert.equal((await found()).level, 'A');
      } finally {
        await server.query('ALTER VIEW v_ssn RESET (security_invoker); REVOKE SELECT ON v_ssn FROM app');
      }
    });

    test('a function that every MaskingRule lists is none', async () => {
      await server.query('GRANT EXECUTE ON FUNCTION peek() TO app');
      try {
        const [row] = await server.query(
          `SELECT encode(sha256(convert_to(pg_get_functiondef('peek()'::regprocedure), 'UTF8')), 'hex') AS hash`,
        );
        assert.equal((await found(maskOf(MASKED, [String(row?.hash)]))).level, 'A');
        assert.equal((await found(maskOf(MASKED, ['0'.repeat(64)]))).level, 'B');
      } finally {
        await server.query('REVOKE EXECUTE ON FUNCTION peek() FROM app');
      }
    });

    test("what another session's temporary table holds does not count", async () => {
      await query('SET default_transaction_read_only = off');
      await query('CREATE TEMPORARY TABLE own (ssn text)');
      await query('SET default_transaction_read_only = on');
      const mask = {
        ...maskOf(MASKED),
        key: 'all',
        column: (_s: string, _r: string, column: string) => (column === 'ssn' ? maskOf(MASKED).column('public', 'customers', 'ssn') : null),
      };
      const { columns } = await found(mask);
      assert.deepEqual([...new Set(columns.map(({ relation }) => relation.name))].sort(), ['customers', 'mv', 'v_masked']);
      await query('DISCARD TEMP');
    });

    test('detectors alone are C, and nothing is none', async () => {
      const detector = {
        type: 'Email',
        name: 'mail',
        strategy: { type: 'Redact' },
        author: { kind: 'MaskingRule', namespace: '', name: '', generation: 1, rule: '' },
      } as const;
      assert.equal((await found(maskOf([], [], [detector]))).level, 'C');
      assert.equal((await found(maskOf(['public.no.such']))).level, 'None');
      assert.equal(sessionAssurance(null, maskOf(MASKED)), undefined);
      assert.equal(sessionAssurance(null, { ...maskOf(MASKED), active: false })?.level, 'None');
    });
  });
}
