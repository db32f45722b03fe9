import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { errorsOf, verify } from '#cli/sessions/testing.ts';
import type { RecordEvent } from '#crds/record/event.ts';
import { RecordingError } from './error.ts';
import { ALLOWED, DENIED, permitFor, recorder, START, session, sql, temporaryFolder } from './testing.ts';

type Stored = RecordEvent & { readonly hash: string };

function filesOf(dir: string, suffix: string): readonly string[] {
  return readdirSync(join(dir, 'recordings'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(suffix))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Event lines of an open segment, now. */
function openEvents(dir: string): readonly Stored[] {
  return filesOf(dir, '.open.jsonl').flatMap((file) =>
    readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => JSON.parse(line) as Stored),
  );
}

function sealedEvents(dir: string): readonly Stored[] {
  return filesOf(dir, '.jsonl.zst').flatMap((file) =>
    zstdDecompressSync(readFileSync(file))
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Stored),
  );
}

describe('a session', () => {
  it('has each event on disk when the call returns, before any other turn of the event loop', async (test) => {
    const dir = temporaryFolder(test);
    const recordings = await recorder(dir, { clock: () => Date.UTC(2026, 0, 2, 3, 4, 5, 678) });
    const recording = await recordings.open(START, randomUUID());
    const permit = permitFor('select 1');
    const proof = recording.permit(permit, sql('select 1'));
    assert.equal(proof.permit, permit);
    assert.equal(proof.seq, 2);
    const [start, action] = openEvents(dir);
    assert.equal(start?.type, 'start');
    assert.deepEqual(
      { ...action, hash: '' },
      {
        v: 1,
        session: recording.session,
        seq: 2,
        time: '2026-01-02T03:04:05.678Z',
        channel: 0,
        type: 'action',
        phase: 'first',
        action: sql('select 1'),
        decision: 'Allow',
        code: 'AllowedByRule',
        message: ALLOWED.message,
        authors: ALLOWED.authors,
        snapshot: START.snapshot,
        hash: '',
      },
    );
    assert.equal(recording.event({ type: 'result', parent: 2, channel: 3, status: 'ok', durationMs: 1 }), 3);
    recording.deny({ type: 'denial', verdict: DENIED }, sql('drop table x'));
    recording.deny({ type: 'denial', verdict: { ...DENIED, code: 'ApprovalTimedOut' } }, sql('drop table x'));
    const events = openEvents(dir);
    assert.equal(events[2]?.channel, 3);
    assert.deepEqual(
      events.slice(3).map((event) => event.type === 'action' && [event.decision, event.phase]),
      [
        ['Deny', 'first'],
        ['Deny', 'again'],
      ],
    );
    await recordings.close();
    assert.equal(sealedEvents(dir).at(-1)?.type, 'end');
    assert.deepEqual(filesOf(dir, '.open.jsonl'), []);
  });

  it('names the snapshot in force where the store is told it', async (test) => {
    const dir = temporaryFolder(test);
    let version = 'sha256:one';
    const recordings = await recorder(dir, { snapshot: () => version });
    const recording = await recordings.open(START, randomUUID());
    recording.permit(permitFor('x'), sql('x'));
    version = 'sha256:two';
    recording.permit(permitFor('x'), sql('x'));
    assert.deepEqual(
      openEvents(dir).flatMap((event) => (event.type === 'action' ? [event.snapshot] : [])),
      ['sha256:one', 'sha256:two'],
    );
    await recordings.close();
  });

  it('rotates by size, and all segments verify together', async (test) => {
    const dir = temporaryFolder(test);
    const recordings = await recorder(dir, { limits: { segmentBytes: 3000 } });
    const sessions = await Promise.all([session(recordings, 30), session(recordings, 20)]);
    await Promise.all(sessions.map((one) => one.end('client')));
    await recordings.close();
    assert.ok(filesOf(dir, '.jsonl.zst').length > 10);
    const result = await verify(dir);
    assert.deepEqual(errorsOf(result), []);
    assert.equal(result.events, 2 + 2 * 50 + 2);
  });

  it('rotates by age; then it has no open file until its next event', async (test) => {
    const dir = temporaryFolder(test);
    let now = 1_000_000;
    const recordings = await recorder(dir, { clock: () => now, limits: { segmentAgeMs: 5 } });
    const recording = await session(recordings, 1);
    now += 10;
    while (filesOf(dir, '.jsonl.zst').length === 0 || filesOf(dir, '.open.jsonl').length > 0)
      await new Promise((resolve) => setTimeout(resolve, 2));
    recording.event({ type: 'note', code: 'Later', message: 'said' });
    assert.equal(openEvents(dir).length, 1);
    await recordings.close();
    assert.deepEqual(errorsOf(await verify(dir)), []);
  });

  it('durable resolves for all who ask, also over a rotation', async (test) => {
    const dir = temporaryFolder(test);
    const recordings = await recorder(dir, { limits: { segmentBytes: 4000 } });
    const recording = await recordings.open(START, randomUUID());
    const waits: Promise<void>[] = [];
    for (let i = 0; i < 40; i++) {
      recording.permit(permitFor('x'), sql(`select ${i}`));
      waits.push(recording.durable());
      if (i % 7 === 0) await waits.at(-1);
    }
    await Promise.all(waits);
    await recordings.close();
    assert.deepEqual(errorsOf(await verify(dir)), []);
  });

  it('takes nothing more once it has ended', async (test) => {
    const dir = temporaryFolder(test);
    const recordings = await recorder(dir);
    const recording = await session(recordings, 1);
    const ending = recording.end('client');
    assert.throws(() => recording.permit(permitFor('x'), sql('x')), isError('SessionEnded'));
    await Promise.all([ending, recording.end('error')]);
    await assert.rejects(recording.durable(), isError('SessionEnded'));
    await recordings.close();
    assert.equal(sealedEvents(dir).filter((event) => event.type === 'end').length, 1);
  });

  it('is refused under an ID or namespace that is no name, twice, and after the store is closed', async (test) => {
    const recordings = await recorder(temporaryFolder(test));
    const id = randomUUID();
    await assert.rejects(recordings.open(START, '../../etc'), isError('InvalidName'));
    await assert.rejects(recordings.open({ ...START, resource: { namespace: '..', name: 'x' } }, id), isError('InvalidName'));
    const recording = await recordings.open(START, id);
    await assert.rejects(recordings.open(START, id), isError('SessionExists'));
    await recording.end('client');
    await assert.rejects(recordings.open(START, id), isError('SessionExists'));
    await recordings.close();
    await assert.rejects(recordings.open(START, randomUUID()), isError('Closed'));
  });
});

