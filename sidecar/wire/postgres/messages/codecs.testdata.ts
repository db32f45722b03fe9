import fc from 'fast-check';
import * as authentication from './authentication.ts';
import { decodeBackendKeyData, encodeBackendKeyData } from './backend_key_data.ts';
import { decodeBind, encodeBind } from './bind.ts';
import { decodeCommandComplete, encodeCommandComplete } from './command_complete.ts';
import * as copy from './copy.ts';
import { decodeDataRow, encodeDataRow } from './data_row.ts';
import { decodeClose, decodeDescribe, encodeClose, encodeDescribe } from './describe_close.ts';
import { decodeEmpty, encodeEmpty, encodeFlush, encodeSync, encodeTerminate } from './empty.ts';
import { decodeErrorFields, type ErrorFields, encodeErrorResponse, encodeNoticeResponse } from './error_notice.ts';
import { decodeExecute, encodeExecute } from './execute.ts';
import { decodeNegotiateProtocolVersion, encodeNegotiateProtocolVersion } from './negotiate_protocol_version.ts';
import { decodeNotificationResponse, encodeNotificationResponse } from './notification_response.ts';
import { decodeParameterDescription, encodeParameterDescription } from './parameter_description.ts';
import { decodeParameterStatus, encodeParameterStatus } from './parameter_status.ts';
import { decodeParse, encodeParse } from './parse.ts';
import * as password from './password.ts';
import { decodeQuery, encodeQuery } from './query.ts';
import { decodeReadyForQuery, encodeReadyForQuery } from './ready_for_query.ts';
import { decodeRowDescription, encodeRowDescription } from './row_description.ts';
import { decodeStartupPacket, encodeCancelRequest, encodeSslRequest, encodeStartupMessage, type StartupMessage } from './startup.ts';

export interface Codec<T> {
  readonly name: string;
  readonly arbitrary: fc.Arbitrary<T>;
  readonly encode: (message: T) => Buffer;
  readonly decode: (buffer: Buffer, start: number, end: number) => T;
  readonly untyped?: true;
  /** The last member takes all that is left: shorter and longer frames are frames too. */
  readonly openEnded?: true;
}

/** fast-check's records have no prototype; what decoders give has. */
function record<T>(model: { [P in keyof T]: fc.Arbitrary<T[P]> }, requiredKeys?: (keyof T)[]): fc.Arbitrary<T> {
  const constraints = requiredKeys ? { noNullPrototype: true, requiredKeys } : { noNullPrototype: true };
  return fc.record(model, constraints) as fc.Arbitrary<T>;
}

const text = fc.string({ unit: 'grapheme', maxLength: 20 }).map((s) => s.replaceAll('\0', '').toWellFormed());
const name = text.filter((s) => s !== '');
const bytes = fc.uint8Array({ maxLength: 30 }).map((b): Buffer => Buffer.from(b));
const secret = fc.uint8Array({ minLength: 4, maxLength: 256 }).map((b): Buffer => Buffer.from(b));
const value = fc.option(bytes, { nil: null });
const formatCode = fc.constantFrom<0 | 1>(0, 1);
const formats = fc.array(formatCode, { maxLength: 5 });
const oid = fc.nat(0xffff_ffff);
const int32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff });
const int16 = fc.integer({ min: -0x8000, max: 0x7fff });

function codec<T>(codecOf: Codec<T>): Codec<never> {
  return codecOf as unknown as Codec<never>;
}

const named = record({ kind: fc.constantFrom<'statement' | 'portal'>('statement', 'portal'), name: text });

const parametersAndFormats = fc.array(value, { maxLength: 4 }).chain((parameters) =>
  record({
    parameters: fc.constant(parameters),
    parameterFormats: fc.oneof(
      fc.constant([] as (0 | 1)[]),
      fc.array(formatCode, { minLength: 1, maxLength: 1 }),
      fc.array(formatCode, { minLength: parameters.length, maxLength: parameters.length }),
    ),
  }),
);

const errorFields = record(
  {
    severity: fc.constantFrom('ERROR', 'FATAL', 'NOTICE'),
    severityEnglish: fc.constantFrom('ERROR', 'FATAL', 'NOTICE'),
    sqlstate: fc.stringMatching(/^[0-9A-Z]{5}$/),
    message: text,
    detail: text,
    hint: text,
    position: fc.nat().map(String),
    internalQuery: text,
    where: text,
    column: text,
    constraint: text,
    routine: text,
  },
  ['severity', 'severityEnglish', 'sqlstate', 'message'],
) as fc.Arbitrary<ErrorFields>;

