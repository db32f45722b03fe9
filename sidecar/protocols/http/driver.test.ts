import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type RequestOptions, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { ownCertificate } from '../../listener/certificate.ts';
import { startTlsWith } from '../../listener/tls.ts';
import { type PolicyPart, snapshotOf } from '../testing/snapshots.ts';
import { World } from '../testing/world.ts';
import { createHttpDriver, type HttpDriverOptions } from './driver.ts';

const ALLOW_ALL: PolicyPart = { generation: 1, rules: [{ name: 'all', action: 'Allow' }] };

interface Setup {
  readonly world: World;
  readonly port: number;
  readonly credential: string;
  readonly server: Server;
  publish(policy: PolicyPart): void;
  seen: string[];
}

async function setup(t: TestContext, service: RequestListener, options: Partial<HttpDriverOptions> = {}): Promise<Setup> {
  const world = await World.create();
  const credential = randomBytes(16).toString('hex');
  world.secrets.set('shop/billing/key', credential);
  const seen: string[] = [];
  const server = createServer((req, res) => {
    seen.push(`${req.method} ${req.url}`);
    service(req, res);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const resource = {
    name: 'billing',
    protocol: 'HTTP',
    address: { host: '127.0.0.1', port },
    aliases: [{ host: 'billing.internal', port: 80 }],
    requiredCapabilities: ['http/1'],
    http: { credential: { header: 'Authorization', prefix: 'Bearer ', secret: { name: 'billing', key: 'key' } } },
  } as const;
  const listener = await world.serve(createHttpDriver(world.context, { tls: null, ...options }), 'billing');
  t.after(async () => {
    await world.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return { world, port: listener.port, credential, server, seen, publish: (policy) => world.publish(snapshotOf(resource, policy)) };
}

async function ask(
  port: number,
  options: RequestOptions,
  body?: Buffer | string,
): Promise<{ status: number; headers: IncomingMessage['headers']; body: Buffer }> {
  const sent = request({ host: '127.0.0.1', port, ...options });
  sent.end(body);
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of answer) chunks.push(chunk as Buffer);
  return { status: answer.statusCode ?? 0, headers: answer.headers, body: Buffer.concat(chunks) };
}

const echo: RequestListener = (req, res) => {
  req.resume().once('end', () => res.end(JSON.stringify(req.headers)));
};
const results = (world: World) =>
  world.recordings.seen.filter((seen) => seen.what === 'result').map((seen) => seen.detail as { [name: string]: unknown });

test('the service gets the credential, not the agent’s header, nor what belongs to the hop', async (t) => {
  let got: IncomingMessage['headers'] = {};
  const { port, publish, credential } = await setup(t, (req, res) => {
    got = req.headers;
    res.writeHead(200, { Connection: 'X-Internal', 'X-Internal': 'a', 'Alt-Svc': 'h3=":443"', 'X-Kept': 'b' }).end('ok');
  });
  publish(ALLOW_ALL);
  const headers = {
    Authorization: 'Bearer agent',
    Connection: 'X-Hop',
    'X-Hop': '1',
    'X-Forwarded-For': '9.9.9.9',
    'X-Mine': 'c',
    TE: 'trailers',
  };
  const answer = await ask(port, { path: '/v1/a?b=c', headers });
  assert.equal(got.authorization, `Bearer ${credential}`);
  assert.deepEqual([got['x-hop'], got['x-forwarded-for'], got.te, got['x-mine']], [undefined, undefined, undefined, 'c']);
  assert.deepEqual([answer.headers['x-internal'], answer.headers['alt-svc'], answer.headers['x-kept']], [undefined, undefined, 'b']);
});

test('a service that sends the credential back does not give it away', async (t) => {
  const { port, publish, credential } = await setup(t, echo);
  publish(ALLOW_ALL);
  const answer = await ask(port, { path: '/' });
  assert.equal(answer.status, 200);
  assert.equal(answer.body.includes(credential), false);
  assert.match(answer.body.toString(), /Bearer \*{32}"/);
});

test('bodies of both directions are recorded by size and hash', async (t) => {
  const { world, port, publish } = await setup(t, (req, res) => req.pipe(res));
  publish(ALLOW_ALL);
  const body = randomBytes(3_000_000);
  const answer = await ask(port, { method: 'PUT', path: '/blob', headers: { 'Transfer-Encoding': 'chunked' } }, body);
  assert.equal(answer.body.equals(body), true);
  const sha256 = createHash('sha256').update(body).digest('hex');
  const [result] = results(world);
  const { status, tag, bytesIn, bytesOut, requestSha256, responseSha256 } = result ?? {};
  assert.deepEqual(
    { status, tag, bytesIn, bytesOut, requestSha256, responseSha256 },
    { status: 'ok', tag: '200', bytesIn: body.length, bytesOut: body.length, requestSha256: sha256, responseSha256: sha256 },
  );
});

test('a reader that stops holds the service up, not the memory of the sidecar', async (t) => {
  let written = 0;
  const chunk = Buffer.alloc(65_536, 'x');
  const { port, publish } = await setup(t, (_req, res) => {
    const more = (): void => {
      while (!res.destroyed) {
        written += chunk.length;
        if (!res.write(chunk)) return void res.once('drain', more);
      }
    };
    more();
  });
  publish(ALLOW_ALL);
  const sent = request({ host: '127.0.0.1', port, path: '/' });
  sent.end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  answer.pause();
  for (let before = -1; before !== written; ) {
    before = written;
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  assert.ok(written < 64 * 1024 * 1024, `${written} bytes were taken from the service`);
  sent.destroy();
});

test('a resource with a masking rule is refused, never passed on unmasked', async (t) => {
  const { port, publish, seen } = await setup(t, echo);
  publish({ ...ALLOW_ALL, masking: [{ columns: [], detectors: [{ type: 'Email', name: 'email', strategy: { type: 'Redact' } }] }] });
  const answer = await ask(port, { path: '/' });
  assert.equal(answer.status, 403);
  assert.deepEqual([JSON.parse(answer.body.toString()).code, seen], ['NotSupported', []]);
  assert.match(answer.body.toString(), /MaskingRule shop\/masks/);
});

test('a Host that is not the resource’s is refused; its aliases and loopback are it', async (t) => {
  const { port, publish, seen } = await setup(t, (req, res) => res.end(req.headers.host));
  publish({ generation: 1, rules: [{ name: 'alias', action: 'Allow', http: { hosts: ['billing.internal', '127.0.0.1'] } }] });
  const asked = async (host: string) => {
    const { status, body } = await ask(port, { path: '/', headers: { Host: host } });
    return [status, status === 200 ? body.toString() : ''];
  };
  assert.deepEqual(await asked('other.internal'), [403, '']);
  assert.deepEqual(seen, []);
  assert.deepEqual(await asked('Billing.Internal'), [200, 'billing.internal']);
  assert.equal((await asked('localhost:1'))[0], 200);
});

const RAW: readonly (readonly [string, string, number])[] = [
  ['CL and TE', 'POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX', 400],
  ['two lengths', 'POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nX', 400],
  ['obs-fold', 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n b\r\n\r\n', 400],
  ['bare LF', 'GET / HTTP/1.1\nHost: 127.0.0.1\n\n', 400],
  ['space before the colon', 'GET / HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n', 400],
  ['two hosts', 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: b\r\n\r\n', 400],
  ['another host in the URL', 'GET http://b/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', 400],
  ['an encoded slash', 'GET /a%2f..%2fb HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', 400],
  ['a dot segment', 'GET /a/../b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', 400],
  ['a body with GET', 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 30\r\n\r\nDELETE /b HTTP/1.1\r\nHost: a\r\n\r\n', 400],
  ['Upgrade', 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n', 501],
  ['CONNECT', 'CONNECT a:1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n', 501],
  ['Expect', 'POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n', 417],
  ['a method override', 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-HTTP-Method-Override: DELETE\r\n\r\n', 400],
  ['HTTP/1.0', 'GET / HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n', 505],
  ['headers that are too long', `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ${'a'.repeat(40_000)}\r\n\r\n`, 431],
];

test('what can be read in two ways does not reach the service', async (t) => {
  const { port, publish, seen } = await setup(t, echo);
  publish(ALLOW_ALL);
  for (const [what, bytes, status] of RAW) {
    const answer = await exchange(port, bytes);
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `), what);
    assert.deepEqual(seen, [], what);
  }
});

function exchange(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes, 'latin1'));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(text));
  });
}

test('pipelined requests are judged one by one and answered in order', async (t) => {
  const { port, publish, seen } = await setup(
    t,
    (req, res) => void setTimeout(() => res.end(`body of ${req.url}`), req.url === '/a' ? 30 : 0),
  );
  publish({
    generation: 1,
    rules: [
      { name: 'all', action: 'Allow' },
      { name: 'no-b', action: 'Deny', http: { paths: ['/b'] } },
    ],
  });
  const get = (path: string, connection = 'keep-alive') => `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: ${connection}\r\n\r\n`;
  const answer = await exchange(port, get('/a') + get('/b') + get('/c', 'close'));
  assert.deepEqual(answer.match(/HTTP\/1.1 \d{3}|body of \/\w/g), [
    'HTTP/1.1 200',
    'body of /a',
    'HTTP/1.1 403',
    'HTTP/1.1 200',
    'body of /c',
  ]);
  assert.deepEqual(seen, ['GET /a', 'GET /c']);
});

test('a policy that denies what is under way ends it', async (t) => {
  const { world, port, publish } = await setup(t, (_req, res) => void res.write('first'));
  publish(ALLOW_ALL);
  const sent = request({ host: '127.0.0.1', port, path: '/stream' });
  sent.on('error', () => {});
  sent.end();
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  await once(answer, 'data');
  answer.on('error', () => {});
  publish({ generation: 2, rules: [{ name: 'none', action: 'Deny' }] });
  await new Promise((resolve) => answer.once('close', resolve));
  assert.equal(answer.complete, false);
  while (results(world).length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(results(world)[0]?.status, 'aborted');
});

test('limits: actions a minute, and bytes of a session', async (t) => {
  const { world, port, publish } = await setup(t, (_req, res) => res.end('x'.repeat(1000)));
  publish({ ...ALLOW_ALL, limits: { maxActionsPerMinute: 1 } });
  const get = 'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
  const answer = await exchange(port, `${get}${get.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')}`);
  assert.deepEqual(answer.match(/HTTP\/1.1 \d{3}/g), ['HTTP/1.1 200', 'HTTP/1.1 429']);
  publish({ ...ALLOW_ALL, generation: 2, limits: { maxBytes: 500 } });
  await assert.rejects(ask(port, { path: '/' }));
  assert.deepEqual(
    world.recordings.seen
      .filter((seen) => seen.what === 'end')
      .map((seen) => ('reason' in seen.detail ? String(seen.detail.reason) : ''))
      .sort((a, b) => a.localeCompare(b)),
    ['client', 'limit'],
  );
});

test('one connection has one identity; what is no token is answered 407', async (t) => {
  const { world, port, publish, seen } = await setup(t, echo);
  publish(ALLOW_ALL);
  const get = (token: string) => `GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nProxy-Authorization: ${token}\r\n\r\n`;
  const [alice, bob] = [await world.token('alice'), await world.token('bob')];
  assert.match(await exchange(port, get('Basic YTpi')), /^HTTP\/1.1 407 [\s\S]*Proxy-Authenticate: Bearer/i);
  assert.deepEqual(seen, []);
  const answer = await exchange(port, get(`Bearer ${alice}`) + get(`Bearer ${bob}`));
  assert.deepEqual(answer.match(/HTTP\/1.1 \d{3}/g), ['HTTP/1.1 200', 'HTTP/1.1 407']);
  assert.equal(seen.length, 1);
});

test('a service that is not there is 502, and the connection’s next request is judged as any', async (t) => {
  const { port, publish, server } = await setup(t, echo);
  publish(ALLOW_ALL);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  assert.equal((await ask(port, { path: '/' })).status, 502);
});

test('values of a query that may be secret are not recorded', async (t) => {
  const { world, port, publish } = await setup(t, echo);
  publish(ALLOW_ALL);
  await ask(port, { path: '/search?page=2&api_key=hunter22&q=ada@example.com' });
  const written = await world.everythingWritten();
  assert.equal(written.includes('hunter22'), false);
  assert.equal(written.includes('ada@example.com'), false);
  const [permit] = world.recordings.seen.filter((event) => event.what === 'permit');
  assert.match(JSON.stringify(permit?.detail), /"query":"page=2&api_key=‹t:[0-9a-f]{16}›&q=‹t:[0-9a-f]{16}›"/);
});

test('TLS from the first byte, or plain, on one port', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'chaperone-http-tls-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const certificate = await ownCertificate(folder, [], new Date());
  const { port, publish, seen } = await setup(t, echo, { tls: startTlsWith(certificate) });
  publish(ALLOW_ALL);
  const secure = connectTls({ host: '127.0.0.1', port, ca: certificate.ca, servername: 'localhost', ALPNProtocols: ['h2', 'http/1.1'] });
  await once(secure, 'secureConnect');
  assert.equal(secure.alpnProtocol, 'http/1.1');
  secure.write('GET /tls HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  const [first] = (await once(secure, 'data')) as [Buffer];
  assert.match(first.toString(), /^HTTP\/1.1 200 /);
  secure.destroy();
  assert.equal((await ask(port, { path: '/plain' })).status, 200);
  assert.deepEqual(seen, ['GET /tls', 'GET /plain']);
});
