import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Client, type DatabaseError, type QueryConfig } from 'pg';
import { type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { encodeBind } from '../../wire/postgres/messages/bind.ts';
import { encodeCopyData, encodeCopyDone } from '../../wire/postgres/messages/copy.ts';
import { encodeSync } from '../../wire/postgres/messages/empty.ts';
import { encodeExecute } from '../../wire/postgres/messages/execute.ts';
import { encodeParse } from '../../wire/postgres/messages/parse.ts';
import { encodeQuery } from '../../wire/postgres/messages/query.ts';
import { POLICY, resourceOn } from './testing/manifests.ts';
import { RawClient, statesOf, statusesOf, typesOf } from './testing/raw.ts';
import { type Rig, startRig } from './testing/rig.ts';

const password = randomBytes(12).toString('hex');
const SCHEMA = `
CREATE TABLE t (n int PRIMARY KEY, m text);
INSERT INTO t SELECT g FROM generate_series(1, 100) g;
CREATE TABLE one (n int);
INSERT INTO one VALUES (1);
CREATE TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO late VALUES (1);
CREATE TABLE parent (n int);
CREATE TABLE child () INHERITS (parent);
INSERT INTO parent VALUES (1), (2);
INSERT INTO child VALUES (3);
CREATE SEQUENCE counter;
CREATE FUNCTION change() RETURNS int LANGUAGE sql AS 'INSERT INTO public.t VALUES (1000) RETURNING 1';
GRANT ALL ON ALL TABLES IN SCHEMA public TO app_real;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app_real;
`;
const LIMITED = '    - {name: few, action: Allow, maxAffectedRows: 10}\n';
const DELETES = '    - {name: all, action: Allow}\n  ruleSets: [noDeleteWithoutWhere]\n';
const READ_ONLY = '    - {name: all, action: Allow}\n  ruleSets: [readOnly]\n  trustedFunctions: [public.change]\n';

function parts(sql: string, maxRows = 0): Buffer[] {
  return [
    encodeParse({ statement: '', text: sql, parameterTypes: [] }),
    encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] }),
    encodeExecute('', maxRows),
  ];
}

