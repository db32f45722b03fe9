import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WireError, type WireErrorCode } from '../errors.ts';
import { decodeAuthentication } from './authentication.ts';
import { decodeBackendKeyData, encodeBackendKeyData } from './backend_key_data.ts';
import { decodeBind, encodeBind, formatAt } from './bind.ts';
import { rowsOfTag } from './command_complete.ts';
import { decodeCopyResponse } from './copy.ts';
import { encodeDataRow, walkDataRow } from './data_row.ts';
import { decodeClose, decodeDescribe } from './describe_close.ts';
import { frame } from './encode.ts';
import { decodeErrorFields, encodeErrorResponse } from './error_notice.ts';
import { decodeFunctionCall } from './function_call.ts';
import { decodeNegotiateProtocolVersion } from './negotiate_protocol_version.ts';
import { decodeParse } from './parse.ts';
import { decodeQuery, encodeQuery } from './query.ts';
import { decodeReadyForQuery } from './ready_for_query.ts';
import { decodeRowDescription } from './row_description.ts';
import { decodeStartupPacket, encodeCancelRequest, encodeStartupMessage } from './startup.ts';

/** A typed frame from hexadecimal digits (spaces are for the eye) of its body. */
const body = (hex: string): Buffer => frame(0x41, Buffer.from(hex.replaceAll(' ', ''), 'hex'));
const startup = (hex: string): Buffer => body(hex).subarray(1);
const user = '75736572 00';

