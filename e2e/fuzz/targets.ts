/** What is fuzzed: each takes any bytes, and throws only where an invariant is broken. */
import assert from 'node:assert/strict';
import { zstdDecompressSync } from 'node:zlib';
import { CAPABILITIES } from '#crds/policy/snapshot.ts';
import { parseHead, parseHeader, parseLedgerEntry, parseSeal } from '#crds/record/parse.ts';
import { readEvents, takeApart } from '#crds/record/segment.ts';
import { createPolicyStore } from '#sidecar/policy/store.ts';
import { HttpError } from '#sidecar/wire/http/errors.ts';
import { readRequestHead } from '#sidecar/wire/http/request.ts';
import { WireError } from '#sidecar/wire/postgres/errors.ts';
import { type FramePhase, FrameReader } from '#sidecar/wire/postgres/frame.ts';
import { decodeAuthentication } from '#sidecar/wire/postgres/messages/authentication.ts';
import { decodeBackendKeyData } from '#sidecar/wire/postgres/messages/backend_key_data.ts';
import { decodeBind } from '#sidecar/wire/postgres/messages/bind.ts';
import { decodeCommandComplete } from '#sidecar/wire/postgres/messages/command_complete.ts';
import { decodeCopyData, decodeCopyFail, decodeCopyResponse } from '#sidecar/wire/postgres/messages/copy.ts';
import { decodeDataRow } from '#sidecar/wire/postgres/messages/data_row.ts';
import { decodeClose, decodeDescribe } from '#sidecar/wire/postgres/messages/describe_close.ts';
import { decodeErrorFields } from '#sidecar/wire/postgres/messages/error_notice.ts';
import { decodeExecute } from '#sidecar/wire/postgres/messages/execute.ts';
import { decodeNegotiateProtocolVersion } from '#sidecar/wire/postgres/messages/negotiate_protocol_version.ts';
import { decodeNotificationResponse } from '#sidecar/wire/postgres/messages/notification_response.ts';
import { decodeParameterDescription } from '#sidecar/wire/postgres/messages/parameter_description.ts';
import { decodeParameterStatus } from '#sidecar/wire/postgres/messages/parameter_status.ts';
import { decodeParse } from '#sidecar/wire/postgres/messages/parse.ts';
import { decodePassword } from '#sidecar/wire/postgres/messages/password.ts';
import { decodeQuery } from '#sidecar/wire/postgres/messages/query.ts';
import { decodeReadyForQuery } from '#sidecar/wire/postgres/messages/ready_for_query.ts';
import { decodeRowDescription } from '#sidecar/wire/postgres/messages/row_description.ts';
import { decodeStartupPacket } from '#sidecar/wire/postgres/messages/startup.ts';
import { readStartupParameters } from '#sidecar/wire/postgres/messages/startup_parameters.ts';
import { FrameSplitter } from '#sidecar/wire/postgres/splitter.ts';
import { parseSql } from '#sidecar/wire/postgres/sql/parse.ts';
import { BACKEND, FRONTEND } from '#sidecar/wire/postgres/types.ts';

export interface Target {
  readonly name: string;
  readonly run: (input: Buffer) => void | Promise<void>;
  readonly seeds: readonly Buffer[];
  /** Where it waits for others: a run may take longer then. */
  readonly maxRunMs?: number;
}

type Decode = (buffer: Buffer, start: number, end: number) => unknown;

const CLIENT: Readonly<Record<number, Decode>> = {
  [FRONTEND.Query]: decodeQuery,
  [FRONTEND.Parse]: decodeParse,
  [FRONTEND.Bind]: decodeBind,
  [FRONTEND.Describe]: decodeDescribe,
  [FRONTEND.Close]: decodeClose,
  [FRONTEND.Execute]: decodeExecute,
  [FRONTEND.CopyData]: decodeCopyData,
  [FRONTEND.CopyFail]: decodeCopyFail,
  [FRONTEND.Password]: decodePassword,
};

const SERVER: Readonly<Record<number, Decode>> = {
  [BACKEND.Authentication]: decodeAuthentication,
  [BACKEND.BackendKeyData]: decodeBackendKeyData,
  [BACKEND.CommandComplete]: decodeCommandComplete,
  [BACKEND.CopyInResponse]: decodeCopyResponse,
  [BACKEND.CopyOutResponse]: decodeCopyResponse,
  [BACKEND.DataRow]: decodeDataRow,
  [BACKEND.ErrorResponse]: decodeErrorFields,
  [BACKEND.NoticeResponse]: decodeErrorFields,
  [BACKEND.NegotiateProtocolVersion]: decodeNegotiateProtocolVersion,
  [BACKEND.NotificationResponse]: decodeNotificationResponse,
  [BACKEND.ParameterDescription]: decodeParameterDescription,
  [BACKEND.ParameterStatus]: decodeParameterStatus,
  [BACKEND.ReadyForQuery]: decodeReadyForQuery,
  [BACKEND.RowDescription]: decodeRowDescription,
};

const PHASES: readonly FramePhase[] = ['startup', 'login', 'session'];

