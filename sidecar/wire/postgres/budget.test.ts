import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ByteBudget, messageBudget } from './budget.ts';
import { WireError } from './errors.ts';
import { FrameReader } from './frame.ts';

const MiB = 1024 * 1024;

function query(bytes: number): Buffer {
  const message = Buffer.alloc(bytes + 1, 'x');
  message.write('Q', 0);
  message.writeUInt32BE(bytes, 1);
  return message;
}

function sessionReader(budget: ByteBudget): FrameReader {
  const reader = new FrameReader({}, budget);
  reader.enter('session');
  return reader;
}

describe('the budget of unfinished messages', () => {
  it('refuses the reader that asks for more than is left, and no other', () => {
    const budget = new ByteBudget(8 * MiB);
    const readers = Array.from({ length: 10 }, () => sessionReader(budget));
    const refused = readers.filter((reader) => {
      reader.push(query(2 * MiB).subarray(0, 2 * MiB - 10));
      try {
        return reader.next() !== null;
      } catch (error: unknown) {
        return error instanceof WireError && error.code === 'too_much' && error.sqlstate === '53200';
      }
    });
    assert.equal(refused.length, 6);
    assert.ok(budget.used <= 8 * MiB);
    for (const reader of readers) reader.dispose();
    assert.equal(budget.used, 0);
  });

  it('a length alone takes nothing', () => {
    const budget = new ByteBudget(MiB);
    const reader = sessionReader(budget);
    reader.push(query(60 * MiB).subarray(0, 100));
    assert.equal(reader.next(), null);
    assert.equal(budget.used, 0);
  });

  it('counts a message that was given out until it is sent on', () => {
    const budget = new ByteBudget(4 * MiB);
    const reader = sessionReader(budget);
    const bytes = query(MiB);
    reader.push(bytes.subarray(0, 1000));
    assert.equal(reader.next(), null);
    reader.push(bytes.subarray(1000));
    assert.notEqual(reader.next(), null);
    assert.ok(budget.used >= MiB);
    reader.settle();
    assert.equal(budget.used, 0);
  });

  it('whatever comes in whatever chunks, nothing stays taken of a connection that has ended', () => {
    const step = fc.record({
      bytes: fc.integer({ min: 4, max: 200_000 }),
      cut: fc.double({ min: 0, max: 1, noNaN: true }),
      settle: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const budget = new ByteBudget(500_000);
        const reader = sessionReader(budget);
        try {
          for (const { bytes, cut, settle } of steps) {
            const message = query(bytes);
            const at = Math.floor(cut * message.length);
            for (const part of [message.subarray(0, at), message.subarray(at)]) {
              reader.push(part);
              while (reader.next() !== null);
            }
            if (settle) reader.settle();
            assert.ok(budget.used <= 500_000);
          }
        } catch (error: unknown) {
          assert.ok(error instanceof WireError && error.code === 'too_much');
        }
        reader.dispose();
        assert.equal(budget.used, 0);
        assert.throws(() => reader.next(), WireError);
      }),
    );
  });

  it('is a quarter of what the process may have, within bounds', () => {
    assert.equal(messageBudget(512 * MiB, 256 * MiB).take(128 * MiB), true);
    assert.equal(messageBudget(512 * MiB, 256 * MiB).take(128 * MiB + 1), false);
    assert.equal(messageBudget(0, 256 * MiB).take(256 * MiB + 1), false);
    assert.equal(messageBudget(2 ** 63, 256 * MiB).take(256 * MiB + 1), false);
  });
});
