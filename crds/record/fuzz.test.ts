import assert from 'node:assert/strict';
import { hash } from 'node:crypto';
import { describe, it } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import fc from 'fast-check';
import { nodePlatform } from '#sidecar/record/platform.ts';
import { concat, linesOf, utf8 } from './bytes.ts';
import { FINDING_CODES, type Finding } from './finding.ts';
import { headFile, ledgerChunkFile, storedFile } from './format.ts';
import { sealedLayout, skippableFrame } from './frames.ts';
import { parseHead, parseHeader, parseLedgerEntry, parseSeal } from './parse.ts';
import { MAX_SEGMENT_BYTES, takeApart } from './segment.ts';
import { verifyLedgers } from './verify-all.ts';
import { readHeads } from './verify-heads.ts';
import { verifySession } from './verify-session.ts';

const PLATFORM = nodePlatform(new Map());
const PLACE = { date: '2026-01-01', cluster: 'standalone', namespace: 'shop', session: '00000000-0000-4000-8000-000000000000' };
const HASH = hash('sha256', 'x');
const RECORDER = '00000000-0000-4000-8000-000000000001';

const HEADER = JSON.stringify({
  v: 1,
  format: 'chaperone-recording',
  session: PLACE.session,
  segment: 1,
  firstSeq: 1,
  previous: null,
  opened: '2026-01-01T00:00:00.000Z',
  date: PLACE.date,
  cluster: PLACE.cluster,
  namespace: PLACE.namespace,
  recorder: RECORDER,
  algorithms: { hash: 'sha256', signature: 'ed25519', compression: 'zstd' },
  keyId: HASH,
  certificates: [],
  encryption: null,
});
const SEAL = JSON.stringify({
  v: 1,
  sha256: HASH,
  previous: null,
  events: 1,
  lastSeq: 1,
  head: HASH,
  sealed: '2026-01-01T00:00:00.000Z',
  recorder: RECORDER,
  recovered: false,
  keyId: HASH,
  signature: '0'.repeat(128),
});
const ENTRY = JSON.stringify({
  v: 1,
  recorder: RECORDER,
  entry: 1,
  previous: HASH,
  time: '2026-01-01T00:00:00.000Z',
  type: 'recorderStart',
  found: [{ recorder: RECORDER, entries: 1, head: HASH }],
  keyId: HASH,
  signature: '0'.repeat(128),
});
const HEAD = JSON.stringify({
  v: 1,
  format: 'chaperone-recording-head',
  recorder: RECORDER,
  entries: 1,
  head: HASH,
  time: '2026-01-01T00:00:00.000Z',
  cluster: 'cluster',
  namespace: 'ci',
  serviceAccount: 'runner',
  pod: 'runner-1',
  podUid: RECORDER,
  keyId: HASH,
  certificates: ['x'],
  signature: '0'.repeat(128),
});
const EVENT = `{"v":1,"session":"${PLACE.session}","seq":1,"time":"2026-01-01T00:00:00.000Z","channel":0,"type":"start","resource":null,"hash":"${HASH}"}\n`;

function sealed(body: Uint8Array): Uint8Array {
  return concat(skippableFrame(utf8(HEADER)), body, skippableFrame(utf8(SEAL)));
}

async function verifyOne(bytes: Uint8Array, state: 'open' | 'sealed'): Promise<readonly Finding[]> {
  return (await verifySession(PLACE, [{ file: 'f', segment: 1, state, read: async () => bytes }], PLATFORM)).findings;
}

/** A whole file, with a few bytes replaced, cut out or put in. */
function spoiled(whole: Uint8Array): fc.Arbitrary<Uint8Array> {
  const edit = fc.record({ at: fc.nat(), remove: fc.nat(40), put: fc.uint8Array({ maxLength: 40 }) });
  return fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) =>
    edits.reduce((bytes, { at, remove, put }) => {
      const from = at % (bytes.length + 1);
      return concat(bytes.subarray(0, from), put, bytes.subarray(Math.min(bytes.length, from + remove)));
    }, whole),
  );
}

