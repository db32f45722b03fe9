/** COPY of more than a gigabyte, both ways. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import * as bytes from '#e2e/corpora/bytes.ts';
import { LoadClient } from './client.ts';
import { openStage, residentMb, type Stage, watchPeak } from './stage.ts';

const GROWTH_MB = 100;
const ROWS = 1_100_000;
const ROW = 'x'.repeat(1000);

let stage: Stage;
before(async () => {
  const initSql = 'CREATE TABLE sink (t text); GRANT ALL ON sink TO app;';
  stage = await openStage({ resources: [{ name: 'plain' }], initSql });
});
after(() => stage.stop());

test('COPY TO STDOUT', async () => {
  const client = await LoadClient.login(stage, 'plain');
  const before = await residentMb(stage.pid);
  const peak = await watchPeak(stage.pid);
  await client.round(bytes.query(`COPY (SELECT repeat('x', 1000) FROM generate_series(1, ${ROWS})) TO STDOUT`));
  assert.deepEqual([client.errors, client.count('d')], [[], ROWS]);
  const grown = (await peak()) - before;
  assert.ok(grown < GROWTH_MB, `grew by ${grown} MB`);
  await client.end();
});

test('COPY FROM STDIN', async () => {
  const client = await LoadClient.login(stage, 'plain');
  const before = await residentMb(stage.pid);
  const peak = await watchPeak(stage.pid);
  // The target reads every row, and keeps none.
  client.write(bytes.query("COPY sink FROM STDIN WHERE t = 'never'"));
  await client.until(() => client.count('G') > 0);
  const chunk = bytes.copyData(`${ROW}\n`.repeat(100));
  await client.pour(Array.from({ length: ROWS / 100 }, () => chunk));
  await client.round(bytes.copyDone());
  assert.deepEqual([client.errors, client.count('C')], [[], 1]);
  const grown = (await peak()) - before;
  assert.ok(grown < GROWTH_MB, `grew by ${grown} MB`);
  await client.end();
});
