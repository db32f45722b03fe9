import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { NodeStream } from '#sidecar/transport/node.ts';
import { TlsError } from './errors.ts';
import { type StartTls, startTlsWith } from './tls.ts';
import { newAuthority, newLeaf } from './x509.ts';

const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
const authority = newAuthority('test CA', validity);
const leaf = newLeaf(authority, 'test CA', ['localhost', '127.0.0.1', '::1'], validity);
const certificate = { key: leaf.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), certificate: leaf.certificate };
const trust: ConnectionOptions = { ca: authority.certificate, host: 'localhost', servername: 'localhost' };

describe('TLS on the agent’s leg', () => {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  let port = 0;
  before(async () => {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as { port: number }).port;
  });
  after(() => server.close());

  const starts = startTlsWith(certificate, 500);

  /** A client's socket, and what the server side makes of it: reads until `until` bytes are there, then starts TLS. */
  async function meet(
    start: (tls: StartTls, socket: Socket) => Promise<TLSSocket>,
  ): Promise<{ client: Socket; accepted: Promise<TLSSocket> }> {
    const connection = once(server, 'connection');
    const client = connect(port, '127.0.0.1');
    client.on('error', () => {});
    const [socket] = (await connection) as [Socket];
    socket.on('error', () => {});
    const accepted = start(starts, socket);
    accepted.catch(() => {});
    return { client, accepted };
  }

  /** Reads one chunk by way of a NodeStream, as a driver does, and lets go of the socket again. */
  function firstChunk(socket: Socket): Promise<Buffer> {
    return new Promise((resolve) => {
      const stream = new NodeStream(socket);
      const nothing = (): void => {};
      stream.start({
        data: (chunk) => {
          stream.detach();
          resolve(Buffer.from(chunk));
        },
        drained: nothing,
        ended: nothing,
        closed: nothing,
      });
    });
  }

  const direct = async (tls: StartTls, socket: Socket) => tls.direct(socket, await firstChunk(socket), 'postgresql');
  const inBand = async (tls: StartTls, socket: Socket) => {
    assert.equal((await firstChunk(socket)).toString(), '?');
    const secure = tls.inBand(socket);
    socket.write('S');
    return secure;
  };

  async function echo(client: TLSSocket, accepted: TLSSocket): Promise<void> {
    accepted.pipe(accepted);
    client.end('hello');
    const chunks = await client.toArray();
    assert.equal(Buffer.concat(chunks).toString(), 'hello');
  }

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`in band after a request, ${maxVersion}`, async () => {
      const { client, accepted } = await meet(inBand);
      client.write('?');
      const [answer] = await once(client, 'data');
      assert.equal(String(answer), 'S');
      client.removeAllListeners('data');
      const secure = connectTls({ ...trust, socket: client, maxVersion });
      await once(secure, 'secureConnect');
      assert.equal(secure.authorized, true);
      assert.equal(secure.getProtocol(), maxVersion);
      await echo(secure, await accepted);
    });
  }

  test('direct, with the first bytes already read', async () => {
    const { client, accepted } = await meet(direct);
    const secure = connectTls({ ...trust, socket: client, ALPNProtocols: ['postgresql'] });
    await once(secure, 'secureConnect');
    assert.equal(secure.alpnProtocol, 'postgresql');
    await echo(secure, await accepted);
  });

  const rejections: { name: string; code: TlsError['code']; start: typeof direct; client: (socket: Socket) => void }[] = [
    { name: 'direct without ALPN', code: 'alpn_missing', start: direct, client: (socket) => quietTls({ ...trust, socket }) },
    {
      name: 'direct with another protocol in ALPN',
      code: 'handshake_failed',
      start: direct,
      client: (socket) => quietTls({ ...trust, socket, ALPNProtocols: ['http/1.1'] }),
    },
    {
      name: 'TLS 1.1',
      code: 'handshake_failed',
      start: direct,
      client: (socket) => quietTls({ ...trust, socket, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    },
    {
      name: 'a cipher without forward secrecy',
      code: 'handshake_failed',
      start: direct,
      client: (socket) => quietTls({ ...trust, socket, maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }),
    },
    { name: 'something else than TLS', code: 'handshake_failed', start: inBand, client: (socket) => void socket.write('?') },
    { name: 'a client that closes in the handshake', code: 'timeout', start: direct, client: (socket) => void socket.end('\x16\x03\x01') },
    { name: 'a client that stops in the handshake', code: 'timeout', start: direct, client: (socket) => void socket.write('\x16\x03\x01') },
  ];
  for (const { name, code, start, client: act } of rejections) {
    test(`refuses ${name} and closes`, async () => {
      const { client, accepted } = await meet(start);
      const closed = once(client, 'close');
      act(client);
      if (start === inBand) {
        await once(client, 'data');
        client.write('GET / HTTP/1.1\r\n\r\n');
      }
      await assert.rejects(accepted, (error: unknown) => error instanceof TlsError && error.code === code);
      client.resume();
      await closed;
    });
  }

  test('refuses bytes that came after the request and before the handshake', async () => {
    const { client, accepted } = await meet(async (tls, socket) => {
      await firstChunk(socket);
      socket.unshift(Buffer.from('later'));
      return tls.inBand(socket);
    });
    client.write('?');
    await assert.rejects(accepted, { code: 'plaintext_before_handshake' });
    client.destroy();
  });
});

function quietTls(options: ConnectionOptions): void {
  connectTls(options).on('error', () => {});
}
