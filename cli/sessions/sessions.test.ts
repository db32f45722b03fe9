import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { concat } from '#crds/record/bytes.ts';
import { sealedLayout, skippableFrame } from '#crds/record/frames.ts';
import { ALLOWED, DENIED, permitFor, recorder, START, session, sql, temporaryFolder } from '#sidecar/record/testing.ts';
import { duration, listSessions } from './list.ts';
import { replaySession } from './replay.ts';
import { showSession } from './show.ts';
import { printable } from './table.ts';
import { run } from './testing.ts';

let dir = '';
let first = '';

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'chaperone-sessions-'));
  let now = Date.UTC(2026, 0, 2, 3, 4, 5);
  const recordings = await recorder(dir, { clock: () => now, limits: { segmentBytes: 1500 } });
  const one = await recordings.open(START, randomUUID());
  first = one.session;
  now += 1000;
  const { seq } = one.permit(permitFor('x'), {
    ...sql('select email from customers where id = $1'),
    sent: 'select mask(email) from customers where id = $1',
    parameters: ['‹t:0011223344556677›', null],
  });
  now += 250;
  one.event({
    type: 'rows',
    parent: seq,
    columns: ['id', 'email'],
    rows: [
      ['1', '***'],
      ['2', null],
    ],
  });
  one.event({ type: 'result', parent: seq, status: 'ok', rows: 2, maskedValues: 2, tag: 'SELECT 2', durationMs: 250 });
  now += 60_000;
  one.deny({ type: 'denial', verdict: DENIED }, sql('drop table customers -- \u001b]0;owned\u0007\u202e'));
  one.event({
    type: 'action',
    phase: 'first',
    action: sql('update customers set a = 1'),
    decision: 'Hold',
    code: 'HeldByRule',
    message: 'held',
    authors: ALLOWED.authors,
    snapshot: 'sha256:x',
    approval: 'req-1',
  });
  one.event({ type: 'approval', name: 'req-1', event: 'approved', by: { issuer: 'local', subject: 'bob' } });
  await one.end('client');
  now += 86_400_000;
  await (await session(recordings, 1, 'billing')).end('server');
  await recordings.close();
});
after(() => rmSync(dir, { recursive: true, force: true }));

describe('sessions ls', () => {
  it('prints a line per session, the oldest first', async () => {
    const { code, stdout } = await run(listSessions, { dir });
    assert.equal(code, 0);
    const [head, one, two, ...rest] = stdout.split('\n');
    assert.match(head ?? '', /^SESSION +RESOURCE +WHO +STARTED +LASTED +ALLOWED +DENIED +HELD +MASKED +ASSURANCE +END$/);
    assert.match(one ?? '', new RegExp(`^${first} +shop/orders-db +ci/runner +2026-01-02T03:04:05.000Z +1m1s +1 +1 +1 +2 +B +client$`));
    assert.match(two ?? '', /billing\/orders-db .* server$/);
    assert.deepEqual(rest, ['']);
  });

  it('prints JSON, and filters', async () => {
    const json = async (options: object) =>
      JSON.parse((await run(listSessions, { dir, output: 'json', ...options })).stdout) as { session: string; segments: number }[];
    const all = await json({});
    assert.equal(all.length, 2);
    assert.ok((all[0]?.segments ?? 0) > 1);
    assert.equal((await json({ namespace: 'billing' })).length, 1);
    assert.equal((await json({ since: '2026-01-03' })).length, 1);
    assert.equal((await json({ resource: 'none' })).length, 0);
  });

  it('says that there are none', async (test) => {
    const { code, stdout } = await run(listSessions, { dir: temporaryFolder(test) });
    assert.deepEqual({ code, stdout }, { code: 0, stdout: 'No sessions.\n' });
  });
});

