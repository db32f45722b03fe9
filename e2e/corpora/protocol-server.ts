/** A server that breaks the rules: one scenario at a time, found by words of a case's title. */
import { type AddressInfo, createServer, type Socket } from 'node:net';

export interface Scenario {
  readonly name: string;
  /** Words of a title that mean it. */
  readonly when: RegExp;
  readonly resource: 'bad' | 'badtls';
  /** In place of AuthenticationOk and what follows. */
  readonly login?: (client: Socket) => void;
  /** The answer to a Query, or to the Sync of an extended one. */
  readonly answer?: Buffer;
  readonly encryption?: Buffer;
}

/** Stands in what must not come through. */
export const MARK = 'from-a-bad-server';

const int16 = (value: number): Buffer => Buffer.from([(value >> 8) & 255, value & 255]);

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
}

function message(type: string, ...parts: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
}

const column = (name: string): Buffer =>
  Buffer.concat([Buffer.from(`${name}\0`), int32(0), int16(0), int32(25), int16(65_535), int32(-1), int16(0)]);
const columns = (count: number): Buffer =>
  message('T', int16(count), ...Array.from({ length: Math.min(count, 4) }, (_, i) => column(`c${i}`)));
const field = (length: number, value: string): Buffer => Buffer.concat([int32(length), Buffer.from(value)]);
const row = (count: number, ...fields: readonly Buffer[]): Buffer => message('D', int16(count), ...fields);
const end = Buffer.concat([message('C', 'SELECT 1\0'), message('Z', 'I')]);
const cell = field(MARK.length, MARK);
const rows = (...parts: readonly Buffer[]): Buffer => Buffer.concat([...parts, end]);
const ok = message('R', int32(0));
const parameters = Object.entries({
  server_version: '15.18',
  server_encoding: 'UTF8',
  client_encoding: 'UTF8',
  standard_conforming_strings: 'on',
  integer_datetimes: 'on',
}).map(([name, value]) => message('S', `${name}\0${value}\0`));
export const GREETING = Buffer.concat([ok, ...parameters, message('K', int32(7), int32(8)), message('Z', 'I')]);

/** Asks for SCRAM, and answers the client's first message with `challenge`, which is given the client's nonce. */
const scram = (challenge: (nonce: string) => string) => (client: Socket) => {
  client.once('data', (chunk: Buffer) => {
    const nonce = /r=([^,]+)/.exec(chunk.toString('latin1'))?.[1] ?? '';
    client.write(message('R', int32(11), challenge(nonce)));
  });
  client.write(message('R', int32(10), 'SCRAM-SHA-256\0\0'));
};

