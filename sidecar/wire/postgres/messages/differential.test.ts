import assert from 'node:assert/strict';
import { Duplex } from 'node:stream';
import { test } from 'node:test';
import { parse, serialize } from 'pg-protocol';
import * as authentication from './authentication.ts';
import { encodeBackendKeyData } from './backend_key_data.ts';
import { encodeBind } from './bind.ts';
import { encodeCommandComplete } from './command_complete.ts';
import * as copy from './copy.ts';
import { encodeDataRow } from './data_row.ts';
import { encodeClose, encodeDescribe } from './describe_close.ts';
import { encodeEmpty, encodeFlush, encodeSync, encodeTerminate } from './empty.ts';
import { encodeErrorResponse, encodeNoticeResponse } from './error_notice.ts';
import { encodeExecute } from './execute.ts';
import { encodeNotificationResponse } from './notification_response.ts';
import { encodeParameterDescription } from './parameter_description.ts';
import { encodeParameterStatus } from './parameter_status.ts';
import { encodeParse } from './parse.ts';
import { encodePassword, encodeSaslInitialResponse, encodeSaslResponse } from './password.ts';
import { encodeQuery } from './query.ts';
import { encodeReadyForQuery } from './ready_for_query.ts';
import { encodeRowDescription } from './row_description.ts';
import { decodeStartupPacket, encodeCancelRequest, encodeSslRequest, PROTOCOL_3_0 } from './startup.ts';

/** node-postgres' codec is written by others: well-formed traffic must mean the same to both. */

const text = "SELECT 'ä', $1 -- ‹›";
const frontend: { name: string; theirs: Buffer; ours: Buffer }[] = [
  { name: 'Query', theirs: serialize.query(text), ours: encodeQuery(text) },
  {
    name: 'Parse',
    theirs: serialize.parse({ name: 'näme', text, types: [25, 0] }),
    ours: encodeParse({ statement: 'näme', text, parameterTypes: [25, 0] }),
  },
  {
    name: 'Bind in text',
    theirs: serialize.bind({ portal: 'p', statement: 's', values: ['ä', null, ''] }),
    ours: encodeBind({
      portal: 'p',
      statement: 's',
      parameterFormats: [0, 0, 0],
      parameters: [Buffer.from('ä'), null, Buffer.alloc(0)],
      resultFormats: [0],
    }),
  },
  {
    name: 'Bind in binary',
    theirs: serialize.bind({ values: [Buffer.from([0, 255])], binary: true }),
    ours: encodeBind({ portal: '', statement: '', parameterFormats: [1], parameters: [Buffer.from([0, 255])], resultFormats: [1] }),
  },
  { name: 'Describe', theirs: serialize.describe({ type: 'P', name: 'p' }), ours: encodeDescribe({ kind: 'portal', name: 'p' }) },
  { name: 'Close', theirs: serialize.close({ type: 'S', name: 's' }), ours: encodeClose({ kind: 'statement', name: 's' }) },
  { name: 'Execute', theirs: serialize.execute({ portal: 'p', rows: 7 }), ours: encodeExecute('p', 7) },
  { name: 'Execute for all rows', theirs: serialize.execute(), ours: encodeExecute('') },
  { name: 'Flush', theirs: serialize.flush(), ours: encodeFlush() },
  { name: 'Sync', theirs: serialize.sync(), ours: encodeSync() },
  { name: 'Terminate', theirs: serialize.end(), ours: encodeTerminate() },
  { name: 'CopyData', theirs: serialize.copyData(Buffer.from([0, 1, 255])), ours: copy.encodeCopyData(Buffer.from([0, 1, 255])) },
  { name: 'CopyDone', theirs: serialize.copyDone(), ours: copy.encodeCopyDone() },
  { name: 'CopyFail', theirs: serialize.copyFail('nö'), ours: copy.encodeCopyFail('nö') },
  { name: 'PasswordMessage', theirs: serialize.password('pä'), ours: encodePassword(Buffer.from('pä')) },
  {
    name: 'SASLInitialResponse',
    theirs: serialize.sendSASLInitialResponseMessage('SCRAM-SHA-256', 'n,,n=*,r=x'),
    ours: encodeSaslInitialResponse('SCRAM-SHA-256', Buffer.from('n,,n=*,r=x')),
  },
  { name: 'SASLResponse', theirs: serialize.sendSCRAMClientFinalMessage('c=biws'), ours: encodeSaslResponse(Buffer.from('c=biws')) },
  { name: 'SSLRequest', theirs: serialize.requestSsl(), ours: encodeSslRequest() },
  { name: 'CancelRequest', theirs: serialize.cancel(7, 0x01020304), ours: encodeCancelRequest(7, Buffer.from([1, 2, 3, 4])) },
];
for (const { name, theirs, ours } of frontend) test(`${name}: the same bytes`, () => assert.deepEqual(ours, theirs));

test('StartupMessage: read as it was meant', () => {
  const theirs = serialize.startup({ user: 'app', database: 'shöp' });
  assert.deepEqual(decodeStartupPacket(theirs, 0, theirs.length), {
    type: 'StartupMessage',
    version: PROTOCOL_3_0,
    parameters: [
      ['user', 'app'],
      ['database', 'shöp'],
      ['client_encoding', 'UTF8'],
    ],
  });
});

