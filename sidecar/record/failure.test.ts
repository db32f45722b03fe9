import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, mkdirSync, openSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { errorsOf, verify } from '#cli/sessions/testing.ts';
import { RecordingError } from './error.ts';
import { permitFor, recorder, START, session, sql, temporaryFolder } from './testing.ts';

interface Said {
  readonly session: string;
  readonly recorded: number;
  readonly failed: string;
  readonly cause: string;
  readonly again: string;
}

const CHILD = join(import.meta.dirname, 'full.child.ts');

async function checkAfter(dir: string, ran: { readonly stdout: string; readonly stderr: string }, cause: string): Promise<void> {
  assert.notEqual(ran.stdout, '', ran.stderr);
  const said = JSON.parse(ran.stdout) as Said;
  assert.deepEqual({ failed: said.failed, cause: said.cause, again: said.again }, { failed: 'WriteFailed', cause, again: 'WriteFailed' });
  assert.ok(said.recorded > 5);
  const next = await recorder(dir);
  await next.close();
  const result = await verify(dir);
  assert.deepEqual(errorsOf(result), []);
  // All that was recorded, and the end.
  assert.equal(result.events, said.recorded + 1);
}

/** Puts /dev/full in the place of an open file, behind its owner's back: the next write is ENOSPC. */
function fillUp(dir: string, suffix: string): void {
  const fd = readdirSync('/proc/self/fd').find((name) => {
    try {
      const target = readlinkSync(`/proc/self/fd/${name}`);
      return target.startsWith(dir) && target.endsWith(suffix);
    } catch {
      return false;
    }
  });
  assert.notEqual(fd, undefined);
  closeSync(Number(fd));
  // The lowest that is free; others that are go first.
  const taken: number[] = [];
  for (let next = openSync('/dev/full', 'w'); ; next = openSync('/dev/full', 'w')) {
    if (next === Number(fd)) break;
    taken.push(next);
  }
  for (const other of taken) closeSync(other);
}

function isError(code: RecordingError['code']): (error: unknown) => boolean {
  return (error) => error instanceof RecordingError && error.code === code;
}

describe('where recording fails, nothing more is recorded as permitted', { skip: process.platform !== 'linux' }, () => {
  it('a file-size limit: a line that was half written is cut', async (test) => {
    const dir = temporaryFolder(test);
    const shell = 'ulimit -f 64; exec "$@"';
    await checkAfter(dir, spawnSync('sh', ['-c', shell, 'sh', process.execPath, CHILD, dir], { encoding: 'utf8' }), 'EFBIG');
  });

  it('a file system that is full', async (test) => {
    const dir = temporaryFolder(test);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'chaperone-test', dir]);
    if (mounted.status !== 0) return test.skip('only root may mount a small file system');
    try {
      const ran = spawnSync(process.execPath, [CHILD, dir], { encoding: 'utf8' });
      spawnSync('mount', ['-o', 'remount,size=10m', dir]);
      await checkAfter(dir, ran, 'ENOSPC');
    } finally {
      spawnSync('umount', [dir]);
    }
  });

  it('a segment on a full disk', async (test) => {
    const dir = temporaryFolder(test);
    const recordings = await recorder(dir);
    const recording = await session(recordings, 1);
    const other = await session(recordings, 1);
    fillUp(dir, `session=${recording.session}/segment-000001.open.jsonl`);
    assert.throws(() => recording.permit(permitFor('x'), sql('x')), isError('WriteFailed'));
    await assert.rejects(recording.durable(), isError('WriteFailed'));
    other.permit(permitFor('x'), sql('x'));
    await recording.end('error');
    await recordings.close();
    // What could not be ended is the next start's.
    assert.ok((await verify(dir)).findings.some((finding) => finding.code === 'SegmentOpen' && finding.session === recording.session));
    await (await recorder(dir)).close();
    const result = await verify(dir);
    assert.deepEqual(errorsOf(result), []);
    // The result that still waited in memory went with the disk; no verdict did.
    assert.equal(result.events, 3 + 5);
  });

  it('a ledger on a full disk: no session begins, and none is said to have ended', async (test) => {
    const dir = temporaryFolder(test);
    const recordings = await recorder(dir);
    const recording = await session(recordings, 1);
    fillUp(dir, 'ledger.jsonl');
    await assert.rejects(recordings.open(START, randomUUID()), isError('WriteFailed'));
    await recording.end('client');
    await recordings.close();
    await (await recorder(dir)).close();
    const result = await verify(dir);
    assert.deepEqual(errorsOf(result), []);
    assert.equal(result.sessions, 1);
    assert.equal(result.events, 4);
  });

  it('a seal that can’t be stored ends the session; the next start seals', async (test) => {
    const dir = temporaryFolder(test);
    const recordings = await recorder(dir, { limits: { segmentBytes: 3000 } });
    const recording = await session(recordings, 1);
    rmSync(join(dir, 'recordings.tmp'), { recursive: true });
    let failed: unknown = null;
    for (let i = 0; i < 100 && failed === null; i++) {
      try {
        recording.permit(permitFor('x'), sql(`select ${i}`));
      } catch (error: unknown) {
        failed = error;
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.ok(isError('SealFailed')(failed));
    await recording.end('error');
    await recordings.close();
    await (await recorder(dir)).close();
    assert.deepEqual(errorsOf(await verify(dir)), []);
  });

  it('a state folder that can’t be made', async (test) => {
    const dir = temporaryFolder(test);
    mkdirSync(join(dir, 'a'));
    await assert.rejects(recorder('/dev/null/state'), isError('WriteFailed'));
  });
});
