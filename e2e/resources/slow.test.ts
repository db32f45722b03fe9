/** Clients that do not read: the target has to wait, and nothing piles up in the sidecar. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as bytes from '#e2e/corpora/bytes.ts';
import { LoadClient } from './client.ts';
import { openStage, residentMb, type Stage, watchPeak } from './stage.ts';

const GROWTH_MB = 100;

let stage: Stage;
before(async () => {
  stage = await openStage({ resources: [{ name: 'plain' }, { name: 'detecting', detects: true }] });
});
after(() => stage.stop());

const backends = async (): Promise<readonly { readonly wait_event: string | null }[]> =>
  (await stage.postgres.query("SELECT wait_event FROM pg_stat_activity WHERE usename = 'app' AND state = 'active'")) as never;

/** Until the target itself waits for its client, and goes on waiting. */
async function targetWaits(): Promise<void> {
  for (let waits = 0; waits < 20; await sleep(20)) {
    waits = (await backends()).some((one) => one.wait_event === 'ClientWrite') ? waits + 1 : 0;
  }
}

async function targetIsFree(): Promise<void> {
  while ((await backends()).length > 0) await sleep(20);
}

const ENDLESS = "SELECT generate_series(1, 2000000000), repeat('4111 1111 1111 1111 ', 50)";

for (const resource of ['plain', 'detecting']) {
  test(`endless rows to a reader that stopped hold the target up (${resource})`, async () => {
    const client = await LoadClient.login(stage, resource);
    const before = await residentMb(stage.pid);
    const peak = await watchPeak(stage.pid);
    client.write(bytes.query(ENDLESS));
    await client.until(() => client.count('D') > 100);
    client.socket.pause();
    await targetWaits();
    // It goes on where it was.
    const { received } = client;
    client.socket.resume();
    await client.until(() => client.received > received + 20_000_000);
    client.socket.pause();
    await targetWaits();
    const grown = (await peak()) - before;
    assert.ok(grown < GROWTH_MB, `grew by ${grown} MB`);
    await client.end();
    await targetIsFree();
  });
}

test('queries without end to a client that reads no answer hold the client up', async () => {
  const client = await LoadClient.login(stage, 'plain');
  const before = await residentMb(stage.pid);
  const peak = await watchPeak(stage.pid);
  client.socket.pause();
  const query = Buffer.concat(Array.from({ length: 100 }, () => bytes.query("SELECT repeat('x', 1000)")));
  let written = 0;
  while (client.write(query) || client.socket.writableLength < 4 * query.length) written += 100;
  // The kernel's buffers are full on both ways, and nobody goes on.
  for (let same = 0, last = -1; same < 20; await sleep(20)) {
    same = client.socket.bytesWritten - client.socket.writableLength === last ? same + 1 : 0;
    last = client.socket.bytesWritten - client.socket.writableLength;
  }
  const grown = (await peak()) - before;
  assert.ok(grown < GROWTH_MB, `grew by ${grown} MB`);
  client.socket.resume();
  await client.until(() => client.count('Z') > written);
  assert.ok(client.count('Z') > written && client.errors.length === 0);
  await client.end();
});

test('a loop of notices: a client is given as many as the limit says, the rest is dropped and told once', async () => {
  const client = await LoadClient.login(stage, 'plain');
  const before = await residentMb(stage.pid);
  const peak = await watchPeak(stage.pid);
  client.socket.pause();
  client.write(bytes.query("DO $$ BEGIN FOR i IN 1..300000 LOOP RAISE NOTICE '%', repeat('x', 1000); END LOOP; END $$"));
  await targetWaits();
  client.socket.resume();
  await client.until(() => client.count('C') > 0);
  assert.deepEqual([client.errors, client.count('N')], [[], 10_000]);
  await client.round(bytes.query("DO $$ BEGIN RAISE NOTICE 'of the next command'; END $$"));
  assert.equal(client.count('N'), 10_001);
  const grown = (await peak()) - before;
  assert.ok(grown < GROWTH_MB, `grew by ${grown} MB`);
  assert.equal(await stage.metric('chaperone_limit_exceeded_total', { limit: 'maxNotices' }), 1);
  await client.end();
});

test('a storm of notifications for a client that does not read', async () => {
  const client = await LoadClient.login(stage, 'plain');
  await client.round(bytes.query('LISTEN storm'));
  client.socket.pause();
  const before = await residentMb(stage.pid);
  const peak = await watchPeak(stage.pid);
  const storm = "SELECT count(pg_notify('storm', i || repeat('x', 4000))) FROM generate_series(1, 2000) i";
  for (let i = 0; i < 20; i++) await stage.postgres.query(storm);
  client.socket.resume();
  await client.until(() => client.count('A') === 40_000);
  assert.equal(client.count('A'), 40_000);
  const grown = (await peak()) - before;
  assert.ok(grown < GROWTH_MB, `grew by ${grown} MB`);
  await client.end();
});