async function readByThem(...frames: Buffer[]): Promise<Record<string, unknown>[]> {
  const messages: unknown[] = [];
  await parse(Duplex.from(frames), (message) => messages.push(message));
  return messages as Record<string, unknown>[];
}

const column = { name: 'cölumn', table: 16_384, attribute: 3, dataType: 3_000_000_000, size: -1, modifier: -1, format: 1 as const };
const theirColumn = { name: 'cölumn', tableID: 16_384, columnID: 3, dataTypeModifier: -1, format: 'binary' };
const error = { severity: 'ERROR', sqlstate: '42501', message: 'nö', detail: 'd', hint: 'h', position: '8', where: 'w' } as const;
const theirError = { severity: 'ERROR', code: '42501', message: 'nö', detail: 'd', hint: 'h', position: '8', where: 'w' };

const backend: { name: string; ours: Buffer; theirs: Record<string, unknown> }[] = [
  { name: 'AuthenticationOk', ours: authentication.encodeAuthenticationOk(), theirs: { name: 'authenticationOk' } },
  {
    name: 'AuthenticationCleartextPassword',
    ours: authentication.encodeAuthenticationCleartextPassword(),
    theirs: { name: 'authenticationCleartextPassword' },
  },
  {
    name: 'AuthenticationSASL',
    ours: authentication.encodeAuthenticationSasl(['A', 'B']),
    theirs: { name: 'authenticationSASL', mechanisms: ['A', 'B'] },
  },
  { name: 'AuthenticationSASLContinue', ours: authentication.encodeAuthenticationSaslContinue('r=x'), theirs: { data: 'r=x' } },
  { name: 'AuthenticationSASLFinal', ours: authentication.encodeAuthenticationSaslFinal('v=x'), theirs: { data: 'v=x' } },
  { name: 'BackendKeyData', ours: encodeBackendKeyData(7, Buffer.from([0, 0, 1, 2])), theirs: { processID: 7, secretKey: 258 } },
  { name: 'ParameterStatus', ours: encodeParameterStatus('TimeZone', 'UTC'), theirs: { parameterName: 'TimeZone', parameterValue: 'UTC' } },
  { name: 'ReadyForQuery', ours: encodeReadyForQuery('E'), theirs: { name: 'readyForQuery', status: 'E' } },
  { name: 'DataRow', ours: encodeDataRow([Buffer.from('ä'), null, Buffer.alloc(0)]), theirs: { fieldCount: 3, fields: ['ä', null, ''] } },
  { name: 'CommandComplete', ours: encodeCommandComplete('SELECT 3'), theirs: { text: 'SELECT 3' } },
  { name: 'ErrorResponse', ours: encodeErrorResponse(error), theirs: { name: 'error', ...theirError } },
  { name: 'NoticeResponse', ours: encodeNoticeResponse(error), theirs: { name: 'notice', ...theirError } },
  {
    name: 'NotificationResponse',
    ours: encodeNotificationResponse({ pid: 7, channel: 'c', payload: 'p' }),
    theirs: { processId: 7, channel: 'c', payload: 'p' },
  },
  { name: 'ParameterDescription', ours: encodeParameterDescription([25, 23]), theirs: { parameterCount: 2, dataTypeIDs: [25, 23] } },
  { name: 'ParseComplete', ours: encodeEmpty('ParseComplete'), theirs: { name: 'parseComplete' } },
  { name: 'BindComplete', ours: encodeEmpty('BindComplete'), theirs: { name: 'bindComplete' } },
  { name: 'CloseComplete', ours: encodeEmpty('CloseComplete'), theirs: { name: 'closeComplete' } },
  { name: 'NoData', ours: encodeEmpty('NoData'), theirs: { name: 'noData' } },
  { name: 'EmptyQueryResponse', ours: encodeEmpty('EmptyQueryResponse'), theirs: { name: 'emptyQuery' } },
  { name: 'PortalSuspended', ours: encodeEmpty('PortalSuspended'), theirs: { name: 'portalSuspended' } },
  { name: 'CopyDone', ours: encodeEmpty('CopyDone'), theirs: { name: 'copyDone' } },
  {
    name: 'CopyInResponse',
    ours: copy.encodeCopyResponse('CopyInResponse', { format: 1, columnFormats: [1, 1] }),
    theirs: { name: 'copyInResponse', binary: true, columnTypes: [1, 1] },
  },
  { name: 'CopyData', ours: copy.encodeCopyData(Buffer.from('x')), theirs: { name: 'copyData', chunk: Buffer.from('x') } },
];
for (const { name, ours, theirs } of backend) {
  test(`${name}: they read what we meant`, async () => {
    const [message, ready] = await readByThem(ours, encodeReadyForQuery('I'));
    for (const [key, value] of Object.entries(theirs)) assert.deepEqual(message?.[key], value, key);
    assert.equal(ready?.['name'], 'readyForQuery');
  });
}

test('RowDescription: they read what we meant', async () => {
  const [message] = await readByThem(encodeRowDescription([column]));
  const field = (message?.['fields'] as Record<string, unknown>[] | undefined)?.[0];
  for (const [key, value] of Object.entries(theirColumn)) assert.deepEqual(field?.[key], value, key);
});
