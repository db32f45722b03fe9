import assert from 'node:assert/strict';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { errorsOf, verify } from '#cli/sessions/testing.ts';
import { permitFor, recorder, session, sql, temporaryFolder } from './testing.ts';

function fileOf(dir: string, suffix: string): string {
  const found = readdirSync(join(dir, 'recordings'), { recursive: true, encoding: 'utf8' }).find((name) => name.endsWith(suffix));
  assert.ok(found !== undefined, suffix);
  return join(dir, 'recordings', found);
}

/** What a recorder that is killed would leave of a session with so many statements: one with enough to say that room is taken ahead for it. */
async function abandoned(
  from: Parameters<typeof temporaryFolder>[0],
  statements: number,
): Promise<{ dir: string; open: string; seq: number }> {
  const [live, dir] = [temporaryFolder(from), temporaryFolder(from)];
  const recordings = await recorder(live);
  const recording = await session(recordings, statements);
  const { seq } = recording.permit(permitFor('x'), sql('select the last'));
  cpSync(live, dir, { recursive: true });
  await recordings.close();
  return { dir, open: fileOf(dir, '.open.jsonl'), seq };
}

async function restart(dir: string): Promise<void> {
  await (await recorder(dir)).close();
}

test('a session with much to say has room taken ahead, verifies with it while it is open, and is sealed without', {
  skip: process.platform !== 'linux',
}, async (t) => {
  const { dir, open, seq } = await abandoned(t, 2000);
  const file = readFileSync(open);
  assert.equal(file.at(-1), 0);
  const text = file.toString().replace(/\0+$/, '');
  assert.ok(text.endsWith('"}\n') && !text.includes('\0'));
  assert.equal(text.split('\n').length - 2, seq);
  const before = await verify(dir);
  assert.deepEqual(errorsOf(before), []);
  assert.equal(before.events, seq);
  await restart(dir);
  const after = await verify(dir);
  assert.deepEqual(errorsOf(after), []);
  assert.equal(after.events, seq + 1);
  assert.ok(!zstdDecompressSync(readFileSync(fileOf(dir, '.jsonl.zst'))).includes(0));
});

test('a session that ends leaves nothing of its room, whatever it said', async (t) => {
  const dir = temporaryFolder(t);
  const recordings = await recorder(dir, { limits: { segmentBytes: 1_000_000 } });
  const recording = await session(recordings, 50);
  for (let i = 0; i < 60; i++) recording.permit(permitFor('x'), sql(`${'é'.repeat(i * 500)} ${i}`));
  await session(recordings, 50);
  await recording.end('client');
  await recordings.close();
  const result = await verify(dir);
  assert.deepEqual(errorsOf(result), []);
  assert.equal(result.events, 2 * (1 + 100 + 1) + 60);
});

test('a last line that was only partly put there is cut, in whatever order its bytes came', async (t) => {
  for (const [from, length] of [
    [0, 40],
    [30, 200],
    [-40, 40],
  ] as const) {
    const { dir, open, seq } = await abandoned(t, 100);
    const file = readFileSync(open);
    const end = file.lastIndexOf(0x0a) + 1;
    const start = file.lastIndexOf(0x0a, end - 2) + 1;
    const at = from < 0 ? end + from : start + from;
    file.fill(0, at, at + length);
    writeFileSync(open, file);
    await restart(dir);
    const result = await verify(dir);
    assert.deepEqual(errorsOf(result), [], `${from} ${length}`);
    assert.equal(result.events, seq - 1 + 1);
  }
});

test('zeros in the place of an event in the midst of others are found', async (t) => {
  const { dir, open } = await abandoned(t, 100);
  const file = readFileSync(open);
  const start = file.indexOf(0x0a, 20_000) + 1;
  file.fill(0, start, file.indexOf(0x0a, start));
  writeFileSync(open, file);
  assert.ok(errorsOf(await verify(dir)).length > 0);
  await restart(dir);
  assert.ok(errorsOf(await verify(dir)).length > 0);
});
