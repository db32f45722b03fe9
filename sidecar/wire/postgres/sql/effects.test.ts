import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import fc from 'fast-check';
import { textEffects } from './effects.ts';
import { readFacts } from './facts.ts';
import { loadParser, parseSql } from './parse.ts';

before(loadParser);

/** Kinds of effects, over all statements of the text. */
function effectsOf(sql: string): string {
  const parsed = parseSql(sql);
  assert.ok(parsed.ok, parsed.ok ? '' : `${sql}: ${parsed.message}`);
  const kinds = parsed.statements.flatMap(({ stmt }) => textEffects(readFacts(stmt)).map(({ kind }) => kind));
  return [...new Set(kinds)].sort().join(' ');
}

const cases: { readonly [effects: string]: readonly string[] } = {
  '': [
    'SELECT 1',
    'VALUES (1)',
    'TABLE a',
    'SHOW role',
    'BEGIN',
    'BEGIN READ ONLY',
    'START TRANSACTION ISOLATION LEVEL SERIALIZABLE',
    'COMMIT',
    'ROLLBACK TO x',
    'SET search_path = a',
    'SET TRANSACTION READ ONLY',
    'SET default_transaction_read_only = on',
    'SET x.y = 1',
    'RESET x.y',
    'EXPLAIN DELETE FROM a',
    'EXPLAIN (ANALYZE off) DELETE FROM a',
    'EXPLAIN CREATE TABLE a AS SELECT 1',
    'EXPLAIN SELECT 1 FROM a FOR UPDATE',
    'COPY a TO STDOUT',
    'COPY (SELECT 1) TO STDOUT',
    'DECLARE c CURSOR FOR SELECT 1',
    'FETCH c',
    'DEALLOCATE ALL',
    'EXECUTE p',
  ],
  Write: [
    'INSERT INTO a VALUES (1)',
    'UPDATE a SET b = 1',
    'DELETE FROM a WHERE b = 1',
    'COPY a FROM STDIN',
    'SELECT 1 FROM a FOR UPDATE',
    'LOCK TABLE a',
    'NOTIFY a',
    'LISTEN a',
    'VACUUM',
    'ANALYZE',
    'CHECKPOINT',
    'BEGIN READ WRITE',
    'START TRANSACTION READ WRITE',
    'SET TRANSACTION READ WRITE',
    'SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE',
    'SET transaction_read_only = off',
    'SET LOCAL default_transaction_read_only TO off',
    'RESET default_transaction_read_only',
    'RESET ALL',
    'DISCARD ALL',
    "PREPARE TRANSACTION 'x'",
    "COMMIT PREPARED 'x'",
    'DELETE FROM a WHERE false',
    'DELETE FROM a WHERE 1 = 0',
    'MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DELETE',
    'WITH x AS (INSERT INTO a VALUES (1) RETURNING 1) SELECT * FROM x',
    'EXPLAIN ANALYZE INSERT INTO a VALUES (1)',
  ],
  'DeleteWithoutWhere Write': [
    'DELETE FROM a',
    'DELETE FROM a WHERE true',
    'DELETE FROM a WHERE 1 = 1',
    'DELETE FROM a WHERE NOT false AND 2 > 1',
    'DELETE FROM a WHERE b = b',
    'DELETE FROM a USING b',
    'DELETE FROM a WHERE $1 = 0',
    'MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE',
  ],
  'DeleteWithoutWhere Drop Write': ['TRUNCATE a'],
  'SchemaChange Write': [
    'CREATE TABLE a (b int)',
    'SELECT 1 INTO a',
    'CREATE TABLE a AS SELECT 1',
    'CREATE TEMP TABLE a (b int) ON COMMIT DROP',
    'CREATE INDEX ON a (b)',
    'COMMENT ON TABLE a IS NULL',
    'ALTER TABLE a ADD c int',
    'ALTER TABLE a ALTER c SET NOT NULL',
    'ALTER TABLE a RENAME TO b',
    'REFRESH MATERIALIZED VIEW a',
    'CREATE VIEW a AS SELECT 1',
    'ALTER TABLE a DISABLE TRIGGER ALL',
  ],
  'Drop SchemaChange Write': [
    'DROP TABLE a',
    'DROP/**/TABLE a',
    'DROP SCHEMA a CASCADE',
    'ALTER TABLE a DROP b',
    'ALTER TABLE a DROP CONSTRAINT b',
    'ALTER TABLE a ALTER b DROP DEFAULT',
    'ALTER TABLE a ALTER b DROP NOT NULL',
    'ALTER TABLE a DETACH PARTITION b',
    'ALTER DOMAIN a DROP CONSTRAINT b',
    'ALTER DOMAIN a DROP DEFAULT',
    'ALTER TYPE a DROP ATTRIBUTE b',
    'ALTER PUBLICATION a DROP TABLE b',
    'ALTER TEXT SEARCH CONFIGURATION a DROP MAPPING FOR word',
    'DROP DATABASE a',
  ],
  PrivilegeChange: [
    'SET ROLE a',
    'SET "role" = \'a\'',
    'RESET ROLE',
    'SET SESSION AUTHORIZATION a',
    'SET row_security = off',
    'SET LOCAL ROLE NONE',
  ],
  'PrivilegeChange SchemaChange Write': [
    'GRANT SELECT ON a TO b',
    'REVOKE a FROM b',
    'CREATE ROLE a',
    'ALTER USER a CREATEDB',
    "ALTER ROLE a PASSWORD 'x'",
    'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO a',
    'REASSIGN OWNED BY a TO b',
    'ALTER TABLE a OWNER TO b',
    'ALTER TABLE a DISABLE ROW LEVEL SECURITY',
    'CREATE POLICY a ON b',
    'ALTER FUNCTION a(int) SECURITY DEFINER',
    'ALTER VIEW a SET (security_invoker = false)',
    'CREATE SCHEMA AUTHORIZATION a',
    'ALTER SCHEMA a OWNER TO b',
    'ALTER ROLE a RENAME TO b',
  ],
  'Drop PrivilegeChange SchemaChange Write': ['DROP ROLE a', 'DROP OWNED BY a', 'DROP POLICY a ON b'],
  'ServerAccess Write': [
    "COPY a TO '/tmp/x'",
    "COPY a FROM PROGRAM 'x'",
    'copy\n(select 1)\nto/**/program $$x$$',
    "COPY a FROM '/etc/passwd'",
  ],
  'OpaqueCode ServerAccess Write': ["LOAD 'x'"],
  'OpaqueCode Write': ['DO $$ BEGIN END $$', 'CALL f()'],
  'OpaqueCode SchemaChange Write': [
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    'CREATE RULE a AS ON INSERT TO b DO NOTHING',
    'CREATE TRIGGER a BEFORE INSERT ON b EXECUTE FUNCTION c()',
    'CREATE AGGREGATE a(int) (sfunc = f, stype = int)',
    'CREATE CAST (int AS a) WITH FUNCTION f(int)',
    'CREATE OPERATOR ### (FUNCTION = f, LEFTARG = int)',
  ],
  'OpaqueCode SchemaChange ServerAccess Write': [
    'CREATE EXTENSION a',
    'CREATE FOREIGN DATA WRAPPER a',
    "CREATE SUBSCRIPTION a CONNECTION 'x' PUBLICATION b",
  ],
};

