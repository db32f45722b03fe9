import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WireError, type WireErrorCode } from './errors.ts';
import { encodeAuthenticationOk } from './messages/authentication.ts';
import { encodeCommandComplete } from './messages/command_complete.ts';
import { encodeCopyData } from './messages/copy.ts';
import { encodeDataRow } from './messages/data_row.ts';
import { encodeEmpty } from './messages/empty.ts';
import { encodeReadyForQuery } from './messages/ready_for_query.ts';
import { encodeRowDescription, textColumn } from './messages/row_description.ts';
import { FrameSplitter, type SplitterLimits } from './splitter.ts';

const all = [
  encodeAuthenticationOk(),
  encodeReadyForQuery('I'),
  encodeEmpty('ParseComplete'),
  encodeEmpty('BindComplete'),
  encodeRowDescription([textColumn('a'), textColumn('ä')]),
  encodeDataRow([Buffer.from('x'), null]),
  encodeDataRow([Buffer.alloc(40, 'y'), Buffer.alloc(0)]),
  encodeCommandComplete('SELECT 2'),
  encodeCopyData(Buffer.alloc(60, 'z')),
  encodeEmpty('CopyDone'),
  encodeReadyForQuery('T'),
];
const stream = Buffer.concat(all);

/** Collects frames; `streamed` types that are cut come in pieces and are joined here. Chunks are overwritten after each push. */
function split(chunks: readonly Buffer[], streamed: readonly number[] = [], limits: Partial<SplitterLimits> = {}): Buffer[] {
  const frames: Buffer[] = [];
  let pieces: Buffer[] = [];
  let open = false;
  const splitter = new FrameSplitter(
    {
      header: (type, length) => {
        assert.ok(length >= 4 && !open);
        return streamed.includes(type) ? 'stream' : 'whole';
      },
      frame: (type, buffer, start, end) => {
        assert.equal(buffer[start], type);
        assert.equal(open, false);
        frames.push(Buffer.from(buffer.subarray(start, end)));
      },
      piece: (type, buffer, start, end, first, last) => {
        assert.equal(first, !open);
        assert.ok(streamed.includes(type) && end > start);
        if (first) assert.ok(end - start >= 5);
        pieces.push(Buffer.from(buffer.subarray(start, end)));
        open = !last;
        if (!last) return;
        frames.push(Buffer.concat(pieces));
        pieces = [];
      },
    },
    limits,
  );
  for (const chunk of chunks) {
    const lent = Buffer.from(chunk);
    splitter.push(lent);
    lent.fill(0xee);
  }
  assert.ok(splitter.idle);
  return frames;
}

const D = 0x44;
const d = 0x64;

for (const streamed of [[], [D, d]]) {
  test(`finds the same messages wherever the stream is cut in two (streamed: ${streamed.length})`, () => {
    for (let cut = 0; cut <= stream.length; cut++) {
      assert.deepEqual(split([stream.subarray(0, cut), stream.subarray(cut)], streamed), all, `cut at ${cut}`);
    }
  });

  test(`finds them byte by byte, and in any cuts (streamed: ${streamed.length})`, () => {
    assert.deepEqual(
      split(
        Array.from(stream, (byte) => Buffer.from([byte])),
        streamed,
      ),
      all,
    );
    const cuts = fc.array(fc.nat(stream.length), { maxLength: 12 }).map((list) => [0, ...list.sort((a, b) => a - b), stream.length]);
    fc.assert(
      fc.property(cuts, (list) => {
        assert.deepEqual(
          split(
            list.slice(1).map((end, i) => stream.subarray(list[i], end)),
            streamed,
          ),
          all,
        );
      }),
    );
  });
}

test('gives frames in place, so that a run of them can be forwarded as one slice', () => {
  const seen: [Buffer, number, number][] = [];
  const splitter = new FrameSplitter({ header: () => 'whole', frame: (_, ...where) => seen.push(where), piece: () => assert.fail() });
  splitter.push(stream);
  assert.ok(seen.every(([buffer]) => buffer === stream));
  assert.deepEqual(
    seen.map(([, start]) => start),
    [0, ...seen.slice(0, -1).map(([, , end]) => end)],
  );
  assert.equal(seen.at(-1)?.[2], stream.length);
});

