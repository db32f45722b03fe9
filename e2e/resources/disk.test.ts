/** Nothing can be recorded any more. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as bytes from '#e2e/corpora/bytes.ts';
import { LoadClient } from './client.ts';
import { openStage, type Stage } from './stage.ts';

let stage: Stage;
before(async () => {
  const initSql = 'CREATE TABLE done (id int, note text); GRANT ALL ON done TO app;';
  // No file may be larger than a few hundred kilobytes: the kernel refuses the write, as it does on a full disk.
  stage = await openStage({ resources: [{ name: 'plain' }], initSql, before: 'ulimit -f 1024;' });
});
after(() => stage.stop());

test('a session whose recording can not go on ends, and nothing reaches the target that is not recorded', async () => {
  const client = await LoadClient.login(stage, 'plain');
  const note = 'x'.repeat(20_000);
  let sent = 0;
  while (!client.closed && sent < 1000) await client.round(bytes.query(`INSERT INTO done VALUES (${sent++}, '${note}')`));
  assert.ok(client.closed && sent < 1000, `${sent} commands were taken`);
  assert.match(client.errors.join(), /^58030 .*can no longer be recorded/);
  const [row] = await stage.postgres.query('SELECT count(*)::int AS count, max(id) AS last FROM done');
  assert.deepEqual(row, { count: client.count('C'), last: client.count('C') - 1 });
  assert.equal(stage.exitCode(), null, stage.log());
});