describe('sessions show and replay', () => {
  it('print statements with verdicts, authors, rows and results, and no control character', async () => {
    const { code, stdout } = await run(showSession, { dir, session: first.slice(0, 8) });
    assert.equal(code, 0);
    for (const part of [
      '+00:00.000  session of ServiceAccount ci/runner to shop/orders-db (database shop)',
      '+00:01.000  select email from customers where id = $1',
      'sent as: select mask(email) from customers where id = $1',
      '$1 = "‹t:0011223344556677›", $2 = NULL',
      'ALLOW AllowedByRule: allowed by AccessPolicy shop/readers [AccessPolicy shop/readers read]',
      'id   email',
      '2    NULL',
      '→ ok SELECT 2, 2 rows, 2 masked, 250 ms',
      '+01:01.250  drop table customers -- \\u{1b}]0;owned\\u{7}\\u{202e}',
      'DENY DeniedByRule',
      'HOLD HeldByRule',
      'approval req-1 approved by bob',
      'end (client)',
    ]) {
      assert.ok(stdout.includes(part), `${part}\n${stdout}`);
    }
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that none is there is the point
    assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u202e]/);
  });

  it('JSON has all events as stored, in order, over all segments', async () => {
    const { stdout } = await run(showSession, { dir, session: first, output: 'json' });
    const { events } = JSON.parse(stdout) as { events: { seq: number }[] };
    assert.deepEqual(
      events.map((event) => event.seq),
      [1, 2, 3, 4, 5, 6, 7, 8],
    );
  });

  it('replay waits as it happened, by the speed, and never longer than the longest pause', async () => {
    const waits: number[] = [];
    const sleep = async (ms: number) => void waits.push(ms);
    const { stdout } = await run(replaySession, { dir, session: first, speed: 2, sleep });
    assert.deepEqual(waits, [500, 125, 2000]);
    assert.ok(stdout.includes('DENY'));
    await run(replaySession, { dir, session: first, sleep });
    assert.equal(waits.length, 3);
  });

  it('what was changed into another shape is said to be so', async (test) => {
    const spoiled = temporaryFolder(test);
    const recordings = await recorder(spoiled);
    const one = await session(recordings, 1);
    await recordings.close();
    const file = readdirSync(spoiled, { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith('.zst')) ?? '';
    const bytes = readFileSync(join(spoiled, file));
    const found = sealedLayout(bytes);
    assert.ok(found.type === 'ok');
    const events = zstdDecompressSync(bytes)
      .toString()
      .replace('"principals":[', '"principals":7,"x":[')
      .replace('"action":{', '"action":null,"y":{');
    writeFileSync(
      join(spoiled, file),
      concat(skippableFrame(found.layout.header), zstdCompressSync(events), skippableFrame(found.layout.seal)),
    );
    const shown = await run(showSession, { dir: spoiled, session: one.session });
    assert.equal(shown.code, 0);
    assert.match(shown.stdout, /event 1 \(start\) is not as a recorder writes it/);
    assert.match(shown.stdout, /event 2 \(action\) is not as a recorder writes it/);
    assert.equal((await run(listSessions, { dir: spoiled })).code, 0);
  });

  const wrong: readonly (readonly [string, object, number, RegExp])[] = [
    ['a session that is not there', { session: '00000000' }, 1, /there is no session 00000000/],
    ['too short a prefix', { session: 'ab' }, 2, /at least the first 4 characters/],
    ['a path for a session', { session: '../../x' }, 2, /is not a session/],
    ['a folder that is not there', { dir: '/nowhere/at/all', session: '00000000' }, 2, /is not a folder/],
    ['a speed below 0', { session: '00000000', speed: -1 }, 2, /--speed takes/],
  ];
  for (const [name, options, exit, message] of wrong) {
    it(`${name} is exit code ${exit}`, async () => {
      const { code, stdout, stderr } = await run(replaySession, { dir, session: first, ...options });
      assert.equal(code, exit);
      assert.match(stderr, message);
      assert.equal(stdout, '');
    });
  }
});

it('durations', () => {
  assert.deepEqual([0, 450, 12_345, 310_000, 10_920_000].map(duration), ['0ms', '450ms', '12.3s', '5m10s', '3h2m']);
});

it('printable keeps letters of all scripts', () => {
  assert.equal(printable('é 漢字 🙂 a\nb\tc'), 'é 漢字 🙂 a\\nb\\tc');
});
