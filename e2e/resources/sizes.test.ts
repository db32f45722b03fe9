/** Great values and many of them: what passes does so in bounded memory, and what does not is refused in bounded memory. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as bytes from '#e2e/corpora/bytes.ts';
import { LoadClient } from './client.ts';
import { openStage, residentMb, type Stage, watchPeak } from './stage.ts';

let stage: Stage;
before(async () => {
  const columns = Array.from({ length: 1600 }, (_, i) => `c${i} int`).join(', ');
  const initSql = `CREATE TABLE wide (${columns}); INSERT INTO wide (c0, c1599) VALUES (1, 2); GRANT ALL ON wide TO app;`;
  stage = await openStage({ resources: [{ name: 'plain' }, { name: 'detecting', detects: true }], initSql });
});
after(() => stage.stop());

/** Runs it, and tells how far the sidecar's memory rose above what it was. */
async function growthMb(work: () => Promise<void>): Promise<number> {
  const before = await residentMb(stage.pid);
  const peak = await watchPeak(stage.pid);
  await work();
  return (await peak()) - before;
}

test('a field of a gigabyte passes where nobody looks into it, in bounded memory', async () => {
  const client = await LoadClient.login(stage, 'plain');
  const grown = await growthMb(() => client.round(bytes.query("SELECT repeat('x', 1000000000)")));
  assert.deepEqual(client.errors, []);
  assert.equal(client.count('C'), 1);
  assert.ok(client.received > 1_000_000_000);
  assert.ok(grown < 100, `grew by ${grown} MB`);
  await client.end();
});

test('a field above the limit that has to be looked into is refused as soon as its length is known', async () => {
  const client = await LoadClient.login(stage, 'detecting');
  const grown = await growthMb(() => client.round(bytes.query("SELECT repeat('x', 100000000)")));
  assert.deepEqual(client.errors, ['08P01 chaperone: a message is longer than 67108864 bytes']);
  assert.ok(client.closed);
  assert.ok(grown < 100, `grew by ${grown} MB`);
  assert.equal(await stage.metric('chaperone_limit_exceeded_total', { limit: 'maxMessageBytes', resource: 'load/detecting' }), 1);
});

test('20 MB of text: refused as SQL, passed as a parameter', async () => {
  const client = await LoadClient.login(stage, 'plain');
  const text = 'x'.repeat(20 * 1024 * 1024);
  const grown = await growthMb(async () => {
    await client.round(bytes.query(`SELECT length('${text}')`));
    assert.match(client.errors[0] ?? '', /^42501 chaperone: .*longer than 1048576 bytes/);
    await client.round(bytes.parse('', 'SELECT length($1)'), bytes.bind('', '', [text]), bytes.execute(''), bytes.sync());
  });
  assert.match(client.lastRow, /20971520$/);
  assert.equal(client.errors.length, 1);
  assert.ok(grown < 250, `grew by ${grown} MB`);
  await client.end();
});

test('1,600 columns, with and without detectors', async () => {
  for (const resource of ['plain', 'detecting']) {
    const client = await LoadClient.login(stage, resource);
    await client.round(bytes.query('SELECT * FROM wide'));
    assert.deepEqual(client.errors, []);
    assert.equal(client.lastRow.charCodeAt(0) * 256 + client.lastRow.charCodeAt(1), 1600);
    await client.end();
  }
});

test('65,535 parameters', async () => {
  const client = await LoadClient.login(stage, 'plain');
  const sql = `SELECT count(*) FROM unnest(ARRAY[${Array.from({ length: 65_535 }, (_, i) => `$${i + 1}::int`).join(',')}])`;
  await client.round(bytes.parse('', sql), bindOf(65_535), bytes.execute(''), bytes.sync());
  assert.deepEqual(client.errors, []);
  assert.match(client.lastRow, /65535$/);
  await client.end();
});

function bindOf(count: number): Buffer {
  const value = Buffer.from([0, 0, 0, 1, 0x37]);
  const head = Buffer.from([0, 0, 0, 0, count >> 8, count & 255]);
  const body = Buffer.concat([head, ...Array.from({ length: count }, () => value), Buffer.from([0, 0])]);
  const message = Buffer.alloc(5);
  message.write('B');
  message.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([message, body]);
}
