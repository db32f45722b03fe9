import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import { makePermit, recorded } from '#sidecar/permit.ts';
import * as auth from '#sidecar/wire/postgres/messages/authentication.ts';
import { encodeBackendKeyData } from '#sidecar/wire/postgres/messages/backend_key_data.ts';
import { encodeDataRow } from '#sidecar/wire/postgres/messages/data_row.ts';
import { encodeEmpty } from '#sidecar/wire/postgres/messages/empty.ts';
import { encodeNoticeResponse } from '#sidecar/wire/postgres/messages/error_notice.ts';
import { encodeNegotiateProtocolVersion } from '#sidecar/wire/postgres/messages/negotiate_protocol_version.ts';
import { encodeParameterStatus } from '#sidecar/wire/postgres/messages/parameter_status.ts';
import { encodeReadyForQuery } from '#sidecar/wire/postgres/messages/ready_for_query.ts';
import { encodeRowDescription, textColumn } from '#sidecar/wire/postgres/messages/row_description.ts';
import { UpstreamError, type UpstreamErrorCode } from '../errors.ts';
import { postgresClient } from './client.ts';
import { connectPostgres, type PostgresLogin } from './login.ts';

const verdict = { decision: 'Allow', code: 'AllowedSession', message: '', authors: [], gates: [], audit: [] } as const;
const proof = recorded(makePermit({ type: 'connect' }, verdict, Buffer.alloc(0)), 1);

