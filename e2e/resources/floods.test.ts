/** Connections that come to nothing. Whoever is in goes on, and there is room again when the flood is over. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import * as bytes from '#e2e/corpora/bytes.ts';
import { LoadClient } from './client.ts';
import { openStage, residentMb, type Stage, watchPeak } from './stage.ts';

const GROWTH_MB = 100;

let stage: Stage;
before(async () => {
  const limits = { maxConnections: 30, maxUnauthenticated: 20, loginTimeoutSeconds: 3, maxCancelsPerMinute: 20 };
  stage = await openStage({ resources: [{ name: 'tight', limits }, { name: 'plain' }] });
});
after(() => stage.stop());

const exceeded = (limit: string, resource: string) =>
  stage.metric('chaperone_limit_exceeded_total', { limit, resource: `load/${resource}` });

/** Int32 length and code: SSLRequest. */
const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

test('logins that never end are closed, meanwhile no more are taken, and who is in goes on', async () => {
  const inside = await LoadClient.login(stage, 'tight');
  const slow = Array.from({ length: 20 }, () => LoadClient.raw(stage.port('tight')));
  const startup = bytes.startup(stage.login);
  slow.forEach((client, i) => client.write(startup.subarray(0, 1 + (i % 12))));
  while ((await stage.metric('chaperone_connections_unauthenticated', { resource: 'load/tight' })) < 20) await sleep(20);
  const late = LoadClient.raw(stage.port('tight'));
  await late.until(() => false);
  assert.deepEqual(late.errors, ['53300 chaperone: too many connections']);
  await inside.round(bytes.query('SELECT 42'));
  assert.match(inside.lastRow, /42$/);
  for (const client of slow) await client.until(() => false);
  assert.equal(await exceeded('loginTimeoutSeconds', 'tight'), 20);
  assert.equal(await exceeded('maxUnauthenticated', 'tight'), 1);
  const next = await LoadClient.login(stage, 'tight');
  assert.equal(next.count('Z'), 1);
  await next.end();
  await inside.end();
});

test('too many sessions: the next is told so', async () => {
  while ((await stage.metric('chaperone_connections', { resource: 'load/tight' })) > 0) await sleep(20);
  const clients: LoadClient[] = [];
  for (let i = 0; i < 30; i++) clients.push(await LoadClient.login(stage, 'tight'));
  const late = LoadClient.raw(stage.port('tight'));
  await late.until(() => false);
  assert.deepEqual(late.errors, ['53300 chaperone: too many connections']);
  assert.equal(await exceeded('maxConnections', 'tight'), 1);
  for (const client of clients) await client.end();
});

test('a session byte by byte', async () => {
  const client = LoadClient.raw(stage.port('plain'));
  const slowly = async (message: Buffer) => {
    for (const byte of message) {
      client.write(Buffer.from([byte]));
      // Each in a segment of its own.
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  await slowly(bytes.startup(stage.login));
  await client.until(() => client.count('R') > 0);
  await slowly(bytes.password('none'));
  await client.until(() => client.count('Z') > 0);
  await slowly(
    Buffer.concat([bytes.query('SELECT 41'), bytes.parse('', 'SELECT $1::int'), bytes.bind('', '', [42]), bytes.execute(''), bytes.sync()]),
  );
  await client.until(() => client.count('Z') === 3);
  assert.deepEqual([client.errors, client.count('D')], [[], 2]);
  assert.match(client.lastRow, /42$/);
  await client.end();
});

test('a flood of connections before their login', async () => {
  const inside = await LoadClient.login(stage, 'plain');
  const before = await residentMb(stage.pid);
  const peak = await watchPeak(stage.pid);
  for (let wave = 0; wave < 20; wave++) {
    const clients = Array.from({ length: 100 }, () => LoadClient.raw(stage.port('plain')));
    for (const client of clients) client.write(Buffer.from([0, 0]));
    await inside.round(bytes.query('SELECT 42'));
    assert.match(inside.lastRow, /42$/);
    // Half of them break off, half of them end.
    clients.forEach((client, i) => (i % 2 === 0 ? client.socket.resetAndDestroy() : client.socket.end()));
    for (const client of clients) await client.until(() => false);
  }
  while ((await stage.metric('chaperone_connections', { resource: 'load/plain' })) > 1) await sleep(20);
  const grown = (await peak()) - before;
  assert.ok(grown < GROWTH_MB, `grew by ${grown} MB`);
  await inside.end();
});

test('a flood of requests to cancel: some are passed on, the others dropped, and keys that are wrong do nothing', async () => {
  const client = await LoadClient.login(stage, 'tight');
  const cancel = (key: Buffer) => {
    const message = Buffer.alloc(8);
    message.writeInt32BE(8 + key.length, 0);
    message.writeInt32BE(80_877_102, 4);
    return Buffer.concat([message, key]);
  };
  const wrong = Buffer.from(client.key);
  wrong[7] = (wrong[7] as number) ^ 1;
  const send = async (key: Buffer, times: number) => {
    for (let i = 0; i < times; i++) {
      const other = LoadClient.raw(stage.port('tight'));
      other.write(cancel(key));
      await other.until(() => false);
    }
  };
  client.write(bytes.query('SELECT pg_sleep(600)'));
  await send(wrong, 50);
  assert.deepEqual(client.errors, []);
  await send(client.key, 60);
  await client.until(() => client.count('Z') > 1);
  assert.match(client.errors.join(), /^57014 /);
  assert.equal(await exceeded('maxCancelsPerMinute', 'tight'), 40);
  await client.round(bytes.query('SELECT 42'));
  assert.match(client.lastRow, /42$/);
  await client.end();
});

test('a flood of TLS handshakes that are broken off, and of such that are not', async () => {
  const inside = await LoadClient.login(stage, 'plain');
  const before = await residentMb(stage.pid);
  const peak = await watchPeak(stage.pid);
  let secured = 0;
  const handshake = async (breakOff: boolean) => {
    const client = LoadClient.raw(stage.port('plain'));
    client.socket.removeAllListeners('data');
    const answer = new Promise<void>((resolve) => client.socket.once('data', () => resolve()).once('close', resolve));
    client.write(SSL_REQUEST);
    await answer;
    await new Promise<void>((resolve) => {
      const tls = connectTls({ socket: client.socket, rejectUnauthorized: false });
      tls.on('error', () => {});
      tls.once('close', resolve);
      tls.once('secureConnect', () => {
        secured++;
        tls.destroy();
      });
      if (breakOff) setImmediate(() => client.socket.resetAndDestroy());
    });
  };
  for (let wave = 0; wave < 15; wave++) {
    await Promise.all(Array.from({ length: 20 }, (_, i) => handshake(i % 2 === 0)));
    await inside.round(bytes.query('SELECT 42'));
    assert.match(inside.lastRow, /42$/);
  }
  assert.ok(secured > 0);
  while ((await stage.metric('chaperone_connections', { resource: 'load/plain' })) > 1) await sleep(20);
  const grown = (await peak()) - before;
  assert.ok(grown < GROWTH_MB, `grew by ${grown} MB`);
  await inside.end();
});
