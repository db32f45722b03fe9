import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WireError } from './errors.ts';
import { FrameReader } from './frame.ts';
import { FrameSplitter } from './splitter.ts';
import { BACKEND, FRONTEND } from './types.ts';

/** Any bytes in any cuts: frames or a WireError, all bytes accounted for, and never a call without progress. */

const headers = (types: Record<string, number>) =>
  fc
    .tuple(
      fc.constantFrom(...Object.values(types), 0, 0x7a),
      fc.oneof(fc.integer({ min: 0, max: 40 }), fc.nat(0xffff_ffff)),
      fc.uint8Array({ maxLength: 40 }),
    )
    .map(([type, length, body]) => {
      const header = Buffer.alloc(5);
      header[0] = type;
      header.writeUInt32BE(length, 1);
      return Buffer.concat([header, body]);
    });

const streams = (types: Record<string, number>) =>
  fc.oneof(
    fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 }).map((list) => list.map((bytes) => Buffer.from(bytes))),
    fc.array(headers(types), { maxLength: 10 }),
  );

test('the reader: any client', () => {
  fc.assert(
    fc.property(streams(FRONTEND), fc.constantFrom('startup', 'login', 'session' as const), (chunks, phase) => {
      const reader = new FrameReader();
      if (phase !== 'startup') reader.enter(phase);
      const all = Buffer.concat(chunks);
      let out = 0;
      let given = 0;
      try {
        for (const chunk of chunks) {
          reader.push(chunk);
          given += chunk.length;
          for (let frame = reader.next(); frame; frame = reader.next()) {
            const bytes = frame.buffer.subarray(frame.start, frame.end);
            assert.ok(bytes.length >= 5 || phase === 'startup');
            assert.deepEqual(bytes, all.subarray(out, out + bytes.length));
            out += bytes.length;
          }
          assert.equal(reader.buffered, given - out);
        }
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        assert.throws(() => reader.next(), WireError);
      }
    }),
    { numRuns: 2000 },
  );
});

test('the splitter: any server', () => {
  fc.assert(
    fc.property(streams(BACKEND), fc.boolean(), (chunks, stream) => {
      const all = Buffer.concat(chunks);
      let out = 0;
      const take = (_type: number, buffer: Buffer, start: number, end: number): void => {
        assert.ok(end > start);
        assert.deepEqual(buffer.subarray(start, end), all.subarray(out, out + end - start));
        out += end - start;
      };
      const splitter = new FrameSplitter({ header: () => (stream ? 'stream' : 'whole'), frame: take, piece: take });
      try {
        for (const chunk of chunks) splitter.push(chunk);
        if (splitter.idle) assert.equal(out, all.length);
      } catch (error) {
        if (!(error instanceof WireError)) throw error;
        assert.throws(() => splitter.push(Buffer.alloc(1)), WireError);
      }
    }),
    { numRuns: 2000 },
  );
});