type Decode = (buffer: Buffer, start: number, end: number) => unknown;
const refused: { name: string; decode: Decode; bytes: Buffer; code: WireErrorCode }[] = [
  { name: 'Query with a second text behind a NUL', decode: decodeQuery, bytes: body('53 00 54 00'), code: 'embedded_nul' },
  { name: 'Query with two NULs', decode: decodeQuery, bytes: body('53 00 00'), code: 'embedded_nul' },
  { name: 'Query without NUL', decode: decodeQuery, bytes: body('53'), code: 'missing_nul' },
  { name: 'Query with nothing', decode: decodeQuery, bytes: body(''), code: 'missing_nul' },
  { name: 'Query in Latin 1', decode: decodeQuery, bytes: body('e4 00'), code: 'bad_utf8' },
  { name: 'Query with an overlong quote', decode: decodeQuery, bytes: body('c0a7 00'), code: 'bad_utf8' },
  { name: 'Query with half of a surrogate pair', decode: decodeQuery, bytes: body('eda080 00'), code: 'bad_utf8' },
  { name: 'Parse whose text does not end', decode: decodeParse, bytes: body('00 53454c'), code: 'missing_nul' },
  { name: 'Parse with fewer types than it says', decode: decodeParse, bytes: body('00 53 00 0002 00000019'), code: 'truncated' },
  { name: 'Bind with a parameter length of -2', decode: decodeBind, bytes: body('00 00 0000 0001 fffffffe 0000'), code: 'bad_length' },
  {
    name: 'Bind with a parameter longer than the message',
    decode: decodeBind,
    bytes: body('00 00 0000 0001 00000009 0000'),
    code: 'truncated',
  },
  { name: 'Bind with a parameter of 2 GiB', decode: decodeBind, bytes: body('00 00 0000 0001 7fffffff 0000'), code: 'truncated' },
  { name: 'Bind with a third format', decode: decodeBind, bytes: body('00 00 0001 0002 0000 0000'), code: 'bad_value' },
  {
    name: 'Bind with two formats for one parameter',
    decode: decodeBind,
    bytes: body('00 00 0002 0000 0000 0001 ffffffff 0000'),
    code: 'count_mismatch',
  },
  { name: 'Bind with 65 535 parameters that are not there', decode: decodeBind, bytes: body('00 00 0000 ffff'), code: 'truncated' },
  { name: 'Describe of kind X', decode: decodeDescribe, bytes: body('58 00'), code: 'bad_value' },
  { name: 'Close of kind X', decode: decodeClose, bytes: body('58 00'), code: 'bad_value' },
  { name: 'Describe with a name behind its NUL', decode: decodeDescribe, bytes: body('53 61 00 62 00'), code: 'embedded_nul' },
  {
    name: 'FunctionCall with bytes left over',
    decode: decodeFunctionCall,
    bytes: body('00000001 0000 0000 0000 00'),
    code: 'trailing_bytes',
  },
  { name: 'CopyOutResponse of a third format', decode: decodeCopyResponse, bytes: body('02 0000'), code: 'bad_value' },
  { name: 'CopyOutResponse in text with a binary column', decode: decodeCopyResponse, bytes: body('00 0001 0001'), code: 'bad_value' },
  { name: 'ReadyForQuery of a fourth status', decode: decodeReadyForQuery, bytes: body('58'), code: 'bad_value' },
  { name: 'RowDescription with 65 535 columns that are not there', decode: decodeRowDescription, bytes: body('ffff'), code: 'missing_nul' },
  { name: 'Authentication of an unknown code', decode: decodeAuthentication, bytes: body('00000063'), code: 'bad_value' },
  { name: 'AuthenticationOk with a body', decode: decodeAuthentication, bytes: body('00000000 00'), code: 'trailing_bytes' },
  { name: 'a cancel key of 3 bytes', decode: decodeBackendKeyData, bytes: body('00000001 010203'), code: 'bad_length' },
  { name: 'a cancel key of 257 bytes', decode: decodeBackendKeyData, bytes: body(`00000001 ${'01'.repeat(257)}`), code: 'bad_length' },
  { name: 'ErrorResponse that does not end', decode: decodeErrorFields, bytes: body('4d 61 00'), code: 'truncated' },
  { name: 'ErrorResponse with two messages', decode: decodeErrorFields, bytes: body('4d 61 00 4d 62 00 00'), code: 'bad_value' },
  {
    name: 'NegotiateProtocolVersion with 2^32 options',
    decode: decodeNegotiateProtocolVersion,
    bytes: body('00030000 ffffffff'),
    code: 'truncated',
  },
  { name: 'StartupMessage 2.0', decode: decodeStartupPacket, bytes: startup(`00020000 ${user} 6100 00`), code: 'unsupported_protocol' },
  { name: 'StartupMessage 4.0', decode: decodeStartupPacket, bytes: startup(`00040000 ${user} 6100 00`), code: 'unsupported_protocol' },
  {
    name: 'StartupMessage with the user twice',
    decode: decodeStartupPacket,
    bytes: startup(`00030000 ${user} 6100 ${user} 6200 00`),
    code: 'duplicate_parameter',
  },
  {
    name: 'StartupMessage with more behind its end',
    decode: decodeStartupPacket,
    bytes: startup(`00030000 ${user} 6100 00 ${user} 6200 00`),
    code: 'trailing_bytes',
  },
  { name: 'StartupMessage that does not end', decode: decodeStartupPacket, bytes: startup(`00030000 ${user} 6100`), code: 'missing_nul' },
  {
    name: 'StartupMessage with a name and no value',
    decode: decodeStartupPacket,
    bytes: startup('00030000 75736572 00'),
    code: 'missing_nul',
  },
  { name: 'SSLRequest with bytes behind', decode: decodeStartupPacket, bytes: startup('04d2162f 00'), code: 'trailing_bytes' },
  { name: 'CancelRequest without key', decode: decodeStartupPacket, bytes: startup('04d2162e 00000001'), code: 'bad_length' },
];
for (const { name, decode, bytes, code } of refused) {
  test(`refuses ${name}`, () =>
    assert.throws(
      () => decode(bytes, 0, bytes.length),
      (error) => error instanceof WireError && error.code === code,
    ));
}