export const SCENARIOS: readonly Scenario[] = [
  { name: 'field length -2', when: /field length|negative/i, resource: 'bad', answer: rows(columns(1), row(1, field(-2, MARK))) },
  {
    name: 'field past its message',
    when: /longer than|past|beyond|bounds/i,
    resource: 'bad',
    answer: rows(columns(1), row(1, field(900, MARK))),
  },
  {
    name: 'field of 2^31',
    when: /field length|2\^31|overflow/i,
    resource: 'bad',
    answer: rows(columns(1), row(1, field(0x7fff_ffff, MARK))),
  },
  { name: 'more fields than columns', when: /column|mismatch/i, resource: 'bad', answer: rows(columns(2), row(3, cell, cell, cell)) },
  { name: 'fewer fields than columns', when: /column|mismatch/i, resource: 'bad', answer: rows(columns(2), row(1, cell)) },
  { name: '65 535 columns', when: /65 ?535|RowDescription/i, resource: 'bad', answer: rows(columns(65_535), row(65_535, cell)) },
  { name: 'a row without columns', when: /DataRow|unexpected|order/i, resource: 'bad', answer: rows(row(1, cell)) },
  { name: 'an error without SQLSTATE', when: /SQLSTATE/i, resource: 'bad', answer: rows(message('E', `SERROR\0M${MARK}\0\0`)) },
  {
    name: 'an error without SQLSTATE at login',
    when: /SQLSTATE/i,
    resource: 'bad',
    login: (client) => client.end(message('E', `SFATAL\0M${MARK}\0\0`)),
  },
  {
    name: 'a nonce of 10 MB',
    when: /nonce/i,
    resource: 'bad',
    login: scram((nonce) => `r=${nonce}${'x'.repeat(10_000_000)},s=AAAA,i=4096`),
  },
  { name: '2^31 iterations', when: /iteration/i, resource: 'bad', login: scram((nonce) => `r=${nonce}xyz,s=AAAAAAAA,i=2147483648`) },
  { name: 'ten million iterations', when: /iteration/i, resource: 'bad', login: scram((nonce) => `r=${nonce}xyz,s=AAAAAAAA,i=2147483647`) },
  { name: 'a foreign nonce', when: /nonce/i, resource: 'bad', login: scram(() => 'r=another,s=AAAAAAAA,i=4096') },
  { name: 'no proof of the password', when: /proof|AuthenticationOk|SCRAM/i, resource: 'bad', login: (client) => scramThenOk(client) },
  { name: 'an unknown type', when: /unknown|unexpected|type/i, resource: 'bad', answer: rows(message('?', MARK)) },
  {
    name: 'a message of 2^32 - 1',
    when: /length|overflow|GB|2\^3/i,
    resource: 'bad',
    answer: Buffer.concat([Buffer.from('D'), int32(-1), Buffer.from(MARK)]),
  },
  { name: 'a message of 0', when: /length|zero/i, resource: 'bad', answer: Buffer.concat([Buffer.from('D'), int32(0), Buffer.from(MARK)]) },
  {
    name: 'a COPY that nobody asked for',
    when: /copy/i,
    resource: 'bad',
    answer: rows(message('H', Buffer.from([0]), int16(1), int16(0)), message('d', MARK)),
  },
  { name: 'a second login', when: /authentication|login|second/i, resource: 'bad', answer: rows(ok) },
  {
    name: 'answers to nothing',
    when: /unsolicited|extra|two|ReadyForQuery/i,
    resource: 'bad',
    answer: Buffer.concat([end, columns(1), row(1, cell), end]),
  },
  {
    name: 'another encoding',
    when: /encoding|ParameterStatus/i,
    resource: 'bad',
    answer: rows(message('S', 'client_encoding\0SJIS\0'), columns(1), row(1, cell)),
  },
  {
    name: 'bytes before the handshake',
    when: /handshake|TLS|SSL|plaintext/i,
    resource: 'badtls',
    encryption: Buffer.concat([Buffer.from('S'), GREETING]),
  },
  {
    name: 'an error in place of S',
    when: /handshake|TLS|SSL|plaintext/i,
    resource: 'badtls',
    encryption: message('E', `SFATAL\0C08P01\0M${MARK}\0\0`),
  },
];

function scramThenOk(client: Socket): void {
  client.once('data', () => client.write(GREETING));
  client.write(message('R', int32(10), 'SCRAM-SHA-256\0\0'));
}

/** Of a title; all where it names none. */
export function scenariosOf(title: string): readonly Scenario[] {
  const named = SCENARIOS.filter(({ when }) => when.test(title));
  return named.length > 0 ? named : SCENARIOS;
}

export interface BadServer {
  readonly port: number;
  /** Connections that are open. */
  readonly open: number;
  play(scenario: Scenario): void;
  stop(): Promise<void>;
}

const SSL_REQUEST = 80877103;

export async function startBadServer(): Promise<BadServer> {
  const sockets = new Set<Socket>();
  let scenario: Scenario | null = null;
  const server = createServer((client) => {
    sockets.add(client);
    client.on('error', () => {});
    client.once('close', () => sockets.delete(client));
    let started = false;
    client.on('data', (chunk: Buffer) => {
      if (!started && chunk.length >= 8 && chunk.readUInt32BE(4) === SSL_REQUEST) {
        client.write(scenario?.encryption ?? Buffer.from('N'));
      } else if (!started) {
        started = true;
        if (scenario?.login === undefined) client.write(GREETING);
        else scenario.login(client);
      } else if (chunk[0] !== 0x70 && chunk[0] !== 0x58) {
        client.write(scenario?.answer ?? end);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    get open() {
      return sockets.size;
    },
    play: (next) => {
      scenario = next;
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
