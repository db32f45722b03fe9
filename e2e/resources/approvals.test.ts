/** One agent asks for 10,000 approvals. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as bytes from '#e2e/corpora/bytes.ts';
import { openLocalIssuer } from '#sidecar/identity/local-issuer.ts';
import { LoadClient } from './client.ts';
import { openStage, residentMb, type Stage, watchPeak } from './stage.ts';

const SESSIONS = 50;

let stage: Stage;
before(async () => {
  stage = await openStage({ resources: [{ name: 'plain' }], args: ['--limit', 'maxPendingApprovals=5'] });
});
after(() => stage.stop());

test('five wait, the others are denied at once, and with the agent what waits is gone', async () => {
  const issuer = await openLocalIssuer(stage.state);
  const token = await issuer.issue({ subject: 'eve', groups: ['people'], ttlSeconds: 3600, claims: {}, nowMs: Date.now() });
  const clients: LoadClient[] = [];
  for (let i = 0; i < SESSIONS; i++) clients.push(await LoadClient.login(stage, 'plain', token));
  const before = await residentMb(stage.pid);
  const peak = await watchPeak(stage.pid);
  let asked = 0;
  const insist = async (client: LoadClient) => {
    const notices = client.count('N');
    while (asked < 10_000 && client.count('N') === notices) {
      asked++;
      const answers = client.count('Z');
      client.write(bytes.query(`INSERT INTO held VALUES (${asked})`));
      // It is held, which a notice says, or denied.
      await client.until(() => client.count('N') > notices || client.count('Z') > answers);
    }
  };
  await Promise.all(clients.map(insist));
  assert.equal(await stage.metric('chaperone_approvals_pending'), 5);
  const held = clients.filter((client) => client.count('N') > 0);
  const errors = clients.flatMap((client) => client.errors);
  assert.deepEqual([held.length, asked, errors.length], [5, 10_000, 9_995]);
  assert.ok(
    errors.every((error) => /^54000 .*at most 5 may/.test(error)),
    `among the errors: ${errors[0]}`,
  );
  assert.equal(await stage.metric('chaperone_limit_exceeded_total', { limit: 'maxPendingApprovals' }), 9_995);
  const grown = (await peak()) - before;
  assert.ok(grown < 150, `grew by ${grown} MB`);
  for (const client of clients) await client.end();
  while ((await stage.metric('chaperone_approvals_pending')) > 0) await sleep(20);
  assert.deepEqual(await stage.postgres.query('SELECT count(*)::int AS count FROM held'), [{ count: 0 }]);
});
