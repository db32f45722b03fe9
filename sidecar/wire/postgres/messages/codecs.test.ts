import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { WireError } from '../errors.ts';
import { CODECS, type Codec } from './codecs.testdata.ts';

/** Every decoder against its encoder: the same meaning back, and nothing but that very frame is taken. */

for (const codec of CODECS) {
  describe(codec.name, () => {
    const { arbitrary, encode, decode } = codec as unknown as Codec<unknown>;

    test('decodes what was encoded, wherever the frame lies in its buffer', () => {
      fc.assert(
        fc.property(arbitrary, fc.nat(9), fc.nat(9), (message, before, behind) => {
          const frame = encode(message);
          const buffer = Buffer.concat([Buffer.alloc(before, 0x41), frame, Buffer.alloc(behind, 0x41)]);
          assert.deepEqual(decode(buffer, before, before + frame.length), message);
        }),
        { numRuns: 60 },
      );
    });

    test('writes the length of what it wrote', () => {
      fc.assert(
        fc.property(arbitrary, (message) => {
          const frame = encode(message);
          const typed = codec.untyped ? 0 : 1;
          assert.equal(frame.readUInt32BE(typed), frame.length - typed);
        }),
        { numRuns: 20 },
      );
    });

    test('refuses a frame that is cut short anywhere', () => {
      if (codec.openEnded) return assert.ok(codec.openEnded);
      for (const message of fc.sample(arbitrary, { numRuns: 10, seed: 7 })) {
        const frame = encode(message);
        for (let end = codec.untyped ? 4 : 5; end < frame.length; end++) {
          assert.throws(() => decode(frame, 0, end), WireError, `${frame.toString('hex')} up to ${end}`);
        }
      }
    });

    test('refuses bytes that are left over', () => {
      if (codec.openEnded) return assert.ok(codec.openEnded);
      for (const message of fc.sample(arbitrary, { numRuns: 10, seed: 8 })) {
        for (const extra of [0, 1, 0x41, 0xff]) {
          const frame = Buffer.concat([encode(message), Buffer.from([extra])]);
          assert.throws(() => decode(frame, 0, frame.length), WireError);
        }
      }
    });

    test('any bytes: an answer or a WireError, and never a byte from beyond the frame', () => {
      const run = (bytes: Uint8Array): void => {
        const buffer = Buffer.concat([bytes, Buffer.alloc(300, 0x53)]);
        try {
          assert.ok(!JSON.stringify(decode(buffer, 0, bytes.length) ?? null).includes('SSSSSSSS'));
        } catch (error) {
          if (!(error instanceof WireError)) throw error;
        }
      };
      const smallBytes = fc.uint8Array({ minLength: 5, maxLength: 60, max: 82 });
      fc.assert(fc.property(smallBytes, run), { numRuns: 300 });
      const mutated = fc.tuple(arbitrary, fc.nat(), fc.nat(255)).map(([message, at, value]) => {
        const frame = Buffer.from(encode(message));
        frame[at % frame.length] = value;
        return frame.includes(0x53, 1) ? Buffer.alloc(5) : frame;
      });
      fc.assert(fc.property(mutated, run), { numRuns: 300 });
    });
  });
}