/** Answers each message of the client with the next of `answers`; a function is given what the client sent. */
type Answer = Buffer | ((received: Buffer) => Buffer | 'close');
async function fakeServer(answers: readonly Answer[], act: (port: number) => Promise<void>): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    let step = 0;
    socket.on('data', (received: Buffer) => {
      const answer = answers[step++];
      const bytes = typeof answer === 'function' ? answer(received) : answer;
      if (bytes === 'close') socket.end();
      else if (bytes) socket.write(bytes);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await act((server.address() as { port: number }).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

const password = Buffer.from(randomBytes(12).toString('hex'));

const login = (port: number, more: Partial<PostgresLogin> = {}): PostgresLogin => ({
  recorded: proof,
  address: { host: '127.0.0.1', port },
  tls: { mode: 'Disable' },
  user: 'app',
  password,
  database: 'shop',
  protocol: '3.0',
  timeoutMs: 3_000,
  ...more,
});

const sasl = auth.encodeAuthenticationSasl(['SCRAM-SHA-256']);
/** server-first-message for the nonce that the client sent. */
const first =
  (rest: string, nonce = (own: string) => `${own}server`): Answer =>
  (received) =>
    auth.encodeAuthenticationSaslContinue(`r=${nonce(/r=(.*)$/s.exec(received.toString('latin1'))?.[1] ?? '')},${rest}`);
const salted = first('s=c2FsdA==,i=4096');
const ready = Buffer.concat([
  auth.encodeAuthenticationOk(),
  encodeParameterStatus('client_encoding', 'UTF8'),
  encodeParameterStatus('standard_conforming_strings', 'on'),
  encodeBackendKeyData(1, Buffer.alloc(4)),
  encodeReadyForQuery('I'),
]);
const notice = encodeNoticeResponse({ severity: 'NOTICE', sqlstate: '00000', message: 'x'.repeat(60_000) });

const hostile: { name: string; answers: Answer[]; code: UpstreamErrorCode; tls?: true }[] = [
  { name: 'asks for the password in clear text', answers: [auth.encodeAuthenticationCleartextPassword()], code: 'method_refused' },
  { name: 'asks for md5', answers: [Buffer.from('520000000c0000000501020304', 'hex')], code: 'method_refused' },
  { name: 'asks for GSS', answers: [Buffer.from('520000000800000007', 'hex')], code: 'method_refused' },
  { name: 'offers nothing that is spoken', answers: [auth.encodeAuthenticationSasl(['SCRAM-SHA-1', 'PLAIN'])], code: 'method_refused' },
  {
    name: 'offers channel binding alone, without TLS',
    answers: [auth.encodeAuthenticationSasl(['SCRAM-SHA-256-PLUS'])],
    code: 'method_refused',
  },
  { name: 'asks for 2^31 iterations', answers: [sasl, first('s=c2FsdA==,i=2147483648')], code: 'protocol' },
  { name: 'asks for one iteration over the cap', answers: [sasl, first('s=c2FsdA==,i=600001')], code: 'protocol' },
  { name: 'asks for no iteration', answers: [sasl, first('s=c2FsdA==,i=0')], code: 'protocol' },
  { name: 'sends no salt', answers: [sasl, first('s=,i=4096')], code: 'protocol' },
  { name: 'sends an extension of SCRAM', answers: [sasl, first('s=c2FsdA==,i=4096,x=y')], code: 'protocol' },
  { name: 'sends another nonce', answers: [sasl, first('s=c2FsdA==,i=4096', () => 'other')], code: 'protocol' },
  { name: 'adds nothing to the nonce', answers: [sasl, first('s=c2FsdA==,i=4096', (own) => own)], code: 'protocol' },
  {
    name: 'sends a nonce of 60 000 bytes',
    answers: [sasl, first('s=c2FsdA==,i=4096', (own) => own + 'x'.repeat(60_000))],
    code: 'protocol',
  },
  { name: 'sends a nonce of 10 MB', answers: [sasl, first('s=c2FsdA==,i=4096', (own) => own + 'x'.repeat(1e7))], code: 'protocol' },
  {
    name: 'proves nothing',
    answers: [sasl, salted, auth.encodeAuthenticationSaslFinal(`v=${'A'.repeat(43)}=`)],
    code: 'server_not_proven',
  },
  { name: 'proves with an empty signature', answers: [sasl, salted, auth.encodeAuthenticationSaslFinal('v=')], code: 'server_not_proven' },
  { name: 'says OK in place of its proof', answers: [sasl, salted, ready], code: 'server_not_proven' },
  { name: 'says OK in place of a challenge', answers: [sasl, ready], code: 'protocol' },
  { name: 'sends rows in place of a login', answers: [encodeDataRow([])], code: 'protocol' },
  { name: 'sends a type that is not one', answers: [Buffer.from('z')], code: 'protocol' },
  { name: 'sends a message of 2^31 bytes', answers: [Buffer.from('5280000000', 'hex')], code: 'protocol' },
  { name: 'sends an error without SQLSTATE', answers: [Buffer.from('45000000094d6e6f0000', 'hex')], code: 'refused' },
  { name: 'sends an error that is empty', answers: [Buffer.from('450000000500', 'hex')], code: 'refused' },
  { name: 'goes on with notices', answers: [Buffer.concat(Array.from({ length: 20 }, () => notice))], code: 'protocol' },
  {
    name: 'goes on with parameters',
    answers: [Buffer.concat([auth.encodeAuthenticationOk(), ...Array.from({ length: 600 }, () => encodeParameterStatus('a', 'b'))])],
    code: 'protocol',
  },
  {
    name: 'is in a transaction at once',
    answers: [Buffer.concat([auth.encodeAuthenticationOk(), encodeReadyForQuery('T')])],
    code: 'protocol',
  },
  {
    name: 'is in another encoding',
    answers: [Buffer.concat([auth.encodeAuthenticationOk(), encodeParameterStatus('client_encoding', 'LATIN1'), encodeReadyForQuery('I')])],
    code: 'refused',
  },
  {
    name: 'chooses a protocol that was not offered',
    answers: [encodeNegotiateProtocolVersion({ version: 0x30002, unknownOptions: [] })],
    code: 'protocol',
  },
  {
    name: 'answers options that were not sent',
    answers: [encodeNegotiateProtocolVersion({ version: 0x30000, unknownOptions: ['_pq_.x'] })],
    code: 'protocol',
  },
  {
    name: 'negotiates twice',
    answers: [
      Buffer.concat([
        encodeNegotiateProtocolVersion({ version: 0x30000, unknownOptions: [] }),
        encodeNegotiateProtocolVersion({ version: 0x30000, unknownOptions: [] }),
      ]),
    ],
    code: 'protocol',
  },
  { name: 'closes', answers: [() => 'close'], code: 'closed' },
  { name: 'has no TLS', answers: [Buffer.from('N')], code: 'tls_refused', tls: true },
  { name: 'answers the request for TLS with an error', answers: [Buffer.from('E')], code: 'protocol', tls: true },
  { name: 'sends bytes ahead of its handshake', answers: [Buffer.concat([Buffer.from('S'), ready])], code: 'protocol', tls: true },
  { name: 'answers the handshake with plain text', answers: [Buffer.from('S'), ready], code: 'tls_failed', tls: true },
  { name: 'closes at the request for TLS', answers: [() => 'close'], code: 'closed', tls: true },
];
for (const { name, answers, code, tls } of hostile) {
  test(`a server that ${name}: ${code}`, () =>
    fakeServer(answers, async (port) => {
      const options = login(port, tls ? { tls: { mode: 'VerifyFull' } } : {});
      await assert.rejects(
        connectPostgres(options),
        (error) => error instanceof UpstreamError && error.code === code && !error.message.includes(password.toString()),
      );
    }));
}

for (const tls of [undefined, { mode: 'VerifyFull' } as const]) {
  test(`a server that says nothing: timeout (${tls ? 'TLS' : 'plain'})`, () =>
    fakeServer([], async (port) => {
      await assert.rejects(connectPostgres(login(port, { timeoutMs: 100, ...(tls ? { tls } : {}) })), { code: 'timeout' });
    }));

  test(`a caller that gives up: aborted (${tls ? 'TLS' : 'plain'})`, () => {
    const stop = new AbortController();
    const answer: Answer = () => {
      stop.abort();
      return Buffer.alloc(0);
    };
    return fakeServer([answer], async (port) => {
      await assert.rejects(connectPostgres(login(port, { signal: stop.signal, ...(tls ? { tls } : {}) })), { code: 'aborted' });
    });
  });
}

test('a login without a question is taken, and what follows it is kept', () =>
  fakeServer([Buffer.concat([ready, notice.subarray(0, 7)])], async (port) => {
    const connection = await connectPostgres(login(port));
    assert.deepEqual(connection.leftover, notice.subarray(0, 7));
    connection.stream.destroy();
  }));

const columns = (count: number): Buffer => encodeRowDescription(Array.from({ length: count }, () => textColumn('c')));
const answersToQuery: { name: string; answer: Buffer; code: UpstreamErrorCode }[] = [
  { name: 'a row with another number of columns', answer: Buffer.concat([columns(2), encodeDataRow([null])]), code: 'protocol' },
  {
    name: 'a row with a field of length -2',
    answer: Buffer.concat([columns(1), Buffer.from('440000000a0001fffffffe', 'hex')]),
    code: 'protocol',
  },
  { name: 'a description of 65 535 columns, cut short', answer: Buffer.from('5400000006ffff', 'hex'), code: 'protocol' },
  { name: 'rows without description', answer: encodeDataRow([Buffer.from('x')]), code: 'protocol' },
  { name: 'an answer of another protocol', answer: encodeEmpty('ParseComplete'), code: 'protocol' },
  { name: 'a field longer than the limit', answer: Buffer.concat([columns(1), encodeDataRow([Buffer.alloc(20_000)])]), code: 'too_much' },
  { name: 'a length far over the limit', answer: Buffer.from('4430000000', 'hex'), code: 'protocol' },
];
for (const { name, answer, code } of answersToQuery) {
  test(`a query that is answered by ${name}: ${code}`, () =>
    fakeServer([ready, answer], async (port) => {
      const client = postgresClient(await connectPostgres(login(port)), { timeoutMs: 3_000, maxBytes: 10_000 });
      await assert.rejects(client.query('SELECT 1'), { code });
      assert.equal(client.closed, true);
    }));
}