describe('row guard and read-only sessions, on a real server', () => {
  let server: Postgres;
  let rig: Rig;
  const clients: Client[] = [];
  const raws: RawClient[] = [];

  const open = async (): Promise<Client> => {
    const client = new Client({ host: '127.0.0.1', port: rig.port, user: 'app', password: 'x', database: 'shop' });
    client.on('error', () => undefined);
    clients.push(client);
    await client.connect();
    return client;
  };
  const raw = async (): Promise<RawClient> => {
    const client = await RawClient.login(rig.port);
    raws.push(client);
    return client;
  };
  const publish = (rules: string): void => rig.publish(`${resourceOn(server.port)}${POLICY}${rules}`);
  const rows = async (table = 't'): Promise<number> => Number((await server.query(`SELECT count(*) AS n FROM ${table}`))[0]?.n);
  const refusal = async (query: Promise<unknown>): Promise<string> => {
    try {
      await query;
      return 'not refused';
    } catch (error: unknown) {
      return `${(error as DatabaseError).code} ${(error as Error).message}`;
    }
  };

  before(async () => {
    server = await startPostgres({ roles: [{ name: 'app_real', password }], database: 'shop', initSql: SCHEMA });
    rig = await startRig(`${resourceOn(server.port)}${POLICY}${LIMITED}`, { username: 'app_real', password });
  });

  beforeEach(async () => {
    await server.query('DELETE FROM t; INSERT INTO t SELECT g FROM generate_series(1, 100) g');
  });

  after(async () => {
    for (const client of clients) await client.end().catch(() => undefined);
    for (const client of raws) client.end();
    await rig.stop();
    await rig.remove();
    await server.stop();
  });

  for (const protocol of ['simple', 'extended'] as const) {
    const config = (text: string): string | QueryConfig =>
      protocol === 'simple' ? text : { text, values: [], name: `s${randomBytes(4).toString('hex')}` };

    test(`${protocol}: up to the limit a write is done and committed, above it is undone`, async () => {
      publish(LIMITED);
      const client = await open();
      assert.equal((await client.query(config('DELETE FROM t WHERE n <= 10'))).rowCount, 10);
      assert.equal(await rows(), 90);
      const said = await refusal(client.query(config('DELETE FROM t WHERE n > 10')));
      assert.equal(
        said,
        '42501 chaperone: denied by AccessPolicy shop/agents rule few: it changes 90 rows and may change 10; it was undone',
      );
      assert.equal(await rows(), 90);
      assert.equal((await client.query(config("UPDATE t SET m = 'x' WHERE n = 11"))).rowCount, 1);
      assert.match(await refusal(client.query(config("UPDATE t SET m = 'y'"))), /90 rows/);
      assert.match(await refusal(client.query(config('INSERT INTO t SELECT g FROM generate_series(200, 300) g'))), /101 rows/);
      assert.equal(Number((await server.query("SELECT count(*) AS n FROM t WHERE m = 'y' OR n >= 200"))[0]?.n), 0);
    });

    test(`${protocol}: what a write returns is not seen before it counts`, async () => {
      publish(LIMITED);
      const client = await open();
      assert.deepEqual((await client.query(config('DELETE FROM t WHERE n < 3 RETURNING n'))).rows, [{ n: 1 }, { n: 2 }]);
      assert.match(await refusal(client.query(config('DELETE FROM t RETURNING n'))), /98 rows/);
      assert.equal(await rows(), 98);
    });

    test(`${protocol}: in a transaction of the client's it fails as any error makes it fail`, async () => {
      publish(LIMITED);
      const client = await open();
      await client.query('BEGIN');
      await client.query(config('DELETE FROM t WHERE n = 1'));
      await client.query('SAVEPOINT s');
      assert.match(await refusal(client.query(config('DELETE FROM t'))), /99 rows/);
      assert.match(await refusal(client.query(config('SELECT 1'))), /^25P02/);
      await client.query('ROLLBACK TO s');
      assert.equal((await client.query(config('SELECT count(*)::int AS n FROM t'))).rows[0]?.n, 99);
      await client.query('COMMIT');
      assert.equal(await rows(), 99);
    });

    test(`${protocol}: a write whose rows are not counted is not covered`, async () => {
      publish(LIMITED);
      const client = await open();
      for (const sql of [
        'WITH d AS (DELETE FROM t RETURNING 1) SELECT count(*) FROM d',
        'WITH d AS (DELETE FROM t RETURNING n) INSERT INTO one SELECT n FROM d WHERE n = 1',
        'EXPLAIN ANALYZE DELETE FROM t',
        'COPY (DELETE FROM t RETURNING 1) TO STDOUT',
        'TRUNCATE t',
        'CREATE TABLE u AS SELECT 1',
        'SELECT change()',
        'DO $$ BEGIN DELETE FROM t; END $$',
      ])
        assert.match(await refusal(client.query(config(sql))), /^42501 chaperone: denied: no rule/, sql);
      assert.equal(await rows(), 100);
    });

    test(`${protocol}: an error of the server's comes through, also one that comes with the commit`, async () => {
      publish(LIMITED);
      const client = await open();
      assert.match(await refusal(client.query(config('INSERT INTO t VALUES (1)'))), /^23505/);
      assert.match(await refusal(client.query(config('INSERT INTO late VALUES (1)'))), /^23505/);
      assert.equal(await rows('late'), 1);
      assert.equal((await client.query(config('SELECT 1 AS x'))).rows[0]?.x, 1);
    });

    test(`${protocol}: a WHERE that holds for every row is none`, async () => {
      publish(DELETES);
      const client = await open();
      for (const sql of [
        'DELETE FROM t WHERE n > -1',
        'DELETE FROM t WHERE n IN (SELECT n FROM t)',
        'WITH d AS (DELETE FROM t WHERE n > 0 RETURNING 1) SELECT 1',
        'MERGE INTO t USING t AS x ON t.n = x.n WHEN MATCHED THEN DELETE',
        'EXPLAIN ANALYZE DELETE FROM t WHERE n > 0',
        'DELETE FROM t WHERE n > 0 RETURNING n',
      ])
        assert.equal(
          await refusal(client.query(config(sql))),
          '42501 chaperone: denied by AccessPolicy shop/agents rule set noDeleteWithoutWhere: it deletes every row of public.t; it was undone',
          sql,
        );
      assert.match(await refusal(client.query(config('DELETE FROM ONLY parent WHERE n > 0'))), /every row of public.parent/);
      assert.equal(await rows(), 100);
      assert.equal((await client.query(config('DELETE FROM t WHERE n > 1'))).rowCount, 99);
      assert.equal((await client.query(config('DELETE FROM one WHERE n = 1'))).rowCount, 1);
      await server.query('INSERT INTO one VALUES (1)');
    });
  }

  test('rows of several statements of one text are counted together', async () => {
    publish(LIMITED);
    const client = await open();
    assert.match(await refusal(client.query('DELETE FROM t WHERE n <= 6; DELETE FROM t WHERE n > 94')), /12 rows/);
    assert.equal(await rows(), 100);
    await client.query('DELETE FROM t WHERE n <= 5; DELETE FROM t WHERE n > 95');
    assert.equal(await rows(), 90);
    assert.match(await refusal(client.query('BEGIN; DELETE FROM t; COMMIT')), /^42501 .*messages of their own/);
    assert.equal(await rows(), 90);
  });

  test('a prepared statement is counted where it is executed', async () => {
    publish(LIMITED);
    const client = await open();
    await client.query('PREPARE d AS DELETE FROM t WHERE n > $1');
    assert.match(await refusal(client.query('EXECUTE d(50)')), /50 rows/);
    assert.equal((await client.query('EXECUTE d(99)')).rowCount, 1);
    assert.equal(await rows(), 99);
  });

  test('COPY FROM STDIN is counted, in both protocols', async () => {
    publish(LIMITED);
    for (const extended of [false, true]) {
      for (const [first, count, kept] of [
        [2000, 11, false],
        [3000, 10, true],
      ] as const) {
        const client = await raw();
        const sql = 'COPY t (n) FROM STDIN';
        if (extended) client.send(...parts(sql), encodeSync());
        else client.send(encodeQuery(sql));
        await client.until('G');
        const lines = Array.from({ length: count }, (_, index) => `${first + index}\n`).join('');
        client.send(encodeCopyData(Buffer.from(lines)), encodeCopyDone());
        if (extended) client.send(encodeSync());
        const answers = await client.until('Z');
        assert.deepEqual(statesOf(answers), kept ? [] : ['42501'], typesOf(answers));
        assert.equal(statusesOf(answers), 'I');
        assert.equal(Number((await server.query(`SELECT count(*) AS n FROM t WHERE n >= ${first}`))[0]?.n), kept ? 10 : 0);
        await server.query('DELETE FROM t WHERE n > 1999');
      }
    }
  });

  test('in a pipeline what comes after a write that was undone is skipped, and all of the segment is undone', async () => {
    publish(LIMITED);
    const client = await raw();
    client.send(
      ...parts('DELETE FROM t WHERE n = 1'),
      ...parts('DELETE FROM t'),
      ...parts('SELECT 1'),
      encodeSync(),
      ...parts('DELETE FROM t WHERE n = 2'),
      encodeSync(),
    );
    const answers = await client.until('Z', 2);
    assert.equal(typesOf(answers), '1 2 C 1 2 E Z 1 2 C Z');
    assert.deepEqual(statesOf(answers), ['42501']);
    assert.equal(statusesOf(answers), 'II');
    assert.equal(await rows(), 99);
  });

  test('an Execute that asks for some of the rows that are returned is refused', async () => {
    publish(LIMITED);
    const client = await raw();
    client.send(...parts('DELETE FROM t WHERE n = 1 RETURNING n', 1), encodeSync(), ...parts('DELETE FROM t WHERE n = 2', 1), encodeSync());
    const answers = await client.until('Z', 2);
    assert.deepEqual(statesOf(answers), ['42501']);
    assert.equal(await rows(), 99);
  });

  test('a session under readOnly is read only on the server, whatever a trusted function does', async () => {
    publish(READ_ONLY);
    const client = await open();
    assert.equal((await client.query('SHOW default_transaction_read_only')).rows[0]?.default_transaction_read_only, 'on');
    assert.equal((await client.query('SELECT count(*)::int AS n FROM t')).rows[0]?.n, 100);
    assert.match(await refusal(client.query('SELECT change()')), /^25006/);
    for (const sql of [
      'SET default_transaction_read_only = off',
      'SET transaction_read_only = 0',
      'SET TRANSACTION READ WRITE',
      'BEGIN READ WRITE',
      'START TRANSACTION READ WRITE',
      'SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE',
      "SELECT set_config('transaction_read_only', 'off', false)",
      "SELECT set_config('transaction_' || 'read_only', 'off', false)",
      "UPDATE pg_settings SET setting = 'off' WHERE name = 'default_transaction_read_only'",
      'RESET default_transaction_read_only',
      'RESET ALL',
      'DISCARD ALL',
      "SELECT nextval('counter')",
      'SELECT 1 FROM t FOR UPDATE',
      'SELECT pg_advisory_lock(1)',
      "SELECT pg_notify('a', 'b')",
      'LISTEN a',
      'SELECT lo_create(0)',
    ])
      assert.match(await refusal(client.query(sql)), /^42501 chaperone: denied by AccessPolicy shop\/agents rule set readOnly/, sql);
    await client.query('BEGIN');
    await client.query('SET TRANSACTION READ ONLY');
    await client.query('COMMIT');
    await client.query('SET default_transaction_read_only = on');
    assert.equal(await rows(), 100);
  });

  test('a policy that comes later makes an open session read only', async () => {
    publish('    - {name: all, action: Allow}\n');
    const client = await open();
    assert.equal((await client.query('SHOW default_transaction_read_only')).rows[0]?.default_transaction_read_only, 'off');
    publish(READ_ONLY);
    assert.equal((await client.query('SHOW default_transaction_read_only')).rows[0]?.default_transaction_read_only, 'on');
  });
});
