import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client } from 'pg';
import { hasPostgres, type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import type { Examination } from '../commands/doctor.ts';
import { chaperone } from '../testing.ts';

const password = randomBytes(12).toString('hex');
const TABLES = `
CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text, "user" text);
CREATE TABLE orders (id serial PRIMARY KEY, memo text);
CREATE VIEW v_safe AS SELECT id, name FROM customers;
CREATE VIEW v_ssn AS SELECT id, ssn AS tax FROM customers;
CREATE FUNCTION peek() RETURNS text LANGUAGE sql SECURITY DEFINER AS 'SELECT ssn FROM public.customers LIMIT 1';
INSERT INTO customers VALUES (1, 'Ada', '078-05-1120', 'ada');
`;
/** Every way that a grant can open, at once. */
const GRANTED = `CREATE ROLE team; CREATE ROLE app LOGIN PASSWORD '${password}'; GRANT team TO app; ${TABLES}
GRANT SELECT, INSERT, TRIGGER ON customers TO app; GRANT SELECT ON customers TO team; GRANT SELECT (ssn, id) ON customers TO PUBLIC;
GRANT SELECT ON v_safe, v_ssn TO app; GRANT ALL ON orders TO app; GRANT pg_read_server_files TO app; ALTER ROLE app REPLICATION;
GRANT EXECUTE ON FUNCTION pg_read_file(text) TO app; GRANT SELECT ON pg_statistic TO app;`;
const OWNED = `CREATE ROLE app LOGIN PASSWORD '${password}'; GRANT CREATE ON SCHEMA public TO app; SET ROLE app; ${TABLES} RESET ROLE;`;

for (const major of [15, 18] as const) {
  describe(`doctor on PostgreSQL ${major}`, { skip: !hasPostgres(major) }, () => {
    const dir = mkdtempSync(join(tmpdir(), 'doctor-'));
    const servers: Postgres[] = [];
    const start = async (initSql: string): Promise<Postgres> => {
      const server = await startPostgres({ major, database: 'shop', initSql });
      servers.push(server);
      return server;
    };
    const manifests = (port: number, role: string, more = ''): void =>
      writeFileSync(
        join(dir, 'all.yaml'),
        `apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: db, namespace: shop}
spec:
  protocol: PostgreSQL
  address: {host: 127.0.0.1, port: ${port}}
  tls: {mode: Disable}
  postgresql: {database: shop, users: [{name: agent, secretRef: {name: creds}}]}
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: pii, namespace: shop}
spec: {targetRefs: [{name: db}], columns: [{column: public.customers.ssn, strategy: {type: Redact}}${more}]}
---
apiVersion: v1
kind: Secret
metadata: {name: creds, namespace: shop}
stringData: {username: ${role}, password: ${password}}
`,
      );
    const doctor = (...args: string[]) => chaperone(['doctor', 'db', '--manifests', dir, ...args]);
    const examined = async (): Promise<Examination> => JSON.parse((await doctor('-o', 'json')).stdout) as Examination;
    const as = async (server: Postgres, user: string, sql: string): Promise<unknown[]> => {
      const client = new Client({ host: server.host, port: server.port, user, password, database: 'shop' });
      await client.connect();
      try {
        return (await client.query(sql)).rows;
      } finally {
        await client.end();
      }
    };
    after(async () => {
      rmSync(dir, { recursive: true });
      for (const server of servers) await server.stop();
    });

    describe('a role that was given too much', () => {
      let server: Postgres;
      before(async () => {
        server = await start(GRANTED);
        manifests(server.port, 'app', ', {column: public.customers.snn, strategy: {type: Redact}}');
      });

      test('each way is told, and what matches nothing', async () => {
        const { code, stdout } = await doctor('--check');
        assert.equal(code, 1);
        assert.match(stdout, /^shop\/db as app \(requested user agent\), PostgreSQL \S.*: assurance B$/m);
        assert.match(stdout, /^public\.customers\.ssn +B +app may SELECT it$/m);
        for (const says of [
          /team may SELECT it/,
          /may make a trigger/,
          /v_ssn reads it/,
          /has REPLICATION/,
          /pg_read_server_files reaches/,
          /may call pg_read_file/,
          /pg_statistic, which/,
          /peek\(\), which runs as/,
        ])
          assert.match(stdout, says);
        assert.match(stdout, /warning: no column of the database is public\.customers\.snn \(MaskingRule pii\)/);
        assert.match(stdout, /GRANT SELECT \(id, name, "user"\) ON public\.customers TO app;/);
        assert.equal((await doctor()).code, 0, 'without --check it has only told');
      });

      test('what it prints lifts the target to A, and takes nothing else', async () => {
        const [user] = (await examined()).users;
        assert.equal(user?.remedy.separateRole, null);
        await server.query(user?.remedy.sql.join('\n') ?? '');
        const { code, stdout } = await doctor('--check');
        assert.equal(code, 0, stdout);
        assert.match(stdout, /: assurance A$/m);
        assert.match(stdout, /^public\.customers\.ssn +A +no way to it$/m);
        assert.deepEqual(await as(server, 'app', 'SELECT id, name, "user" FROM customers'), [{ id: 1, name: 'Ada', user: 'ada' }]);
        await as(
          server,
          'app',
          "INSERT INTO customers VALUES (2, 'Bram', 'x', 'y'); INSERT INTO orders (id) VALUES (1); SELECT * FROM v_safe; TRUNCATE orders",
        );
        await assert.rejects(as(server, 'app', 'SELECT ssn FROM customers'), /permission denied/);
        await assert.rejects(as(server, 'app', 'SELECT peek()'), /permission denied/);
      });
    });

    describe('a role that owns it all', () => {
      let server: Postgres;
      before(async () => {
        server = await start(OWNED);
        manifests(server.port, 'app');
      });

      test('needs a role of its own, which the statements make; with its credential the target is at A', async () => {
        const { code, stdout } = await doctor('--check');
        assert.equal(code, 1);
        assert.match(stdout, /app owns it, and may give itself every privilege/);
        assert.match(stdout, /The role can not be at A\. This makes app_masked/);
        const [user] = (await examined()).users;
        assert.equal(user?.remedy.separateRole, 'app_masked');
        await server.query(`${user?.remedy.sql.join('\n')} ALTER ROLE app_masked PASSWORD '${password}'`);
        manifests(server.port, 'app_masked');
        const after = await doctor('--check');
        // A function that everybody may call became a way only now that another role asks.
        const left = (await examined()).users[0]?.remedy.sql ?? [];
        if (left.length > 0) await server.query(left.join('\n'));
        const last = await doctor('--check');
        assert.equal(last.code, 0, `${after.stdout}\n${last.stdout}`);
        assert.deepEqual(await as(server, 'app_masked', 'SELECT id, name FROM v_safe'), [{ id: 1, name: 'Ada' }]);
        await as(
          server,
          'app_masked',
          "INSERT INTO customers VALUES (2, 'Bram', 'x', 'y'); INSERT INTO orders (memo) VALUES ('m'); DELETE FROM orders",
        );
        await assert.rejects(as(server, 'app_masked', 'SELECT ssn FROM customers'), /permission denied/);
        await assert.rejects(as(server, 'app_masked', 'SELECT * FROM v_ssn'), /permission denied/);
        assert.equal((await as(server, 'app', 'SELECT ssn FROM customers')).length, 2, 'the old role keeps what it had');
      });
    });

    test('what is wrong with the question is told in a line', async () => {
      assert.deepEqual(await chaperone(['doctor', 'nobody', '--manifests', dir]), {
        code: 2,
        stdout: '',
        stderr: 'nobody: there is no such ProtectedResource\n',
      });
      const { code, stderr } = await doctor('--user', 'other');
      assert.equal(code, 2);
      assert.match(stderr, /^--user other: /);
    });
  });
}