describe('what a recorder writes is understood', () => {
  it('header, seal and ledger entry', () => {
    assert.equal(parseHeader(utf8(HEADER)).type, 'ok');
    assert.notEqual(parseSeal(utf8(SEAL)), null);
    assert.notEqual(parseLedgerEntry(utf8(ENTRY)), null);
    assert.notEqual(parseHead(utf8(HEAD)), null);
  });

  const headers: readonly (readonly [string, string, string])[] = [
    ['another version', HEADER.replace('"v":1', '"v":2'), 'notSupported'],
    ['an encryption envelope', HEADER.replace('"encryption":null', '"encryption":{"key":"x"}'), 'notSupported'],
    ['certificates', HEADER.replace('"certificates":[]', '"certificates":["x"]'), 'ok'],
    ['certificates that are no text', HEADER.replace('"certificates":[]', '"certificates":[1]'), 'invalid'],
    ['a member too many', HEADER.replace('{', '{"x":1,'), 'invalid'],
    ['a member too few', HEADER.replace('"firstSeq":1,', ''), 'invalid'],
    ['a namespace that is a path', HEADER.replace('"shop"', '"../shop"'), 'invalid'],
    ['another hash', HEADER.replace('"sha256"', '"md5"'), 'invalid'],
  ];
  for (const [name, text, type] of headers) it(`a header with ${name} is ${type}`, () => assert.equal(parseHeader(utf8(text)).type, type));

  it('a seal or an entry with a member too many, or a signature that is not last, is not', () => {
    assert.equal(parseSeal(utf8(SEAL.replace('{', '{"x":1,'))), null);
    assert.equal(parseSeal(utf8(SEAL.replace('}', ',"x":1}'))), null);
    assert.equal(parseLedgerEntry(utf8(ENTRY.replace('"recorderStart"', '"toString"'))), null);
    assert.equal(parseLedgerEntry(utf8(`${ENTRY} `)), null);
  });
});

describe('garbage is named, and never thrown', () => {
  const wholes: readonly (readonly [string, 'open' | 'sealed', Uint8Array])[] = [
    ['a sealed segment', 'sealed', sealed(zstdCompressSync(EVENT))],
    ['an open segment', 'open', utf8(`${HEADER}\n${EVENT}`)],
  ];
  for (const [name, state, whole] of wholes) {
    it(`${name}, spoiled`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.oneof(spoiled(whole), fc.uint8Array({ maxLength: 300 })), async (bytes) => {
          const findings = await verifyOne(bytes, state);
          assert.ok(findings.length > 0);
          for (const finding of findings) assert.ok(FINDING_CODES.includes(finding.code));
        }),
        { numRuns: 500 },
      );
    });
  }

  it('a ledger, spoiled', async () => {
    const whole = utf8(`${ENTRY}\n${ENTRY}\n`);
    await fc.assert(
      fc.asyncProperty(spoiled(whole), async (bytes) => {
        const { findings } = await verifyLedgers([{ file: 'f', recorder: RECORDER, read: async () => bytes }], PLATFORM);
        for (const finding of findings) assert.ok(FINDING_CODES.includes(finding.code));
      }),
      { numRuns: 500 },
    );
  });

  it('a countersigned head, spoiled, counts for nothing', async () => {
    const certify = () => ({ type: 'certified', owner: { type: 'authority' }, notBefore: '', notAfter: '9', verify: () => false }) as const;
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.constant(utf8(HEAD)), spoiled(utf8(HEAD))), async (bytes) => {
        const findings: Finding[] = [];
        const stored = { file: 'f', recorder: RECORDER, entries: 1, read: async () => bytes };
        assert.deepEqual(await readHeads([stored], { ...PLATFORM, certify }, findings), []);
        assert.deepEqual(
          findings.map((finding) => finding.code),
          ['HeadInvalid'],
        );
      }),
      { numRuns: 500 },
    );
  });

  it('JSON of any shape in place of header, seal, event and entry', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (value) => {
        const bytes = utf8(JSON.stringify(value));
        assert.notEqual(parseHeader(bytes).type, 'ok');
        assert.equal(parseSeal(bytes), null);
        assert.equal(parseLedgerEntry(bytes), null);
        assert.equal(parseHead(bytes), null);
        assert.ok((await verifyOne(utf8(`${HEADER}\n${JSON.stringify(value)}\n`), 'open')).length > 0);
      }),
      { numRuns: 500 },
    );
  });

  it('any path is a file of ours in one spelling only, or unknown', () => {
    assert.deepEqual(storedFile(ledgerChunkFile(RECORDER, 12)), { type: 'ledgerChunk', recorder: RECORDER, chunk: 12 });
    assert.deepEqual(storedFile(headFile(RECORDER, 12)), { type: 'head', recorder: RECORDER, entries: 12 });
    assert.equal(
      storedFile('date=2026-01-01/cluster=standalone/namespace=shop/session=00000000-0000-4000-8000-000000000000/segment-000001.jsonl.zst')
        .type,
      'segment',
    );
    for (const path of [
      'date=2026-01-01/cluster=standalone/namespace=shop/session=00000000-0000-4000-8000-000000000000/segment-0000001.jsonl.zst',
      'date=2026-01-01/cluster=standalone/namespace=shop/session=00000000-0000-4000-8000-000000000000/segment-000000.jsonl.zst',
      'date=2026-01-01/cluster=standalone/namespace=../session=00000000-0000-4000-8000-000000000000/segment-000001.jsonl.zst',
      'date=2026-01-01/cluster=standalone/namespace=shop/session=00000000-0000-4000-8000-00000000000A/segment-000001.jsonl.zst',
      'ledger/recorder=00000000-0000-4000-8000-000000000000/ledger.jsonl\n',
      'ledger/recorder=00000000-0000-4000-8000-000000000000/ledger-000000.jsonl',
      'ledger/recorder=00000000-0000-4000-8000-000000000000/ledger-0000001.jsonl',
      'heads/recorder=00000000-0000-4000-8000-000000000000/1.json',
    ]) {
      assert.equal(storedFile(path).type, 'unknown', path);
    }
  });

  it('lines are the bytes, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const back = [...linesOf(bytes)].map((line) => (line.whole ? concat(line.bytes, utf8('\n')) : line.bytes));
        assert.deepEqual(concat(...back), Uint8Array.from(bytes));
      }),
    );
  });
});