const startupMessage: fc.Arbitrary<StartupMessage> = record({
  type: fc.constant('StartupMessage' as const),
  version: fc.constantFrom(0x0003_0000, 0x0003_0002, 0x0003_270f),
  parameters: fc.uniqueArray(fc.tuple(name, text), { selector: ([key]) => key, maxLength: 5 }),
});

const EMPTY = ['ParseComplete', 'BindComplete', 'CloseComplete', 'NoData', 'EmptyQueryResponse', 'PortalSuspended', 'CopyDone'] as const;

export const CODECS: readonly Codec<never>[] = [
  codec({
    name: 'StartupMessage',
    arbitrary: startupMessage,
    encode: (m) => encodeStartupMessage(m.version, m.parameters),
    decode: (...at) => decodeStartupPacket(...at) as StartupMessage,
    untyped: true,
  }),
  codec({
    name: 'SSLRequest',
    arbitrary: fc.constant({ type: 'SSLRequest' as const }),
    encode: encodeSslRequest,
    decode: (...at) => decodeStartupPacket(...at) as { type: 'SSLRequest' },
    untyped: true,
  }),
  codec({
    name: 'CancelRequest',
    arbitrary: record({ type: fc.constant('CancelRequest' as const), pid: int32, secret }),
    encode: (m) => encodeCancelRequest(m.pid, m.secret),
    decode: (...at) => decodeStartupPacket(...at) as { type: 'CancelRequest'; pid: number; secret: Buffer },
    untyped: true,
    openEnded: true,
  }),
  codec({
    name: 'Query',
    arbitrary: text.map((t) => ({ type: 'Query' as const, text: t })),
    encode: (m) => encodeQuery(m.text),
    decode: decodeQuery,
  }),
  codec({
    name: 'Parse',
    arbitrary: record({ type: fc.constant('Parse' as const), statement: text, text, parameterTypes: fc.array(oid, { maxLength: 5 }) }),
    encode: encodeParse,
    decode: (...at) => decodeParse(...at) as ReturnType<typeof decodeParse> & { parameterTypes: number[] },
  }),
  codec({
    name: 'Bind',
    arbitrary: fc
      .tuple(record({ portal: text, statement: text, resultFormats: formats }), parametersAndFormats)
      .map(([a, b]) => ({ type: 'Bind' as const, ...a, ...b })),
    encode: encodeBind,
    decode: (...at) => decodeBind(...at) as never,
  }),
  codec({
    name: 'Describe',
    arbitrary: named.map((n) => ({ type: 'Describe' as const, ...n })),
    encode: encodeDescribe,
    decode: decodeDescribe,
  }),
  codec({ name: 'Close', arbitrary: named.map((n) => ({ type: 'Close' as const, ...n })), encode: encodeClose, decode: decodeClose }),
  codec({
    name: 'Execute',
    arbitrary: record({ type: fc.constant('Execute' as const), portal: text, maxRows: int32 }),
    encode: (m) => encodeExecute(m.portal, m.maxRows),
    decode: decodeExecute,
  }),
  codec({ name: 'Sync', arbitrary: fc.constant(undefined), encode: encodeSync, decode: decodeEmpty }),
  codec({ name: 'Flush', arbitrary: fc.constant(undefined), encode: encodeFlush, decode: decodeEmpty }),
  codec({ name: 'Terminate', arbitrary: fc.constant(undefined), encode: encodeTerminate, decode: decodeEmpty }),
  ...EMPTY.map((type) => codec({ name: type, arbitrary: fc.constant(undefined), encode: () => encodeEmpty(type), decode: decodeEmpty })),
  codec({ name: 'CopyData', arbitrary: bytes, encode: copy.encodeCopyData, decode: copy.decodeCopyData, openEnded: true }),
  codec({
    name: 'CopyFail',
    arbitrary: text.map((message) => ({ type: 'CopyFail' as const, message })),
    encode: (m) => copy.encodeCopyFail(m.message),
    decode: copy.decodeCopyFail,
  }),
  codec({
    name: 'CopyOutResponse',
    arbitrary: fc.oneof(
      record({ format: fc.constant<0 | 1>(1), columnFormats: formats }),
      record({ format: fc.constant<0 | 1>(0), columnFormats: fc.array(fc.constant<0 | 1>(0), { maxLength: 5 }) }),
    ),
    encode: (m) => copy.encodeCopyResponse('CopyOutResponse', m),
    decode: (...at) => copy.decodeCopyResponse(...at) as { format: 0 | 1; columnFormats: (0 | 1)[] },
  }),
  codec({
    name: 'PasswordMessage',
    arbitrary: text,
    encode: (m) => password.encodePassword(Buffer.from(m)),
    decode: password.decodePassword,
  }),
  codec({
    name: 'SASLInitialResponse',
    arbitrary: record({ mechanism: text, data: bytes }),
    encode: (m) => password.encodeSaslInitialResponse(m.mechanism, m.data),
    decode: (...at) => password.decodeSaslInitialResponse(...at) as { mechanism: string; data: Buffer },
  }),
  codec({
    name: 'SASLResponse',
    arbitrary: bytes,
    encode: password.encodeSaslResponse,
    decode: password.decodeSaslResponse,
    openEnded: true,
  }),
  codec({
    name: 'AuthenticationOk',
    arbitrary: fc.constant<authentication.Authentication>({ type: 'AuthenticationOk' }),
    encode: authentication.encodeAuthenticationOk,
    decode: authentication.decodeAuthentication,
  }),
  codec({
    name: 'AuthenticationCleartextPassword',
    arbitrary: fc.constant<authentication.Authentication>({ type: 'AuthenticationCleartextPassword' }),
    encode: authentication.encodeAuthenticationCleartextPassword,
    decode: authentication.decodeAuthentication,
  }),
  codec({
    name: 'AuthenticationSASL',
    arbitrary: fc.array(name, { maxLength: 4 }).map((mechanisms) => ({ type: 'AuthenticationSASL' as const, mechanisms })),
    encode: (m) => authentication.encodeAuthenticationSasl(m.mechanisms),
    decode: (...at) => authentication.decodeAuthentication(...at) as { type: 'AuthenticationSASL'; mechanisms: string[] },
  }),
  codec({
    name: 'AuthenticationSASLContinue',
    arbitrary: text.map((data) => ({ type: 'AuthenticationSASLContinue' as const, data })),
    encode: (m) => authentication.encodeAuthenticationSaslContinue(m.data),
    decode: (...at) => authentication.decodeAuthentication(...at) as { type: 'AuthenticationSASLContinue'; data: string },
    openEnded: true,
  }),
  codec({
    name: 'BackendKeyData',
    arbitrary: record({ pid: int32, secret }),
    encode: (m) => encodeBackendKeyData(m.pid, m.secret),
    decode: decodeBackendKeyData,
    openEnded: true,
  }),
  codec({
    name: 'ParameterStatus',
    arbitrary: record({ name: text, value: text }),
    encode: (m) => encodeParameterStatus(m.name, m.value),
    decode: decodeParameterStatus,
  }),
  codec({ name: 'ReadyForQuery', arbitrary: fc.constantFrom('I', 'T', 'E'), encode: encodeReadyForQuery, decode: decodeReadyForQuery }),
  codec({
    name: 'RowDescription',
    arbitrary: fc.array(
      record({ name: text, table: oid, attribute: int16, dataType: oid, size: int16, modifier: int32, format: formatCode }),
      { maxLength: 4 },
    ),
    encode: encodeRowDescription,
    decode: decodeRowDescription,
  }),
  codec({ name: 'DataRow', arbitrary: fc.array(value, { maxLength: 5 }), encode: encodeDataRow, decode: decodeDataRow }),
  codec({ name: 'CommandComplete', arbitrary: text, encode: encodeCommandComplete, decode: decodeCommandComplete }),
  codec({ name: 'ErrorResponse', arbitrary: errorFields, encode: encodeErrorResponse, decode: decodeErrorFields }),
  codec({ name: 'NoticeResponse', arbitrary: errorFields, encode: encodeNoticeResponse, decode: decodeErrorFields }),
  codec({
    name: 'NotificationResponse',
    arbitrary: record({ pid: int32, channel: text, payload: text }),
    encode: encodeNotificationResponse,
    decode: decodeNotificationResponse,
  }),
  codec({
    name: 'ParameterDescription',
    arbitrary: fc.array(oid, { maxLength: 5 }),
    encode: encodeParameterDescription,
    decode: decodeParameterDescription,
  }),
  codec({
    name: 'NegotiateProtocolVersion',
    arbitrary: record({ version: fc.constantFrom(0x0003_0000, 0x0003_0002), unknownOptions: fc.array(text, { maxLength: 3 }) }),
    encode: encodeNegotiateProtocolVersion,
    decode: (...at) => decodeNegotiateProtocolVersion(...at) as { version: number; unknownOptions: string[] },
  }),
];