for (const [effects, statements] of Object.entries(cases)) {
  for (const sql of statements) test(`${sql}: ${effects || 'reads'}`, () => assert.equal(effectsOf(sql), effects));
}

test('what wraps a statement that runs loses none of its effects', () => {
  const writing = fc.constantFrom(
    'DELETE FROM a',
    'DELETE FROM a WHERE b = 1',
    'INSERT INTO a VALUES (1)',
    'UPDATE a SET b = 2',
    'MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE',
  );
  const wrap = fc.constantFrom<readonly ((sql: string) => string)[]>(
    ...[
      (sql: string) => `EXPLAIN ANALYZE ${sql}`,
      (sql: string) => `EXPLAIN (VERBOSE, ANALYZE true) ${sql}`,
      (sql: string) => `PREPARE p AS ${sql}`,
      (sql: string) => `SELECT 1; ${sql}`,
      (sql: string) => `/* SELECT */ ${sql} -- WHERE`,
      (sql: string) => `WITH w AS (${sql} RETURNING 1) SELECT * FROM w`,
      (sql: string) => `WITH w AS (${sql} RETURNING 1), v AS (SELECT * FROM w) INSERT INTO c SELECT * FROM v`,
      (sql: string) => `COPY (${sql} RETURNING 1) TO STDOUT`,
      (sql: string) => `EXPLAIN ANALYZE WITH w AS (${sql} RETURNING 1) SELECT 1`,
      (sql: string) => `PREPARE p AS WITH w AS (${sql} RETURNING 1) SELECT 1`,
      (sql: string) => `EXPLAIN ANALYZE CREATE TABLE n AS WITH w AS (SELECT 1) SELECT 1; ${sql}`,
    ].map((each) => [each]),
  );
  fc.assert(
    fc.property(writing, wrap, (sql, [around]) => {
      const wrapped = around?.(sql) ?? '';
      if (!parseSql(wrapped).ok) return; // PostgreSQL 15 has no RETURNING of MERGE
      const found = effectsOf(wrapped).split(' ');
      for (const effect of effectsOf(sql).split(' ')) assert.ok(found.includes(effect), `${wrapped}: ${effect}`);
    }),
  );
});
