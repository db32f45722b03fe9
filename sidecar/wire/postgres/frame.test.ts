import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { WireError, type WireErrorCode } from './errors.ts';
import { FrameReader } from './frame.ts';
import { encodeBind } from './messages/bind.ts';
import { encodeCopyData, encodeCopyFail } from './messages/copy.ts';
import { encodeDescribe } from './messages/describe_close.ts';
import { encodeFlush, encodeSync, encodeTerminate } from './messages/empty.ts';
import { encodeExecute } from './messages/execute.ts';
import { encodeParse } from './messages/parse.ts';
import { encodePassword, encodeSaslInitialResponse } from './messages/password.ts';
import { encodeQuery } from './messages/query.ts';
import { encodeSslRequest, encodeStartupMessage, PROTOCOL_3_2 } from './messages/startup.ts';

const startup = [encodeSslRequest(), encodeStartupMessage(PROTOCOL_3_2, [['user', 'app']])];
const login = [encodeSaslInitialResponse('SCRAM-SHA-256', Buffer.from('n,,n=,r=x')), encodePassword(Buffer.from('ä'))];
const session = [
  encodeQuery('SELECT 1'),
  encodeSync(),
  encodeParse({ statement: 's', text: 'SELECT $1', parameterTypes: [25] }),
  encodeBind({ portal: '', statement: 's', parameterFormats: [], parameters: [Buffer.from('x'), null], resultFormats: [1] }),
  encodeDescribe({ kind: 'portal', name: '' }),
  encodeExecute('', 10),
  encodeFlush(),
  encodeCopyData(Buffer.from('1\tx\n')),
  encodeCopyFail('no'),
  encodeTerminate(),
];
const all = [...startup, ...login, ...session];
const stream = Buffer.concat(all);

/** Reads what is there; the phase changes behind the second and the fourth message. */
function drain(reader: FrameReader, into: Buffer[]): void {
  for (let frame = reader.next(); frame; frame = reader.next()) {
    const bytes = frame.buffer.subarray(frame.start, frame.end);
    assert.equal(frame.type, into.length < startup.length ? 0 : bytes[0]);
    into.push(Buffer.from(bytes));
    if (into.length === startup.length) reader.enter('login');
    if (into.length === startup.length + login.length) reader.enter('session');
  }
}

function read(chunks: readonly Buffer[]): Buffer[] {
  const reader = new FrameReader();
  const frames: Buffer[] = [];
  let given = 0;
  for (const chunk of chunks) {
    reader.push(chunk);
    given += chunk.length;
    drain(reader, frames);
    assert.equal(reader.buffered, given - frames.reduce((sum, frame) => sum + frame.length, 0));
  }
  return frames;
}

test('finds the same messages wherever the stream is cut in two', () => {
  for (let cut = 0; cut <= stream.length; cut++)
    assert.deepEqual(read([stream.subarray(0, cut), stream.subarray(cut)]), all, `cut at ${cut}`);
});

test('finds them byte by byte, and in any cuts', () => {
  assert.deepEqual(read(Array.from(stream, (byte) => Buffer.from([byte]))), all);
  const cuts = fc.array(fc.nat(stream.length), { maxLength: 12 }).map((list) => [0, ...list.sort((a, b) => a - b), stream.length]);
  fc.assert(
    fc.property(cuts, (list) => {
      assert.deepEqual(read(list.slice(1).map((end, i) => stream.subarray(list[i], end))), all);
    }),
  );
});

test('gives a frame in place where it lies in one chunk', () => {
  const reader = new FrameReader();
  reader.enter('session');
  const chunk = Buffer.concat([encodeSync(), encodeQuery('SELECT 1')]);
  reader.push(chunk);
  assert.equal(reader.next()?.buffer, chunk);
  assert.deepEqual(reader.next(), { type: 0x51, buffer: chunk, start: 5, end: chunk.length });
  assert.equal(reader.next(), null);
});

test('many small chunks at once, and a frame over all of them', () => {
  const reader = new FrameReader();
  reader.enter('session');
  const message = encodeQuery('x'.repeat(100_000));
  for (let at = 0; at < message.length; at += 100) reader.push(message.subarray(at, at + 100));
  reader.push(encodeSync());
  const frame = reader.next();
  assert.deepEqual(frame && frame.buffer.subarray(frame.start, frame.end), message);
  assert.equal(reader.next()?.type, 0x53);
  assert.equal(reader.buffered, 0);
});

const header = (type: number | string, length: number): Buffer => {
  const bytes = Buffer.alloc(5);
  bytes[0] = typeof type === 'number' ? type : type.charCodeAt(0);
  bytes.writeUInt32BE(length, 1);
  return bytes;
};
const untyped = (length: number): Buffer => header(0, length).subarray(1);

