/** Many names and many messages in one session. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as bytes from '#e2e/corpora/bytes.ts';
import { LoadClient } from './client.ts';
import { openStage, residentMb, type Stage, watchPeak } from './stage.ts';

let stage: Stage;
before(async () => {
  stage = await openStage({ resources: [{ name: 'plain' }, { name: 'raised', limits: { maxStatements: 10_000, maxPortals: 10_000 } }] });
});
after(() => stage.stop());

function* parses(from: number, to: number): Generator<readonly Buffer[]> {
  for (let at = from; at < to; at += 500) {
    yield Array.from({ length: Math.min(500, to - at) }, (_, i) => bytes.parse(`s${at + i}`, `SELECT ${at + i} AS c${at + i}`));
  }
}

for (const [resource, most] of [
  ['plain', 1000],
  ['raised', 10_000],
] as const) {
  test(`${most} prepared statements, and not one more (${resource})`, async () => {
    const client = await LoadClient.login(stage, resource);
    const before = await residentMb(stage.pid);
    const peak = await watchPeak(stage.pid);
    for (const some of parses(0, most)) await client.round(...some, bytes.sync());
    assert.deepEqual([client.errors, client.count('1')], [[], most]);
    await client.round(bytes.parse('more', 'SELECT 1'), bytes.sync());
    assert.match(client.errors[0] ?? '', /^54000 chaperone: more than \d+ prepared statements/);
    // One that goes makes room for another; a statement of SQL counts, too.
    await client.round(bytes.close('S', 's7'), bytes.parse('more', 'SELECT 1'), bytes.sync());
    await client.round(bytes.query('PREPARE sql_one AS SELECT 1'));
    assert.deepEqual([client.errors.length, client.count('1')], [2, most + 1]);
    // The unnamed one always works.
    await client.round(bytes.parse('', 'SELECT 42'), bytes.bind('', ''), bytes.execute(''), bytes.sync());
    assert.match(client.lastRow, /42$/);
    const grown = (await peak()) - before;
    assert.ok(grown < 200, `grew by ${grown} MB`);
    assert.equal(await stage.metric('chaperone_limit_exceeded_total', { limit: 'maxStatements', resource: `load/${resource}` }), 2);
    await client.end();
  });

  test(`${most} portals, and not one more (${resource})`, async () => {
    const client = await LoadClient.login(stage, resource);
    await client.round(bytes.query('BEGIN'));
    await client.round(bytes.parse('s', 'SELECT 1'), bytes.sync());
    const peak = await watchPeak(stage.pid);
    const before = await residentMb(stage.pid);
    for (let at = 0; at < most; at += 500) {
      await client.round(...Array.from({ length: 500 }, (_, i) => bytes.bind(`p${at + i}`, 's')), bytes.sync());
    }
    assert.deepEqual([client.errors, client.count('2')], [[], most]);
    await client.round(bytes.bind('more', 's'), bytes.sync());
    assert.match(client.errors[0] ?? '', /^54000 chaperone: more than \d+ portals and cursors/);
    await client.round(bytes.query('ROLLBACK'));
    await client.round(bytes.query('BEGIN; DECLARE c CURSOR FOR SELECT 1; COMMIT'));
    assert.equal(client.errors.length, 1);
    const grown = (await peak()) - before;
    assert.ok(grown < 100, `grew by ${grown} MB`);
    await client.end();
  });
}

test('100,000 messages before a Sync pass, one more is denied, and the session goes on', async () => {
  const client = await LoadClient.login(stage, 'plain');
  const before = await residentMb(stage.pid);
  const peak = await watchPeak(stage.pid);
  const pairs = function* (count: number): Generator<Buffer> {
    yield bytes.parse('', 'SELECT $1::int');
    for (let i = 0; i < count; i += 100) {
      yield Buffer.concat(Array.from({ length: 100 }, (_, at) => Buffer.concat([bytes.bind('', '', [i + at]), bytes.execute('')])));
    }
  };
  await client.pour(pairs(49_900));
  await client.round(bytes.sync());
  assert.deepEqual([client.errors, client.count('C'), client.count('Z')], [[], 49_900, 2]);
  assert.match(client.lastRow, /49899$/);
  await client.pour(pairs(50_100));
  await client.round(bytes.sync());
  assert.match(client.errors.join(), /^54000 chaperone: more than 100000 messages before a Sync/);
  await client.round(bytes.query('SELECT 42'));
  assert.match(client.lastRow, /42$/);
  const grown = (await peak()) - before;
  assert.ok(grown < 200, `grew by ${grown} MB`);
  assert.equal(await stage.metric('chaperone_limit_exceeded_total', { limit: 'maxMessagesBeforeSync' }), 1);
  await client.end();
});

test('100,000 simple queries one behind the other', async () => {
  const client = await LoadClient.login(stage, 'plain');
  const before = await residentMb(stage.pid);
  const peak = await watchPeak(stage.pid);
  const some = Buffer.concat(Array.from({ length: 100 }, (_, i) => bytes.query(`SELECT ${i}`)));
  await client.pour(Array.from({ length: 1000 }, () => some));
  await client.until(() => client.count('Z') === 100_001);
  assert.deepEqual([client.errors, client.count('D')], [[], 100_000]);
  const grown = (await peak()) - before;
  assert.ok(grown < 100, `grew by ${grown} MB`);
  await client.end();
});
