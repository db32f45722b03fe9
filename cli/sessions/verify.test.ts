import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { concat } from '#crds/record/bytes.ts';
import type { FindingCode } from '#crds/record/finding.ts';
import { sealedLayout, skippableFrame } from '#crds/record/frames.ts';
import { takeApart } from '#crds/record/segment.ts';
import { nodePlatform } from '#sidecar/record/platform.ts';
import { recordSome } from '#sidecar/record/testing.ts';
import { errorsOf, verify } from './testing.ts';

/** A copy of the recordings that a case may spoil. */
interface Copy {
  readonly dir: string;
  readonly sessions: readonly string[];
  /** Folder of a session. */
  of(session: number): string;
  segment(session: number, segment: number): string;
  /** Ledgers, the older first. */
  readonly ledgers: readonly string[];
}

let dir = '';
let other = '';
let recorded: Awaited<ReturnType<typeof recordSome>>;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), 'chaperone-verify-'));
  other = mkdtempSync(join(tmpdir(), 'chaperone-verify-'));
  recorded = await recordSome(dir);
  await recordSome(other);
});
after(() => {
  rmSync(dir, { recursive: true, force: true });
  rmSync(other, { recursive: true, force: true });
});

function copyOf(state: string, sessions: readonly string[]): Copy {
  const copy = mkdtempSync(join(tmpdir(), 'chaperone-verify-'));
  cpSync(state, copy, { recursive: true });
  const files = filesOf(copy);
  const of = (index: number) => dirname(files.find((file) => file.includes(`session=${sessions[index]}`)) ?? '');
  const segment = (index: number, number: number) => join(of(index), `segment-${String(number).padStart(6, '0')}.jsonl.zst`);
  const ledgers = files.filter((file) => file.endsWith('ledger.jsonl'));
  const age = (file: string) => (JSON.parse(readFileSync(file, 'utf8').split('\n')[0] ?? '') as { found: unknown[] }).found.length;
  return { dir: copy, sessions, of, segment, ledgers: ledgers.sort((a, b) => age(a) - age(b)) };
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

function lines(file: string): string[] {
  return readFileSync(file, 'utf8').trimEnd().split('\n');
}

function writeLines(file: string, all: readonly string[]): void {
  writeFileSync(file, all.map((line) => `${line}\n`).join(''));
}

function bodyOf(file: string): string[] {
  const parts = takeApart(readFileSync(file), 'sealed', nodePlatform(new Map()));
  return Buffer.from(parts.body ?? [])
    .toString()
    .trimEnd()
    .split('\n');
}

/** Stores other events under the old header and the old seal, as someone without the key can. */
function recompress(file: string, change: (events: string[]) => string[]): void {
  const found = sealedLayout(readFileSync(file));
  assert.equal(found.type, 'ok');
  if (found.type !== 'ok') return;
  const body = zstdCompressSync(Buffer.from(`${change(bodyOf(file)).join('\n')}\n`));
  writeFileSync(file, concat(skippableFrame(found.layout.header), body, skippableFrame(found.layout.seal)));
}

function flip(file: string, at: number): void {
  const bytes = readFileSync(file);
  const index = at < 0 ? bytes.length + at : at;
  bytes[index] = (bytes[index] ?? 0) ^ 0x04;
  writeFileSync(file, bytes);
}

function bodyAt(file: string): number {
  return 8 + readFileSync(file).readUInt32LE(4);
}

interface Case {
  readonly name: string;
  readonly spoil: (copy: Copy) => void;
  /** Finding that must be there, with what it must name. */
  readonly code: FindingCode;
  readonly session?: number;
  readonly segment?: number;
  readonly seq?: number;
  readonly file?: (copy: Copy) => string;
  readonly expectHead?: true;
}

const CASES: readonly Case[] = [
  { name: 'a bit flipped in a header', spoil: (c) => flip(c.segment(0, 2), 60), code: 'BytesChanged', session: 0, segment: 2 },
  { name: 'a bit flipped in the first byte', spoil: (c) => flip(c.segment(0, 2), 0), code: 'HeaderInvalid', session: 0, segment: 2 },
  {
    name: 'a bit flipped in the events',
    spoil: (c) => flip(c.segment(0, 2), bodyAt(c.segment(0, 2)) + 40),
    code: 'BytesChanged',
    session: 0,
    segment: 2,
  },
  {
    name: 'a digit changed in a signature',
    spoil: (c) => {
      const bytes = readFileSync(c.segment(0, 2));
      bytes.write(bytes.at(-9) === 0x30 ? '1' : '0', bytes.length - 9);
      writeFileSync(c.segment(0, 2), bytes);
    },
    code: 'SignatureInvalid',
    session: 0,
    segment: 2,
  },
  { name: 'a bit flipped in a seal’s numbers', spoil: (c) => flip(c.segment(1, 1), -300), code: 'SegmentChanged', session: 1, segment: 1 },
  {
    name: 'an event changed, the segment compressed again',
    spoil: (c) => recompress(c.segment(1, 1), (events) => events.map((line) => line.replace('select 1 from', 'select 2 from'))),
    code: 'EventChanged',
    session: 1,
    segment: 1,
    seq: 4,
  },
  {
    name: 'an event removed, the segment compressed again',
    spoil: (c) => recompress(c.segment(1, 1), (events) => events.toSpliced(3, 1)),
    code: 'EventMissing',
    session: 1,
    segment: 1,
    seq: 4,
  },
  {
    name: 'the last event removed, the segment compressed again',
    spoil: (c) => recompress(c.segment(1, 1), (events) => events.slice(0, -1)),
    code: 'EventsDifferFromSeal',
    session: 1,
    segment: 1,
  },
  {
    name: 'two events swapped',
    spoil: (c) => recompress(c.segment(1, 1), ([a = '', b = '', ...rest]) => [b, a, ...rest]),
    code: 'EventOutOfOrder',
    session: 1,
    segment: 1,
    seq: 1,
  },
  {
    name: 'the same events, compressed again',
    spoil: (c) => recompress(c.segment(0, 1), (events) => [...events.slice(0, -1), `${events.at(-1)}`]),
    code: 'BytesChanged',
    session: 0,
    segment: 1,
  },
  { name: 'a segment removed from the middle', spoil: (c) => rmSync(c.segment(0, 2)), code: 'SegmentMissing', session: 0, segment: 2 },
  { name: 'the first segment removed', spoil: (c) => rmSync(c.segment(0, 1)), code: 'SegmentMissing', session: 0, segment: 1 },
  { name: 'the last segment removed', spoil: (c) => rmSync(c.segment(0, 4)), code: 'SegmentMissing', session: 0, segment: 4 },
  {
    name: 'two segments swapped: the first is named',
    spoil: (c) => swap(c.segment(0, 2), c.segment(0, 3)),
    code: 'HeaderMisplaced',
    session: 0,
    segment: 2,
  },
  {
    name: 'two segments swapped: the second is named',
    spoil: (c) => swap(c.segment(0, 2), c.segment(0, 3)),
    code: 'HeaderMisplaced',
    session: 0,
    segment: 3,
  },
  {
    name: 'a segment cut',
    spoil: (c) => writeFileSync(c.segment(0, 3), readFileSync(c.segment(0, 3)).subarray(0, -100)),
    code: 'SealMissing',
    session: 0,
    segment: 3,
  },
  { name: 'a segment emptied', spoil: (c) => writeFileSync(c.segment(0, 3), ''), code: 'HeaderInvalid', session: 0, segment: 3 },
  {
    name: 'bytes put after a seal',
    spoil: (c) => writeFileSync(c.segment(0, 3), Buffer.concat([readFileSync(c.segment(0, 3)), Buffer.from('x')])),
    code: 'SealMissing',
    session: 0,
    segment: 3,
  },
  { name: 'a session removed whole', spoil: (c) => rmSync(c.of(1), { recursive: true }), code: 'SessionMissing', session: 1 },
  {
    name: 'a session of another key',
    spoil: (c) => {
      const forged = join(other, 'recordings');
      for (const name of readdirSync(forged).filter((one) => one.startsWith('date=')))
        cpSync(join(forged, name), join(c.dir, 'recordings', name), { recursive: true });
    },
    code: 'KeyUnknown',
    segment: 1,
  },
  {
    name: 'a session of another key with its ledger',
    spoil: (c) => cpSync(join(other, 'recordings'), join(c.dir, 'recordings'), { recursive: true }),
    code: 'SessionNotInLedger',
  },
  {
    name: 'a session copied under another ID',
    spoil: (c) => cpSync(c.of(1), join(dirname(c.of(1)), 'session=00000000-0000-4000-8000-000000000000'), { recursive: true }),
    code: 'SessionNotInLedger',
  },
  {
    name: 'a session copied to another namespace',
    spoil: (c) => cpSync(c.of(1), c.of(1).replace('namespace=shop', 'namespace=other'), { recursive: true }),
    code: 'SessionDuplicated',
    session: 1,
  },
  {
    name: 'a session moved to another day',
    spoil: (c) => {
      const target = c.of(1).replace(/date=[\d-]+/, 'date=2001-01-01');
      mkdirSync(dirname(target), { recursive: true });
      renameSync(c.of(1), target);
    },
    code: 'HeaderMisplaced',
    session: 1,
  },
  {
    name: 'a ledger entry edited',
    spoil: (c) =>
      writeLines(
        c.ledgers[1] ?? '',
        lines(c.ledgers[1] ?? '').map((line) => line.replace('"reason":"client"', '"reason":"policy"')),
      ),
    code: 'LedgerEntryChanged',
  },
  {
    name: 'a ledger entry removed',
    spoil: (c) => writeLines(c.ledgers[1] ?? '', lines(c.ledgers[1] ?? '').toSpliced(3, 1)),
    code: 'LedgerChainBroken',
  },
  {
    name: 'two ledger entries swapped',
    spoil: (c) => writeLines(c.ledgers[1] ?? '', swapped(lines(c.ledgers[1] ?? ''), 2, 3)),
    code: 'LedgerChainBroken',
  },
  { name: 'the older ledger cut', spoil: (c) => writeLines(c.ledgers[0] ?? '', lines(c.ledgers[0] ?? '').slice(0, -1)), code: 'LedgerCut' },
  { name: 'the older ledger removed', spoil: (c) => rmSync(c.ledgers[0] ?? ''), code: 'LedgerMissing' },
  { name: 'all ledgers removed', spoil: (c) => rmSync(join(c.dir, 'recordings/ledger'), { recursive: true }), code: 'LedgerMissing' },
  { name: 'everything removed', spoil: (c) => emptied(join(c.dir, 'recordings')), code: 'LedgerMissing' },
  {
    name: 'a session and the ledger’s tail removed, with the head kept',
    spoil: (c) => {
      rmSync(c.of(2), { recursive: true });
      const entries = lines(c.ledgers[1] ?? '');
      writeLines(
        c.ledgers[1] ?? '',
        entries.slice(
          0,
          entries.findIndex((line) => line.includes(c.sessions[2] ?? '?')),
        ),
      );
    },
    code: 'LedgerHeadMissing',
    expectHead: true,
  },
  {
    name: 'the last ledger entry removed, with the head kept',
    spoil: (c) => writeLines(c.ledgers[1] ?? '', lines(c.ledgers[1] ?? '').slice(0, -1)),
    code: 'LedgerHeadMissing',
    expectHead: true,
  },
  {
    name: 'the ledger cut in a line',
    spoil: (c) => writeFileSync(c.ledgers[1] ?? '', readFileSync(c.ledgers[1] ?? '').subarray(0, -40)),
    code: 'LedgerTorn',
  },
  { name: 'an unknown file', spoil: (c) => writeFileSync(join(c.of(1), 'notes.txt'), 'x'), code: 'UnknownFile' },
  {
    name: 'the recordings of another time put inside',
    spoil: (c) => {
      cpSync(join(dir, 'recordings'), join(c.dir, 'recordings/recordings'), { recursive: true });
      rmSync(c.of(1), { recursive: true });
    },
    code: 'SessionMissing',
    session: 1,
  },
  { name: 'a link in place of a segment', spoil: (c) => linked(c.segment(1, 1)), code: 'UnknownFile' },
  {
    name: 'an open segment put beside a sealed one',
    spoil: (c) => writeFileSync(c.segment(1, 1).replace('.jsonl.zst', '.open.jsonl'), '{}\n{}\n'),
    code: 'SegmentOpenBesideSealed',
    session: 1,
    segment: 1,
  },
  {
    name: 'an open segment put after the end',
    spoil: (c) => writeFileSync(c.segment(1, 2).replace('.jsonl.zst', '.open.jsonl'), '{}\n{}\n'),
    code: 'SegmentOpen',
    session: 1,
    segment: 2,
  },
];

describe('what was done to a recording is caught and named', () => {
  for (const one of CASES) {
    it(one.name, async () => {
      const copy = copyOf(dir, recorded.sessions);
      try {
        one.spoil(copy);
        const folder = join(copy.dir, 'recordings');
        const result = await verify(folder, one.expectHead ? { expectHead: recorded.head } : {});
        assert.equal(result.code, 1);
        const found = errorsOf(result).filter(
          (finding) =>
            finding.code === one.code &&
            (one.session === undefined || finding.session === recorded.sessions[one.session]) &&
            (one.segment === undefined || finding.segment === one.segment) &&
            (one.seq === undefined || finding.seq === one.seq),
        );
        assert.notEqual(found.length, 0, JSON.stringify(errorsOf(result), null, 1));
      } finally {
        rmSync(copy.dir, { recursive: true, force: true });
      }
    });
  }
});

function swap(a: string, b: string): void {
  renameSync(a, `${a}.x`);
  renameSync(b, a);
  renameSync(`${a}.x`, b);
}

function swapped(all: string[], a: number, b: number): string[] {
  return all.with(a, all[b] ?? '').with(b, all[a] ?? '');
}

function emptied(folder: string): void {
  rmSync(folder, { recursive: true });
  mkdirSync(folder);
}

function linked(file: string): void {
  renameSync(file, `${file}.moved`);
  symlinkSync(`${file}.moved`, file);
}