describe('limits', () => {
  it('text is cut between characters, and says so; the digest is of all', async (test) => {
    const dir = temporaryFolder(test);
    const recordings = await recorder(dir, { limits: { textBytes: 100 } });
    const recording = await recordings.open(START, randomUUID());
    const long = sql(`select '${'é'.repeat(100)}'`);
    recording.permit(permitFor('x'), { ...long, sent: long.received, parameters: ['x'.repeat(90), null, 'y'.repeat(90), 'z'] });
    recording.permit(permitFor('x'), { type: 'http', method: 'GET', host: 'a', path: `/${'x'.repeat(500)}` });
    recording.event({ type: 'rows', columns: ['a', 'b'], rows: Array.from({ length: 20 }, () => ['x'.repeat(300), null]) });
    recordings.flush();
    const [, action, http, ...rows] = openEvents(dir);
    assert.ok(action?.type === 'action' && action.action.type === 'sql');
    assert.equal(action.action.received, `select '${'é'.repeat(46)}`);
    assert.equal(action.action.sent, action.action.received);
    assert.deepEqual(action.action.parameters, ['x'.repeat(90), null]);
    assert.equal(action.action.truncated, true);
    assert.equal(action.action.digest, long.digest);
    assert.ok(http?.type === 'action' && http.action.type === 'http' && http.action.truncated && http.action.path.length === 100);
    assert.ok(rows.length > 5);
    assert.equal(rows.flatMap((event) => (event.type === 'rows' ? event.rows : [])).length, 20);
    assert.ok(rows.every((event) => event.type === 'rows' && event.truncated && event.rows[0]?.[0]?.length === 100));
    await recordings.close();
    assert.deepEqual(errorsOf(await verify(dir)), []);
  });

  it('an event that is too large is an error, and the session ends', async (test) => {
    const dir = temporaryFolder(test);
    const recordings = await recorder(dir, { limits: { eventBytes: 2000 } });
    const recording = await recordings.open(START, randomUUID());
    assert.throws(() => recording.permit(permitFor('x'), sql('x'.repeat(3000))), isError('EventTooLarge'));
    assert.throws(() => recording.permit(permitFor('x'), sql('select 1')), isError('EventTooLarge'));
    await recording.end('error');
    await recordings.close();
    const result = await verify(dir);
    assert.deepEqual(errorsOf(result), []);
    assert.equal(result.events, 2);
  });
});

describe('a session that can’t begin', () => {
  it('is refused, leaves nothing but two ledger entries, and does not disturb the rest', async (test) => {
    const dir = temporaryFolder(test);
    const recordings = await recorder(dir, { limits: { eventBytes: 2000 } });
    await assert.rejects(recordings.open({ ...START, database: 'x'.repeat(2000) }, randomUUID()), isError('EventTooLarge'));
    await (await session(recordings, 1)).end('client');
    await recordings.close();
    const result = await verify(dir);
    assert.deepEqual(errorsOf(result), []);
    assert.equal(result.sessions, 1);
  });
});

describe('the state folder', () => {
  it('holds keys that only their owner can read, and that stay', async (test) => {
    const dir = temporaryFolder(test);
    const first = await recorder(dir);
    const token = (await session(first, 0)).tokenise('4111111111111111');
    await first.close();
    assert.equal(statSync(join(dir, 'keys')).mode & 0o777, 0o700);
    for (const name of ['recording.key.pem', 'recording-token.key'])
      assert.equal(statSync(join(dir, 'keys', name)).mode & 0o777, 0o600, name);
    for (const file of filesOf(dir, '')) assert.equal(statSync(file).mode & 0o077, 0, file);
    const second = await recorder(dir);
    const recording = await session(second, 0);
    assert.match(token, /^‹t:[0-9a-f]{16}›$/);
    assert.equal(recording.tokenise(Buffer.from('4111111111111111')), token);
    assert.notEqual(recording.tokenise('4111111111111112'), token);
    await second.close();
    const other = await recorder(temporaryFolder(test));
    assert.notEqual((await session(other, 0)).tokenise('4111111111111111'), token);
    await other.close();
  });

  it('takes one live recorder, and the next once that has closed', async (test) => {
    const dir = temporaryFolder(test);
    const first = await recorder(dir);
    await assert.rejects(recorder(dir), isError('Locked'));
    await first.close();
    const second = await recorder(dir);
    await second.close();
    assert.ok(existsSync(second.publicKeyFile));
  });
});

function isError(code: RecordingError['code']): (error: unknown) => boolean {
  return (error) => error instanceof RecordingError && error.code === code;
}