describe('memory is bounded', () => {
  it('a zstd bomb is refused', async () => {
    const bomb = zstdCompressSync(Buffer.alloc(MAX_SEGMENT_BYTES + 1));
    assert.ok(bomb.length < 100_000);
    assert.equal(takeApart(sealed(bomb), 'sealed', PLATFORM).body, null);
    assert.ok((await verifyOne(sealed(bomb), 'sealed')).some((finding) => finding.code === 'BodyInvalid'));
  });

  it('so are many frames that are a bomb together', () => {
    const frame = zstdCompressSync(Buffer.alloc(MAX_SEGMENT_BYTES / 8));
    assert.equal(takeApart(sealed(concat(...Array.from({ length: 9 }, () => frame))), 'sealed', PLATFORM).body, null);
  });

  it('a header that claims to be long is not waited for', () => {
    const long = skippableFrame(new Uint8Array(8));
    long[7] = 0x7f;
    assert.deepEqual(sealedLayout(long), { type: 'header', header: null });
  });
});

it('an open segment whose last line has a zero byte is told to be torn, not to be without it', async () => {
  const own = (body: string) => verifyOne(utf8(`${HEADER}\n${body}`), 'open');
  const codes = async (body: string) => (await own(body)).map(({ code }) => code);
  const spoiledLines = [
    `\0${EVENT}`,
    EVENT.replace('start', 'sta\0t'),
    EVENT.slice(0, 40),
    `${EVENT.slice(0, 40)}\0\0\0`,
    EVENT.replace('\n', '\0\n'),
  ];
  for (const body of spoiledLines)
    assert.ok(
      (await codes(body)).some((code) => code === 'LineTorn' || code === 'EventInvalid'),
      JSON.stringify(body),
    );
  // Room that was taken ahead says nothing.
  assert.deepEqual(await codes(`${EVENT}\0\0\0`), await codes(EVENT));
});