test('walks a row by offsets and refuses one that is not as described', () => {
  const row = encodeDataRow([Buffer.from('ab'), null, Buffer.alloc(0)]);
  const fields = new Int32Array(6);
  walkDataRow(row, 0, row.length, 3, fields);
  assert.deepEqual([...fields], [11, 2, 17, -1, 21, 0]);
  for (const columns of [0, 2, 4])
    assert.throws(() => walkDataRow(row, 0, row.length, columns, new Int32Array(8)), { code: 'count_mismatch' });
  const longer = Buffer.concat([row, Buffer.alloc(1)]);
  assert.throws(() => walkDataRow(longer, 0, longer.length, 3, fields), { code: 'trailing_bytes' });
  const change = (at: number, value: number): Buffer => {
    const changed = Buffer.from(row);
    changed.writeInt32BE(value, at);
    return changed;
  };
  const refusals: [number, number, WireErrorCode][] = [
    [7, -2, 'bad_length'],
    [7, -0x8000_0000, 'bad_length'],
    [7, 0x7fff_ffff, 'truncated'],
    [7, 11, 'truncated'],
    [17, 1, 'truncated'],
    [13, -3, 'bad_length'],
  ];
  for (const [at, value, code] of refusals)
    assert.throws(() => walkDataRow(change(at, value), 0, row.length, 3, fields), { code }, `${at} ${value}`);
});

test('an error of a server that leaves out what it must say is still an error', () => {
  assert.deepEqual(decodeErrorFields(body('00'), 0, 6), { severity: 'ERROR', sqlstate: 'XX000', message: '' });
  const odd = body('43 31323300 4d 6100 00');
  assert.equal(decodeErrorFields(odd, 0, odd.length).sqlstate, 'XX000');
  const unknown = body('4d 6100 7a 6200 00');
  assert.deepEqual(decodeErrorFields(unknown, 0, unknown.length), { severity: 'ERROR', sqlstate: 'XX000', message: 'a' });
});

test('a minor version alone, as servers before 18 may send it', () => {
  const message = body('00000000 00000000');
  assert.equal(decodeNegotiateProtocolVersion(message, 0, message.length).version, 0x0003_0000);
});

test('an error says its severity in both fields', () => {
  const bytes = encodeErrorResponse({ severity: 'ERROR', sqlstate: '42501', message: 'no' });
  assert.equal(bytes.subarray(5).toString(), 'SERROR\0VERROR\0C42501\0Mno\0\0');
});

test('writers refuse what would change the meaning of the message', () => {
  const nul: (() => unknown)[] = [
    () => encodeQuery('a\0b'),
    () => encodeStartupMessage(0x30000, [['user', 'a\0b']]),
    () => encodeErrorResponse({ severity: 'ERROR', sqlstate: '42501', message: 'a\0b' }),
  ];
  for (const write of nul) assert.throws(write, { code: 'embedded_nul' });
  assert.throws(() => encodeStartupMessage(0x30000, [['', 'a']]), { code: 'bad_value' });
  assert.throws(() => encodeCancelRequest(1, Buffer.alloc(3)), { code: 'bad_length' });
  assert.throws(() => encodeBackendKeyData(1, Buffer.alloc(257)), { code: 'bad_length' });
  const parameters = Array.from({ length: 65_536 }, () => null);
  assert.throws(() => encodeBind({ portal: '', statement: '', parameterFormats: [], parameters, resultFormats: [] }), {
    code: 'bad_length',
  });
});

test('writers refuse a message that the length field could not hold', () => {
  // Views of one buffer: what they add up to is 5 GiB, what they take is 256 MiB of untouched memory.
  const quarter = Buffer.allocUnsafeSlow(256 * 1024 * 1024);
  assert.throws(() => encodeDataRow(Array.from({ length: 20 }, () => quarter)), { code: 'too_long' });
  assert.throws(() => encodeDataRow(Array.from({ length: 4 }, () => quarter)), { code: 'too_long' });
});

test('a format applies to one, all, or none', () => {
  assert.deepEqual([formatAt([], 3), formatAt([1], 3), formatAt([0, 1], 1), formatAt([0, 1], 0)], [0, 1, 1, 0]);
});

test('rows of a command tag', () => {
  const tags: [string, number | null][] = [
    ['SELECT 3', 3],
    ['INSERT 0 5', 5],
    ['UPDATE 0', 0],
    ['COPY 12', 12],
    ['BEGIN', null],
    ['CREATE TABLE', null],
    ['CREATE TABLE AS', null],
    ['SELECT 3; x', null],
    ['', null],
  ];
  for (const [tag, rows] of tags) assert.equal(rowsOfTag(tag), rows, tag);
});