test('a field of hundreds of megabytes passes in bounded memory', () => {
  const chunk = Buffer.alloc(65_536);
  const header = Buffer.alloc(5);
  header[0] = D;
  const chunks = 4096;
  header.writeUInt32BE(4 + chunks * chunk.length, 1);
  let bytes = 0;
  const splitter = new FrameSplitter({
    header: () => 'stream',
    frame: () => assert.fail(),
    piece: (_, __, start, end) => {
      bytes += end - start;
    },
  });
  const before = process.memoryUsage().arrayBuffers;
  splitter.push(header);
  for (let i = 0; i < chunks; i++) splitter.push(chunk);
  assert.equal(bytes, 5 + chunks * chunk.length);
  assert.ok(splitter.idle);
  assert.ok(process.memoryUsage().arrayBuffers - before < 1024 * 1024);
});

const header = (type: string, length: number): Buffer => {
  const bytes = Buffer.alloc(5);
  bytes[0] = type.charCodeAt(0);
  bytes.writeUInt32BE(length, 1);
  return bytes;
};
const refusals: { name: string; bytes: Buffer; code: WireErrorCode }[] = [
  { name: 'a type that is not one', bytes: Buffer.from('z'), code: 'unknown_type' },
  { name: 'a type that is not one, with length 0', bytes: header('z', 0), code: 'unknown_type' },
  { name: 'a frontend type', bytes: Buffer.from('Q'), code: 'unknown_type' },
  { name: 'a length of 3', bytes: header('D', 3), code: 'bad_length' },
  { name: 'a length of 0', bytes: header('D', 0), code: 'bad_length' },
  { name: 'a negative length', bytes: header('D', 0xffff_ffff), code: 'too_long' },
  { name: 'a length above the limit', bytes: header('D', 0x4000_0001), code: 'too_long' },
  { name: 'a ReadyForQuery without status', bytes: header('Z', 4), code: 'bad_length' },
  { name: 'a ReadyForQuery that goes on', bytes: header('Z', 6), code: 'bad_length' },
  { name: 'a ParseComplete with a body', bytes: header('1', 5), code: 'bad_length' },
  { name: 'a whole message above the limit', bytes: header('T', 1001), code: 'too_long' },
];
for (const { name, bytes, code } of refusals) {
  test(`refuses ${name}, and stays so`, () => {
    for (const chunks of [[bytes], Array.from(bytes, (byte) => Buffer.from([byte])), [Buffer.concat([encodeReadyForQuery('I'), bytes])]]) {
      const limits = { wholeBytes: 1000 };
      const isCode = (error: unknown): boolean => error instanceof WireError && error.code === code;
      assert.throws(() => split(chunks, [], limits), isCode);
      const splitter = new FrameSplitter({ header: () => 'whole', frame: () => {}, piece: () => {} }, limits);
      assert.throws(() => chunks.map((chunk) => splitter.push(chunk)), isCode);
      assert.throws(() => splitter.push(encodeReadyForQuery('I')), isCode);
    }
  });
}

test('an error of the sink ends the stream: what follows is never given out', () => {
  const splitter = new FrameSplitter({
    header: () => 'whole',
    frame: () => {
      throw new Error('SECRET');
    },
    piece: () => {},
  });
  assert.throws(() => splitter.push(stream), /SECRET/);
  assert.throws(
    () => splitter.push(stream),
    (error) => error instanceof WireError && !error.message.includes('SECRET'),
  );
});

test('a length alone does not make it allocate', () => {
  const before = process.memoryUsage().arrayBuffers;
  const splitters = Array.from({ length: 20 }, () => {
    const splitter = new FrameSplitter({ header: () => 'whole', frame: () => {}, piece: () => {} });
    splitter.push(header('D', 0x3ff_0000));
    return splitter;
  });
  assert.ok(process.memoryUsage().arrayBuffers - before < 4 * 1024 * 1024);
  assert.ok(splitters.every((splitter) => !splitter.idle));
});
