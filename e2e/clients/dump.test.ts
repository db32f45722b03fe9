/** pg_dump of Debian, so a server of that version: it refuses newer ones. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { hasPostgres } from '#e2e/postgres/server.ts';
import { EVERYTHING_IS_INSTALLED, runClient, type Target } from './programs.ts';
import { type Stage, startStage } from './stage.ts';

const skip = hasPostgres(15) || EVERYTHING_IS_INSTALLED ? false : 'no PostgreSQL 15 here';

describe('pg_dump', { skip }, () => {
  let stage: Stage;
  before(async () => {
    stage = await startStage(15);
  });
  after(() => stage?.stop());

  const dump = (target: Target, ...options: string[]) => runClient('pg_dump', options, target);
  /** A key that newer ones make anew for each dump. */
  const lines = (text: string) => text.split('\n').filter((line) => !/^\\(un)?restrict /.test(line));

  for (const options of [[], ['--schema-only'], ['--inserts'], ['--data-only', '--serializable-deferrable']]) {
    const how = options.join(' ') || 'plain';
    test(`is the same where all is allowed: ${how}`, async () => {
      const direct = await dump(stage.direct, ...options);
      const ours = await dump(stage.open, ...options);
      assert.equal(direct.code, 0, direct.stderr);
      assert.deepEqual({ ...ours, stdout: lines(ours.stdout) }, { ...direct, stdout: lines(direct.stdout) });
      assert.match(direct.stdout, /customers/);
    });
  }

  test('what is dumped through the sidecar restores', async () => {
    const { stdout } = await dump(stage.open, '--no-owner');
    await stage.postgres.query('CREATE DATABASE restored OWNER app');
    const restored = { ...stage.direct, database: 'restored' };
    const { code, stderr } = await runClient('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', '-'], restored, stdout);
    assert.equal(code, 0, stderr);
    assert.deepEqual(lines((await dump(restored, '--no-owner')).stdout), lines(stdout));
  });

  test('is refused under masking, in words that say why', async () => {
    const { code, stdout, stderr } = await dump(stage.masked);
    assert.notEqual(code, 0);
    assert.match(stderr, /pg_dump: error: .*chaperone: .*mask/s);
    assert.doesNotMatch(stdout, /ada@example\.com/);
  });
});
