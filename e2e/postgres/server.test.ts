import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { generatePassword, hasPostgres, type Major, startPostgres } from './server.ts';

for (const major of [18, 15] as const satisfies Major[]) {
  test(`PostgreSQL ${major} starts with its roles, database, settings and SQL, and stops`, {
    skip: hasPostgres(major) ? false : `no PostgreSQL ${major} here`,
  }, async () => {
    const password = generatePassword();
    const server = await startPostgres({
      major,
      roles: [{ name: 'reader', password }],
      database: 'shop',
      settings: { work_mem: '7MB' },
      initSql: 'CREATE TABLE t (n int); INSERT INTO t VALUES (1), (2); GRANT SELECT ON t TO reader',
    });
    try {
      const { host, port, database } = server;
      const client = new Client({ host, port, database, user: 'reader', password });
      await client.connect();
      const rows = await client.query(
        "SELECT sum(n)::int AS sum, current_setting('work_mem') AS mem, current_setting('server_version_num')::int / 10000 AS major FROM t",
      );
      assert.deepEqual(rows.rows, [{ sum: 3, mem: '7MB', major }]);
      await client.end();
      const wrong = new Client({ host, port, database, user: 'reader', password: 'wrong' });
      await assert.rejects(wrong.connect(), { code: '28P01' });
      assert.deepEqual(await server.query('SELECT count(*)::int AS n FROM t WHERE n > $1', [1]), [{ n: 1 }]);
    } finally {
      await server.stop();
    }
    await assert.rejects(server.query('SELECT 1'));
  });
}

test('servers start at the same time, and bad SQL at the start is told', async () => {
  const [a, b, bad] = await Promise.allSettled([
    startPostgres(),
    startPostgres(),
    startPostgres({ initSql: 'SELECT nothing FROM nowhere' }),
  ]);
  assert.ok(a.status === 'fulfilled' && b.status === 'fulfilled');
  assert.notEqual(a.value.port, b.value.port);
  assert.match(String(bad.status === 'rejected' && bad.reason), /nowhere/);
  await Promise.all([a.value.stop(), b.value.stop()]);
});

for (const signal of ['SIGKILL', 'SIGINT'] as const) {
  test(`a server ends and its folder goes when the one who started it gets ${signal}`, async () => {
    const script = `
      const { startPostgres } = await import(${JSON.stringify(new URL('./server.ts', import.meta.url).href)});
      const server = await startPostgres();
      const [row] = await server.query('SHOW data_directory');
      console.log(row.data_directory);
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const folder = line.toString().trim();
    assert.ok(existsSync(`${folder}/postmaster.pid`));
    child.kill(signal);
    await once(child, 'exit');
    for (let i = 0; i < 200 && existsSync(folder); i++) await sleep(25);
    assert.equal(existsSync(folder), false);
  });
}