/** The first byte chooses the phase, the second the size of the cuts. */
function client(input: Buffer): void {
  const phase = PHASES[(input[0] ?? 0) % 3] ?? 'session';
  const reader = new FrameReader();
  if (phase !== 'startup') reader.enter(phase);
  let given = 0;
  let out = 0;
  tolerating(WireError, () => {
    for (const chunk of cuts(input)) {
      reader.push(chunk);
      given += chunk.length;
      for (let frame = reader.next(); frame !== null; frame = reader.next()) {
        out += frame.end - frame.start;
        if (phase !== 'startup') tolerating(WireError, () => CLIENT[frame.type]?.(frame.buffer, frame.start, frame.end));
        else
          tolerating(WireError, () => {
            const packet = decodeStartupPacket(frame.buffer, frame.start, frame.end);
            if (packet.type === 'StartupMessage') readStartupParameters(packet);
          });
      }
      assert.equal(reader.buffered, given - out, 'bytes that are neither held nor given out');
    }
  });
}

function server(input: Buffer): void {
  const sent = input.subarray(2);
  let out = 0;
  const take: Decode = (buffer, start, end) => {
    assert.ok(sent.subarray(out, out + end - start).equals(buffer.subarray(start, end)), 'other bytes than came');
    out += end - start;
  };
  const splitter = new FrameSplitter({
    header: () => ((input[0] ?? 0) % 2 === 0 ? 'whole' : 'stream'),
    frame: (type, buffer, start, end) => {
      take(buffer, start, end);
      tolerating(WireError, () => SERVER[type]?.(buffer, start, end));
    },
    piece: (_type, buffer, start, end) => void take(buffer, start, end),
  });
  tolerating(WireError, () => {
    for (const chunk of cuts(input)) splitter.push(chunk);
  });
}

function sql(input: Buffer): void {
  const parsed = parseSql(input.toString('utf8'));
  assert.equal(typeof parsed.ok, 'boolean');
}

function http(input: Buffer): void {
  const [first = '', ...lines] = input.toString('latin1').split('\r\n');
  const [method = '', target = ''] = first.split(' ');
  const rawHeaders = lines.flatMap((line) => {
    const at = line.indexOf(':');
    return at < 0 ? [line, ''] : [line.slice(0, at), line.slice(at + 1).trim()];
  });
  tolerating(HttpError, () => readRequestHead({ method, target, httpVersion: '1.1', rawHeaders }));
}

function snapshot(input: Buffer): void {
  let value: unknown;
  try {
    value = JSON.parse(input.toString('utf8'));
  } catch {
    return;
  }
  const store = createPolicyStore({ workload: { namespace: 'shop', serviceAccount: 'agent' }, capabilities: CAPABILITIES, now: () => 0 });
  store.publish(value);
  store.resource({ namespace: 'shop', name: 'db' });
  store.close();
}

const decompress = (bytes: Uint8Array, maxBytes: number): Uint8Array => zstdDecompressSync(bytes, { maxOutputLength: maxBytes });

function recording(input: Buffer): void {
  parseHeader(input);
  parseSeal(input);
  parseHead(input);
  parseLedgerEntry(input);
  for (const state of ['open', 'sealed'] as const) takeApart(input, state, { decompress });
  for (const line of readEvents(input)) assert.ok(line);
}

/** Pieces of what comes after the first two bytes; the second is their size, 0 is one piece. */
function* cuts(input: Buffer): Generator<Buffer> {
  const size = input[1] || Number.MAX_SAFE_INTEGER;
  for (let at = 2; at < input.length; at += size) yield Buffer.from(input.subarray(at, at + size));
}

function tolerating(kind: new (...args: never[]) => Error, run: () => void): void {
  try {
    run();
  } catch (error: unknown) {
    if (!(error instanceof kind)) throw error;
  }
}

const hex = (text: string): Buffer => Buffer.from(text, 'hex');
const text = (...texts: readonly string[]): readonly Buffer[] => texts.map((one) => Buffer.from(one));

export const TARGETS: readonly Target[] = [
  {
    name: 'client',
    run: client,
    seeds: [
      hex('00000000001200030000757365720061707000'.concat('00')),
      hex('0203510000000d53454c454354203100'),
      hex('0200500000000d0053454c454354203100000042000000100000000000000000000000'),
      hex('02074400000006500045000000090000000000530000000443000000065000'),
      hex('0100700000000678'.concat('7800')),
    ],
  },
  {
    name: 'server',
    run: server,
    seeds: [
      hex('00005200000008000000005300000009610062004b0000000c00000001000000025a0000000549'),
      hex('000354000000190001610000000000000000000019ffffffffffff0000440000000b00010000000178'),
      hex('00004500000010534552524f52004d6d0000430000000d53454c454354203100'),
      hex('0100470000000b000002000000005a0000000549'),
    ],
  },
  { name: 'sql', run: sql, seeds: text('SELECT a FROM b WHERE c = $1', "COPY t (a) FROM STDIN; SET x = 'y'", 'DO $$ BEGIN END $$') },
  {
    name: 'http',
    run: http,
    seeds: text(
      'GET /a%2e/b?c=d HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3',
      'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked',
    ),
  },
  {
    name: 'snapshot',
    run: snapshot,
    seeds: text('{"schemaVersion":1,"requiredCapabilities":[],"workload":{"namespace":"shop","serviceAccount":"agent"},"resources":[]}'),
  },
  { name: 'recording', run: recording, seeds: text('{"v":1,"session":"a","seq":1,"hash":"00"}\n') },
];
