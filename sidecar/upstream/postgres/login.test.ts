import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { generatePassword, hasPostgres, type Major, type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { newAuthority, newLeaf } from '#sidecar/listener/x509.ts';
import { makePermit, recorded } from '#sidecar/permit.ts';
import type { UpstreamTls } from '../dial.ts';
import { UpstreamError } from '../errors.ts';
import { cancelPostgres } from './cancel.ts';
import { postgresClient } from './client.ts';
import { connectPostgres, type PostgresLogin } from './login.ts';

const proof = recorded(
  makePermit(
    { type: 'connect' },
    { decision: 'Allow', code: 'AllowedSession', message: '', authors: [], gates: [], audit: [] },
    Buffer.alloc(0),
  ),
  1,
);
const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
const authority = newAuthority('test CA', validity);
const certificates = {
  good: newLeaf(authority, 'test CA', ['localhost', '127.0.0.1'], validity),
  otherName: newLeaf(authority, 'test CA', ['db.example'], validity),
};
const unicodePassword = `p\u00e4ss\u2168\u00a0${generatePassword()}`;
const plain: UpstreamTls = { mode: 'Disable' };
const verify: UpstreamTls & { mode: 'VerifyFull' } = { mode: 'VerifyFull', ca: authority.certificate };

const roles = [
  { name: 'app', password: generatePassword() },
  { name: 'accents', password: unicodePassword },
];
const [app, accents] = roles as [(typeof roles)[0], (typeof roles)[0]];

function servers(): Major[] {
  return ([18, 15] as const).filter((major) => hasPostgres(major));
}

for (const major of servers()) {
  describe(`PostgreSQL ${major}`, () => {
    let server: Postgres;
    before(async () => {
      const { certificate, privateKey } = certificates.good;
      server = await startPostgres({
        major,
        roles,
        tls: { certPem: certificate, keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() },
      });
    });
    after(() => server.stop());

    const login = (more: Partial<PostgresLogin> = {}): PostgresLogin => ({
      recorded: proof,
      address: { host: '127.0.0.1', port: server.port },
      tls: plain,
      user: app.name,
      password: Buffer.from(app.password),
      database: 'postgres',
      protocol: '3.2',
      timeoutMs: 10_000,
      ...more,
    });
    const limits = { timeoutMs: 10_000, maxBytes: 1 << 20 };

    test('logs in by SCRAM over plain TCP and answers queries', async () => {
      const connection = await connectPostgres(login());
      assert.equal(connection.channelBound, false);
      assert.equal(connection.protocolVersion, major >= 18 ? '3.2' : '3.0');
      assert.equal(connection.key?.secret.length, major >= 18 ? 32 : 4);
      assert.ok(connection.serverVersion.startsWith(String(major)));
      const client = postgresClient(connection, limits);
      const result = await client.query(
        "SELECT current_user::text AS who, NULL AS nothing, '' AS empty UNION ALL SELECT 'ä', 'x', 'y' ORDER BY 1",
      );
      assert.deepEqual(result.columns, ['who', 'nothing', 'empty']);
      assert.deepEqual(result.rows[0], ['app', null, '']);
      assert.equal(result.rows[1]?.[0], 'ä');
      client.close();
    });

    test('binds SCRAM to TLS where the server offers it', async () => {
      const connection = await connectPostgres(login({ tls: verify, protocol: '3.0' }));
      assert.equal(connection.channelBound, true);
      assert.equal(connection.protocolVersion, '3.0');
      const client = postgresClient(connection, limits);
      assert.deepEqual((await client.query('SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()')).rows, [['true']]);
      client.close();
    });

    test('a password with characters that SASLprep changes', async () => {
      const connection = await connectPostgres(login({ user: accents.name, password: Buffer.from(unicodePassword) }));
      connection.stream.destroy();
    });

    test('sets the parameters asked for, and the two that parsing relies on', async () => {
      await server.query('ALTER ROLE accents SET standard_conforming_strings = off');
      await server.query("ALTER ROLE accents SET client_encoding = 'LATIN1'");
      const parameters = new Map([
        ['application_name', "x'y"],
        ['search_path', 'pg_catalog'],
      ]);
      const connection = await connectPostgres(login({ user: accents.name, password: Buffer.from(unicodePassword), parameters }));
      assert.equal(connection.parameters.get('application_name'), "x'y");
      assert.equal(connection.parameters.get('standard_conforming_strings'), 'on');
      assert.equal(connection.parameters.get('client_encoding'), 'UTF8');
      const client = postgresClient(connection, limits);
      assert.deepEqual((await client.query('SHOW search_path')).rows, [['pg_catalog']]);
      client.close();
    });

    const refusals: { name: string; more: () => Partial<PostgresLogin>; code: string }[] = [
      { name: 'a wrong password', more: () => ({ password: Buffer.from('wrong') }), code: 'password_rejected' },
      { name: 'a wrong password over TLS', more: () => ({ tls: verify, password: Buffer.from('wrong') }), code: 'password_rejected' },
      { name: 'a database that is not there', more: () => ({ database: 'nope' }), code: 'refused' },
      { name: 'a CA that did not sign', more: () => ({ tls: { mode: 'VerifyFull' } }), code: 'tls_untrusted' },
      {
        name: 'a name that is not in the certificate',
        more: () => ({ tls: { ...verify, serverName: 'db.example' } }),
        code: 'tls_untrusted',
      },
      { name: 'a port where nobody listens', more: () => ({ address: { host: '127.0.0.1', port: 1 } }), code: 'unreachable' },
      { name: 'a signal that was given before', more: () => ({ signal: AbortSignal.abort() }), code: 'aborted' },
    ];
    for (const { name, more, code } of refusals) {
      test(`refuses ${name}, and the error holds no password`, async () => {
        const options = login(more());
        const error = await connectPostgres(options).then(
          () => assert.fail('logged in'),
          (reason: unknown) => reason,
        );
        assert.ok(error instanceof UpstreamError, String(error));
        assert.equal(error.code, code);
        assert.ok(!`${error.message}${error.stack}`.includes(options.password.toString()) || options.password.toString() === 'wrong');
      });
    }

    test('a query that fails leaves the client usable; one too large or too slow closes it', async () => {
      const client = postgresClient(await connectPostgres(login()), { timeoutMs: 10_000, maxBytes: 10_000 });
      await assert.rejects(
        client.query('SELECT 1/0'),
        (error: UpstreamError) => error.code === 'query_failed' && error.sqlstate === '22012',
      );
      await assert.rejects(client.query('SELECT 1\0'), /NUL/);
      assert.deepEqual((await client.query('SELECT 1')).rows, [['1']]);
      assert.deepEqual((await client.query('')).rows, []);
      await assert.rejects(client.query("SELECT repeat('x', 1000) FROM generate_series(1, 100)"), { code: 'too_much' });
      assert.equal(client.closed, true);
      await assert.rejects(client.query('SELECT 1'), { code: 'closed' });
      const slow = postgresClient(await connectPostgres(login()), { timeoutMs: 50, maxBytes: 10_000 });
      await assert.rejects(slow.query('SELECT pg_sleep(60)'), { code: 'timeout' });
    });

    for (const tls of [plain, verify]) {
      test(`cancels a query of another connection (${tls.mode})`, async () => {
        const connection = await connectPostgres(login({ tls }));
        assert.ok(connection.key);
        const client = postgresClient(connection, limits);
        await client.query('SELECT 1');
        const slept = assert.rejects(client.query('SELECT pg_sleep(60)'), (error: UpstreamError) => error.sqlstate === '57014');
        const started = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)' AND state = 'active' AND pid = $1";
        while ((await server.query(started, [connection.key.pid])).length === 0);
        await cancelPostgres({
          recorded: proof,
          address: { host: '127.0.0.1', port: server.port },
          tls,
          key: connection.key,
          timeoutMs: 10_000,
        });
        await slept;
        assert.deepEqual((await client.query('SELECT 2')).rows, [['2']]);
        client.close();
      });
    }

    test('rows of many megabytes through the lent buffer are what the server sent', async () => {
      const connection = await connectPostgres(login());
      const client = postgresClient(connection, { timeoutMs: 10_000, maxBytes: 1 << 28 });
      const { rows } = await client.query('SELECT repeat(md5(i::text), 50) FROM generate_series(1, 3000) i');
      assert.equal(rows.length, 3000);
      assert.ok(rows.every(([text]) => text?.length === 1600 && text.slice(0, 32) === text.slice(-32)));
      assert.equal(new Set(rows.map(([text]) => text)).size, 3000);
      client.close();
    });
  });
}

test('a server without TLS, or with another name in its certificate, is refused where TLS is asked for', async () => {
  const { certificate, privateKey } = certificates.otherName;
  const server = await startPostgres({
    roles,
    tls: { certPem: certificate, keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() },
  });
  const login = (tls: UpstreamTls) =>
    connectPostgres({
      recorded: proof,
      address: { host: '127.0.0.1', port: server.port },
      tls,
      user: app.name,
      password: Buffer.from(app.password),
      database: 'postgres',
      protocol: '3.0',
      timeoutMs: 10_000,
    });
  try {
    await assert.rejects(login(verify), { code: 'tls_untrusted' });
    (await login({ ...verify, serverName: 'db.example' })).stream.destroy();
  } finally {
    await server.stop();
  }
});
