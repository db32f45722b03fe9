import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { WireError } from './errors.ts';
import { type Frame, type FramePhase, FrameReader } from './frame.ts';
import { decodeBind } from './messages/bind.ts';
import { decodeClose, decodeDescribe } from './messages/describe_close.ts';
import { decodeEmpty } from './messages/empty.ts';
import { decodeExecute } from './messages/execute.ts';
import { decodeParse } from './messages/parse.ts';
import { decodeQuery } from './messages/query.ts';
import { decodeStartupPacket } from './messages/startup.ts';
import { readStartupParameters } from './messages/startup_parameters.ts';
import { FRONTEND } from './types.ts';

/** Bytes that attacked other proxies and drivers; each is refused by the reader or by a codec before anybody could act on it. */
interface Case {
  readonly id: string;
  readonly phase: 'startup' | 'session';
  readonly title: string;
  readonly refused: string;
  readonly hex: string;
}

const DECODERS: Readonly<Record<number, (buffer: Buffer, start: number, end: number) => unknown>> = {
  [FRONTEND.Query]: decodeQuery,
  [FRONTEND.Parse]: decodeParse,
  [FRONTEND.Bind]: decodeBind,
  [FRONTEND.Describe]: decodeDescribe,
  [FRONTEND.Close]: decodeClose,
  [FRONTEND.Execute]: decodeExecute,
  [FRONTEND.Sync]: decodeEmpty,
};

function decode(frame: Frame, reader: FrameReader): string | null {
  const at = [frame.buffer, frame.start, frame.end] as const;
  if (reader.phase !== 'startup') {
    DECODERS[frame.type]?.(...at);
    return null;
  }
  const packet = decodeStartupPacket(...at);
  if (packet.type === 'SSLRequest' && reader.buffered > 0) return 'bytes behind';
  if (packet.type === 'StartupMessage') {
    readStartupParameters(packet);
    reader.enter('login');
  }
  return null;
}

function refusal(bytes: Buffer, phase: FramePhase): string | null {
  const reader = new FrameReader();
  if (phase !== 'startup') reader.enter(phase);
  reader.push(bytes);
  try {
    for (let frame = reader.next(); frame; frame = reader.next()) {
      const found = decode(frame, reader);
      if (found !== null) return found;
    }
    return null;
  } catch (error) {
    if (error instanceof WireError) return error.code;
    throw error;
  }
}

const cases = readFileSync(new URL('testdata/protocol-cases.jsonl', import.meta.url), 'utf8')
  .trim()
  .split('\n');
for (const line of cases) {
  const { id, phase, title, refused, hex } = JSON.parse(line) as Case;
  test(`${id}: ${title}`, () => assert.equal(refusal(Buffer.from(hex, 'hex'), phase), refused));
}

test('an injected user (a NUL inside another value) is a duplicate', () => {
  const body = Buffer.from('\0\x03\0\0user\0nobody\0application_name\0x\0user\0app\0\0', 'latin1');
  const bytes = Buffer.concat([Buffer.alloc(4), body]);
  bytes.writeUInt32BE(bytes.length);
  assert.equal(refusal(bytes, 'startup'), 'duplicate_parameter');
});

test('a Sync with a body of 30 001 bytes', () => {
  const bytes = Buffer.alloc(30_006);
  bytes[0] = FRONTEND.Sync;
  bytes.writeUInt32BE(30_005, 1);
  assert.equal(refusal(bytes, 'session'), 'too_long');
});

test('the same, well formed, is not refused', () => {
  assert.equal(refusal(Buffer.from('000000120003000075736572006170700000', 'hex'), 'startup'), null);
  assert.equal(refusal(Buffer.from('510000000d53454c454354203100', 'hex'), 'session'), null);
});
