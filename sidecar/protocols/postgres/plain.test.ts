/** A policy that names no relation and masks nothing: the sidecar adds nothing of its own to what the server is asked. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Client, DatabaseError } from 'pg';
import { type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { POLICY, resourceOn } from './testing/manifests.ts';
import { type Rig, startRig } from './testing/rig.ts';

const password = randomBytes(12).toString('hex');
const OPEN = `CREATE FUNCTION open_one() RETURNS refcursor LANGUAGE plpgsql
  AS $$ DECLARE c refcursor := 'opened'; BEGIN OPEN c FOR SELECT 7 AS seven; RETURN c; END $$`;

describe('a policy that only looks at kinds', () => {
  let server: Postgres;
  const rigs: Rig[] = [];
  const clients: Client[] = [];

  before(async () => {
    server = await startPostgres({
      database: 'shop',
      roles: [{ name: 'app_real', password }],
      initSql: `GRANT ALL ON SCHEMA public TO app_real; ${OPEN}`,
    });
  });
  after(async () => {
    for (const client of clients) await client.end();
    for (const rig of rigs) {
      await rig.stop();
      await rig.remove();
    }
    await server?.stop();
  });

  async function through(rules: string): Promise<Client> {
    const rig = await startRig(`${resourceOn(server.port)}${POLICY}${rules}`, { username: 'app_real', password });
    rigs.push(rig);
    const client = new Client({ host: '127.0.0.1', port: rig.port, user: 'app', password: 'x', database: 'shop' });
    clients.push(client);
    await client.connect();
    return client;
  }

  test('a cursor that a function opened is read', async () => {
    const client = await through('    - {name: all, action: Allow}\n');
    await client.query('BEGIN');
    await client.query('SELECT open_one()');
    assert.deepEqual((await client.query('FETCH ALL FROM opened')).rows, [{ seven: 7 }]);
    await client.query('COMMIT');
    await assert.rejects(
      client.query('FETCH ALL FROM opened'),
      (error: unknown) => error instanceof DatabaseError && error.code === '34000',
    );
  });

  test('not where a rule is only about some kinds: nobody saw what it runs', async () => {
    const client = await through('    - {name: some, action: Allow, sql: {statements: [Select, Cursor, Transaction]}}\n');
    await client.query('BEGIN');
    await client.query('SELECT open_one()');
    await assert.rejects(
      client.query('FETCH ALL FROM opened'),
      (error: unknown) => error instanceof DatabaseError && error.code === '42501',
    );
    await client.query('ROLLBACK');
  });

  test('DDL and SET make nobody read the catalog or ask for the search_path', async () => {
    const client = await through('    - {name: all, action: Allow}\n');
    await client.query('CREATE TABLE made (i int)');
    await client.query('SET search_path = public');
    await client.query('DROP TABLE made');
    const { rows } = await client.query(
      "SELECT count(*)::int AS sessions FROM pg_stat_activity WHERE application_name = 'chaperone catalog'",
    );
    assert.deepEqual(rows, [{ sessions: 0 }]);
    await client.query('SET search_path = pg_temp, public');
    await client.query('BEGIN');
    assert.deepEqual((await client.query("SELECT current_schema() LIKE 'pg_temp%' AS temp")).rows, [{ temp: true }]);
    await assert.rejects(client.query("PREPARE TRANSACTION 'p'"), /temporary objects/);
  });
});