const refusals: { name: string; phase: 'startup' | 'login' | 'session'; bytes: Buffer; code: WireErrorCode }[] = [
  { name: 'a startup packet over 10 000 bytes', phase: 'startup', bytes: untyped(10_001), code: 'too_long' },
  { name: 'a startup packet without a code', phase: 'startup', bytes: untyped(7), code: 'bad_length' },
  { name: 'a startup length of -1', phase: 'startup', bytes: untyped(0xffff_ffff), code: 'too_long' },
  { name: 'HTTP', phase: 'startup', bytes: Buffer.from('GET / HTTP/1.1\r\n'), code: 'too_long' },
  { name: 'TLS', phase: 'startup', bytes: Buffer.from('16030100', 'hex'), code: 'too_long' },
  { name: 'a password over 65 535 bytes', phase: 'login', bytes: header('p', 65_536), code: 'too_long' },
  { name: 'a password of length 0xfffffff0', phase: 'login', bytes: header('p', 0xffff_fff0), code: 'too_long' },
  { name: 'a query before the password', phase: 'login', bytes: Buffer.from('Q'), code: 'unexpected_type' },
  { name: 'a second startup message before the password', phase: 'login', bytes: startup[1] as Buffer, code: 'unknown_type' },
  { name: 'a password after login', phase: 'session', bytes: Buffer.from('p'), code: 'unexpected_type' },
  { name: 'a type that is not one', phase: 'session', bytes: Buffer.from('z'), code: 'unknown_type' },
  { name: 'a backend type', phase: 'session', bytes: Buffer.from('Z'), code: 'unknown_type' },
  { name: 'a query over the limit', phase: 'session', bytes: header('Q', 0x400_0001), code: 'too_long' },
  { name: 'a query of length 0x7fffffff', phase: 'session', bytes: header('Q', 0x7fff_ffff), code: 'too_long' },
  { name: 'a query of length -1', phase: 'session', bytes: header('Q', 0xffff_ffff), code: 'too_long' },
  { name: 'a query of length 3', phase: 'session', bytes: header('Q', 3), code: 'bad_length' },
  { name: 'a query of length 0', phase: 'session', bytes: header('Q', 0), code: 'bad_length' },
  ...['D', 'E', 'C', 'H', 'S', 'X', 'c', 'f'].map((type) => ({
    name: `a ${type} over 30 000 bytes`,
    phase: 'session' as const,
    bytes: header(type, 30_001),
    code: 'too_long' as const,
  })),
];
for (const { name, phase, bytes, code } of refusals) {
  test(`refuses ${name} as soon as it shows, and stays so`, () => {
    const whole = new FrameReader();
    if (phase !== 'startup') whole.enter(phase);
    whole.push(bytes);
    assert.throws(
      () => whole.next(),
      (error) => error instanceof WireError && error.code === code,
    );
    whole.push(encodeSync());
    assert.throws(() => whole.next(), { code });
    const single = new FrameReader();
    if (phase !== 'startup') single.enter(phase);
    const act = (): void => {
      for (const byte of bytes) {
        single.push(Buffer.from([byte]));
        assert.equal(single.next(), null);
      }
    };
    assert.throws(act, { code });
  });
}

test('serves what came before a message that is refused', () => {
  const reader = new FrameReader();
  reader.enter('session');
  reader.push(Buffer.concat([encodeQuery('SELECT 1'), Buffer.from('z')]));
  assert.equal(reader.next()?.type, 0x51);
  assert.throws(() => reader.next(), { code: 'unknown_type' });
});

test('a limit may be lower or higher', () => {
  const reader = new FrameReader({ largeBytes: 100 });
  reader.enter('session');
  reader.push(encodeQuery('x'.repeat(95)));
  assert.equal(reader.next()?.type, 0x51);
  reader.push(encodeQuery('x'.repeat(96)));
  assert.throws(() => reader.next(), { code: 'too_long' });
});

test('a length alone does not make it allocate', () => {
  const before = process.memoryUsage().arrayBuffers;
  const readers = Array.from({ length: 50 }, () => {
    const reader = new FrameReader();
    reader.enter('session');
    reader.push(header('Q', 0x400_0000));
    assert.equal(reader.next(), null);
    return reader;
  });
  assert.ok(process.memoryUsage().arrayBuffers - before < 4 * 1024 * 1024);
  assert.equal(readers.length, 50);
});

test('the phase can not change within a message', () => {
  const reader = new FrameReader();
  reader.push(Buffer.from([0, 0]));
  reader.next();
  assert.throws(() => reader.enter('session'), { code: 'unexpected_type' });
});
