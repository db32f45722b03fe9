import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { appendFileSync, copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { errorsOf, verify } from '#cli/sessions/testing.ts';
import { sessionFolder } from '#crds/record/format.ts';
import { RecordingError } from './error.ts';
import { type LogLine, listLog, recorder, session, temporaryFolder } from './testing.ts';

/** Runs the child until it has said `lines` lines, kills it with SIGKILL, and returns every whole line that it had said. */
async function killedAfter(dir: string, sessions: readonly string[], lines: number, segmentBytes: number): Promise<readonly string[]> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'crash.child.ts'), dir, String(segmentBytes), ...sessions], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  let seen = 0;
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
    seen += chunk.split('\n').length - 1;
    if (seen >= lines) child.kill('SIGKILL');
  });
  const signal = await new Promise((resolve) => child.on('close', (_, by) => resolve(by)));
  assert.equal(signal, 'SIGKILL');
  return said.split('\n').slice(0, -1);
}

function filesOf(dir: string, suffix: string): readonly string[] {
  return readdirSync(join(dir, 'recordings'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(suffix))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function statements(dir: string): ReadonlySet<string> {
  const lines = filesOf(dir, '.jsonl.zst').flatMap((file) => zstdDecompressSync(readFileSync(file)).toString().trimEnd().split('\n'));
  return new Set(
    lines
      .map((line) => JSON.parse(line) as { session: string; seq: number; type: string; action?: { received: string } })
      .filter((event) => event.type === 'action')
      .map((event) => `${event.session} ${event.seq} ${event.action?.received.replace('select ', '')}`),
  );
}

/** What a process that is killed leaves: a copy of the folder while its recorder lives. */
async function abandoned(
  test: Parameters<typeof temporaryFolder>[0],
  statementsEach: number,
): Promise<{ readonly dir: string; readonly sessions: readonly string[] }> {
  const live = temporaryFolder(test);
  const dir = temporaryFolder(test);
  const recordings = await recorder(live);
  const sessions = [await session(recordings, statementsEach), await session(recordings, statementsEach)];
  recordings.flush();
  cpSync(live, dir, { recursive: true });
  await recordings.close();
  return { dir, sessions: sessions.map((one) => one.session) };
}

async function restarted(dir: string): Promise<readonly LogLine[]> {
  const lines: LogLine[] = [];
  const recordings = await recorder(dir, { log: listLog(lines) });
  await recordings.close();
  return lines;
}

describe('kill -9', () => {
  for (const [lines, segmentBytes] of [
    [5, 20_000],
    [1500, 20_000],
    [3000, 8_000_000],
  ] as const) {
    it(`loses no verdict of a forwarded statement (after ${lines}, in segments of ${segmentBytes} bytes)`, async (test) => {
      const dir = temporaryFolder(test);
      const sessions = [randomUUID(), randomUUID(), randomUUID()];
      const said = await killedAfter(dir, sessions, lines, segmentBytes);
      assert.ok(said.length >= lines);
      await restarted(dir);
      const recorded = statements(dir);
      assert.deepEqual(
        said.filter((line) => !recorded.has(line)),
        [],
      );
      const result = await verify(dir);
      assert.deepEqual(errorsOf(result), []);
      assert.equal(result.sessions, 3);
      assert.deepEqual(filesOf(dir, '.open.jsonl'), []);
    });
  }

  it('twice in a row: the second recorder dies as it recovers, or after', async (test) => {
    const dir = temporaryFolder(test);
    await killedAfter(dir, [randomUUID()], 300, 20_000);
    await killedAfter(dir, [randomUUID()], 300, 20_000);
    await restarted(dir);
    const result = await verify(dir);
    assert.deepEqual(errorsOf(result), []);
    assert.equal(result.sessions, 2);
  });
});

it('a folder verifies again and again while another process writes it', async (test) => {
  const dir = temporaryFolder(test);
  const child = spawn(process.execPath, [join(import.meta.dirname, 'crash.child.ts'), dir, '8000000', randomUUID()], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => child.stdout.once('data', resolve));
  child.stdout.resume();
  try {
    for (let i = 0; i < 10; i++) assert.deepEqual(errorsOf(await verify(dir)), []);
  } finally {
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('close', resolve));
  }
});

describe('the next start', () => {
  it('ends open sessions as interrupted, and says so', async (test) => {
    const { dir, sessions } = await abandoned(test, 2);
    const log = await restarted(dir);
    assert.deepEqual(
      log.map((line) => [line.level, line.fields]),
      [['warn', { sessions: 2 }]],
    );
    const events = filesOf(dir, '.jsonl.zst').map((file) => zstdDecompressSync(readFileSync(file)).toString().trimEnd().split('\n'));
    for (const lines of events) {
      const { seq, type, reason } = JSON.parse(lines.at(-1) ?? '') as { seq: number; type: string; reason: string };
      assert.deepEqual({ seq, type, reason }, { seq: 6, type: 'end', reason: 'interrupted' });
    }
    const result = await verify(dir);
    assert.deepEqual(errorsOf(result), []);
    assert.equal(result.sessions, sessions.length);
  });

  interface Case {
    readonly name: string;
    readonly spoil: (dir: string, open: string, ledger: string) => void;
    readonly events: number;
  }
  // Two sessions of two statements: a start, two actions with results, and the end that the next start writes.
  const cases: readonly Case[] = [
    { name: 'cuts a torn last line', spoil: (_, open) => appendFileSync(open, '{"v":1,"sess'), events: 12 },
    {
      name: 'cuts a last line that lacks its newline only',
      spoil: (_, open) => truncateSync(open, readFileSync(open).length - 1),
      events: 11,
    },
    { name: 'cuts a torn ledger line', spoil: (_, __, ledger) => appendFileSync(ledger, '{"v":1,"rec'), events: 12 },
    { name: 'closes a session whose first line is torn', spoil: (_, open) => truncateSync(open, 50), events: 6 },
    { name: 'closes a session whose file is still empty', spoil: (_, open) => truncateSync(open, 0), events: 6 },
    {
      name: 'seals again where a sealed file is not yet in the ledger',
      spoil: (_, open) => writeFileSync(open.replace('.open.jsonl', '.jsonl.zst'), 'half'),
      events: 12,
    },
    { name: 'clears what was about to be stored', spoil: (dir) => writeFileSync(join(dir, 'recordings.tmp', 'x-1'), 'half'), events: 12 },
    {
      name: 'removes a ledger that has no entry yet',
      spoil: (_, __, ledger) => {
        const file = ledger.replace(/recorder=[^/]+/, `recorder=${randomUUID()}`);
        mkdirSync(dirname(file));
        writeFileSync(file, '');
      },
      events: 12,
    },
  ];
  for (const { name, spoil, events } of cases) {
    it(name, async (test) => {
      const { dir } = await abandoned(test, 2);
      spoil(dir, filesOf(dir, '.open.jsonl')[0] ?? '', filesOf(dir, 'ledger.jsonl')[0] ?? '');
      await restarted(dir);
      const result = await verify(dir);
      assert.deepEqual(errorsOf(result), []);
      assert.equal(result.events, events);
      assert.deepEqual(filesOf(dir, '.open.jsonl'), []);
    });
  }

  it('finishes what a recorder that died between seal and removal left', async (test) => {
    const { dir } = await abandoned(test, 2);
    const opens = filesOf(dir, '.open.jsonl');
    const kept = temporaryFolder(test);
    for (const [index, open] of opens.entries()) copyFileSync(open, join(kept, String(index)));
    // A start that got as far as the seals and their ledger entries, but not to the sessions' ends.
    await restarted(dir);
    const ledger = filesOf(dir, 'ledger.jsonl').find((file) => readFileSync(file, 'utf8').includes('"recovered"')) ?? '';
    const entries = readFileSync(ledger, 'utf8').split('\n');
    writeFileSync(ledger, `${entries.slice(0, 2).join('\n')}\n`);
    const first = (JSON.parse(entries[1] ?? '') as { session: string }).session;
    for (const [index, open] of opens.entries()) {
      copyFileSync(join(kept, String(index)), open);
      if (!open.includes(first)) rmSync(open.replace('.open.jsonl', '.jsonl.zst'));
    }
    const between = await verify(dir);
    assert.ok(between.findings.some((finding) => finding.code === 'SegmentOpenBesideSealed' && finding.session === first));
    await restarted(dir);
    const result = await verify(dir);
    assert.deepEqual(errorsOf(result), []);
    assert.equal(result.events, 12);
  });

  it('tells the ledger again of a sealed segment whose entry the machine’s crash lost', async (test) => {
    const live = temporaryFolder(test);
    const dir = temporaryFolder(test);
    const recordings = await recorder(live, { limits: { segmentBytes: 3000 } });
    await session(recordings, 8);
    while (filesOf(live, '.jsonl.zst').length === 0 || filesOf(live, '.open.jsonl').length !== 1)
      await new Promise((resolve) => setTimeout(resolve, 2));
    recordings.flush();
    cpSync(live, dir, { recursive: true });
    await recordings.close();
    const ledger = filesOf(dir, 'ledger.jsonl')[0] ?? '';
    const entries = readFileSync(ledger, 'utf8').split('\n');
    assert.ok(entries.length > 3);
    writeFileSync(ledger, `${entries.slice(0, 2).join('\n')}\n`);
    await restarted(dir);
    const result = await verify(dir);
    assert.deepEqual(errorsOf(result), []);
    assert.equal(result.events, 18);
  });

  it('does not adopt a session that no ledger began', async (test) => {
    const { dir, sessions } = await abandoned(test, 1);
    const open = filesOf(dir, '.open.jsonl')[0] ?? '';
    const planted = randomUUID();
    const folder = dirname(open).replace(sessions.find((one) => open.includes(one)) ?? '?', planted);
    cpSync(dirname(open), folder, { recursive: true });
    await restarted(dir);
    assert.ok(readdirSync(folder).some((name) => name.endsWith('.open.jsonl')));
    const result = await verify(dir);
    assert.ok(errorsOf(result).some((finding) => finding.code === 'SessionNotInLedger' && finding.session === planted));
  });

  it('goes on missing a session that was taken away before it', async (test) => {
    const { dir } = await abandoned(test, 1);
    const folder = dirname(filesOf(dir, '.open.jsonl')[0] ?? '');
    rmSync(folder, { recursive: true });
    const log = await restarted(dir);
    assert.ok(log.some((line) => line.level === 'error'));
    const gone = errorsOf(await verify(dir)).filter((finding) => finding.code === 'SessionMissing');
    assert.equal(gone.length, 1);
    assert.ok(
      folder.endsWith(
        sessionFolder({ date: '', cluster: '', namespace: '', session: gone[0]?.session ?? '' })
          .split('/')
          .at(-1) ?? '?',
      ),
    );
  });

  it('seals an event that was changed as it is, and verification names it', async (test) => {
    const { dir } = await abandoned(test, 2);
    const open = filesOf(dir, '.open.jsonl')[0] ?? '';
    writeFileSync(open, readFileSync(open, 'utf8').replace('select 1 from', 'select 9 from'));
    await restarted(dir);
    const errors = errorsOf(await verify(dir));
    assert.deepEqual(
      errors.map((finding) => [finding.code, finding.seq]),
      [['EventChanged', 4]],
    );
  });

  it('is refused while the killed recorder’s successor lives', async (test) => {
    const { dir } = await abandoned(test, 1);
    const recordings = await recorder(dir);
    await assert.rejects(recorder(dir), (error: unknown) => error instanceof RecordingError && error.code === 'Locked');
    await recordings.close();
  });
});
