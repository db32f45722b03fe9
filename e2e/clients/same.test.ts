import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { here, type Ran, runClient, type Target } from './programs.ts';
import { type Stage, startStage } from './stage.ts';
import { workOfNodePostgres } from './work.ts';

let stage: Stage;
before(async () => {
  stage = await startStage();
});
after(() => stage.stop());

/** Direct, then through the sidecar, then direct again: work that isn't repeatable would make a difference of its own. */
async function sameBothWays(work: (target: Target) => Promise<readonly string[]>): Promise<readonly string[]> {
  const direct = await work(stage.direct);
  assert.deepEqual(await work(stage.open), direct);
  assert.deepEqual(await work(stage.direct), direct);
  return direct;
}

const said = ({ code, stdout, stderr }: Ran) => [`exit ${code}`, ...stdout.split('\n'), ...stderr.split('\n')];

test('psql: meta-commands, COPY, cursors, variables, errors', async () => {
  const lines = await sameBothWays(async (target) => said(await runClient('psql', ['-X', '-f', here('work.psql')], target)));
  assert.equal(lines[0], 'exit 0');
  assert.ok(lines.length > 200, lines.join('\n'));
});

test('psql: what its backslash commands ask the catalogs', async () => {
  const lines = await sameBothWays(async (target) => said(await runClient('psql', ['-X', '-f', here('backslash.psql')], target)));
  assert.equal(lines[0], 'exit 0');
  assert.ok(lines.length > 500, lines.join('\n'));
});

test('psycopg2: types, transactions, server-side cursors, COPY, cancel', async () => {
  const lines = await sameBothWays(async (target) => said(await runClient('/usr/bin/python3', [here('work.py')], target)));
  assert.deepEqual([lines[0], lines.at(-3)], ['exit 0', "after cancel: ('alive',)"]);
});

test('node-postgres: simple and extended, named and binary, notifications, a pool', async () => {
  const lines = await sameBothWays((target) => workOfNodePostgres({ ...target }));
  assert.ok(lines.length > 20);
});

for (const protocol of ['simple', 'extended', 'prepared']) {
  test(`pgbench, ${protocol}: loads its tables and runs its transactions`, async () => {
    await sameBothWays(async (target) => {
      const load = await runClient('pgbench', ['-i', '-q', '-s', '1'], target);
      assert.equal(load.code, 0, load.stderr);
      const fixed = ['-n', '-M', protocol, '-c', '4', '-t', '50', '--random-seed=7'];
      const runs = [await runClient('pgbench', fixed, target), await runClient('pgbench', [...fixed, '-S'], target)];
      if (protocol !== 'simple') runs.push(await runClient('pgbench', [...fixed, '-f', here('pipeline.pgbench')], target));
      return [...runs.flatMap(processed), ...(await sums())];
    });
  });
}

/** What a run of pgbench says, but for what depends on time. */
function processed({ code, stdout, stderr }: Ran): string[] {
  return [`exit ${code}`, ...stdout.split('\n').filter((line) => /processed|failed|type|mode/.test(line)), ...stderr.split('\n')];
}

/** What the runs left in the tables, seen without the sidecar. */
async function sums(): Promise<string[]> {
  const rows = await stage.postgres.query(
    'SELECT (SELECT sum(abalance * aid) FROM pgbench_accounts) AS accounts, (SELECT sum(tbalance * tid) FROM pgbench_tellers) AS tellers, (SELECT count(*) FROM pgbench_history) AS history',
  );
  return rows.map((row) => JSON.stringify(row));
}
