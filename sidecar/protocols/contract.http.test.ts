import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { registerContract } from './contract.ts';
import { createHttpDriver } from './http/driver.ts';
import { startRelay } from './testing/relay.ts';
import type { Answer, Ask, ContractClient, ContractTarget } from './testing/stage.ts';

const PATHS: { readonly [ask in Ask]: string } = { allowed: '/open/allowed', denied: '/closed/denied', held: '/gated/held' };

/** A client of raw bytes: one request at a time, answers by Content-Length. */
class RawHttpClient implements ContractClient {
  received = Buffer.alloc(0);
  readonly #socket: Socket;
  readonly #token: string | null;
  #read = 0;
  #closed = false;
  #wake: () => void = () => {};

  constructor(socket: Socket, token: string | null) {
    this.#socket = socket;
    this.#token = token;
    socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  async ask(what: Ask): Promise<Answer> {
    const body = what === 'held' ? '{"amount":1}' : '';
    const lines = [`POST ${PATHS[what]} HTTP/1.1`, 'Host: 127.0.0.1', `Content-Length: ${body.length}`];
    if (this.#token !== null) lines.push(`Proxy-Authorization: Bearer ${this.#token}`);
    if (this.#closed) return { type: 'closed' };
    this.#socket.write(`${lines.join('\r\n')}\r\n\r\n${body}`);
    for (;;) {
      const answer = this.#answer();
      if (answer !== null) return answer;
      if (this.#closed) return { type: 'closed' };
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #answer(): Answer | null {
    const text = this.received.toString('latin1', this.#read);
    const match = /^HTTP\/1\.1 (\d{3})[\s\S]*?\r\nContent-Length: (\d+)[\s\S]*?\r\n\r\n/i.exec(text);
    if (match === null || text.length < match[0].length + Number(match[2])) return null;
    const end = match[0].length + Number(match[2]);
    this.#read += end;
    return match[1] === '200' ? { type: 'ok' } : { type: 'refused', text: text.slice(match[0].length, end) };
  }

  vanish(): void {
    this.#socket.destroy();
  }
}

async function startHttpTarget(): Promise<ContractTarget> {
  const credential = randomBytes(18).toString('hex');
  // It sends back what it got, as a debugging service would: the credential among it.
  const server = createServer((request, response) => {
    const body = JSON.stringify({ path: request.url, headers: request.rawHeaders });
    request.resume().once('end', () => {
      const headers = { 'Content-Length': Buffer.byteLength(body), 'X-Echo': request.headers['x-api-key'] ?? '' };
      response.writeHead(200, headers).end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const relay = await startRelay({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  const match = (ask: Ask) => ({ http: { methods: ['POST'], paths: [PATHS[ask]] } });
  return {
    relay,
    credential,
    secrets: new Map([['shop/billing/key', credential]]),
    resource: {
      name: 'billing',
      protocol: 'HTTP',
      address: { host: '127.0.0.1', port: relay.port },
      requiredCapabilities: ['http/1', 'approval/1'],
      http: { credential: { header: 'X-Api-Key', prefix: '', secret: { name: 'billing', key: 'key' } } },
    },
    matches: { allowed: match('allowed'), denied: match('denied'), held: match('held') },
    markers: { allowed: `POST ${PATHS.allowed}`, denied: `POST ${PATHS.denied}`, held: `POST ${PATHS.held}` },
    garbage: [
      randomBytes(64),
      Buffer.from('HELO mail\r\n\r\n'),
      Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]),
      Buffer.from('GET /open/allowed HTTP/1.1\nHost: 127.0.0.1\n\n'),
      Buffer.from('POST /open/allowed HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'),
      Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
    ],
    driver: (context) => createHttpDriver(context, { tls: null }),
    connect: (port, token) =>
      new Promise((resolve, reject) => {
        const socket = connect(port, '127.0.0.1', () => resolve(new RawHttpClient(socket, token)));
        socket.once('error', reject);
      }),
    async close() {
      await relay.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

registerContract('HTTP', startHttpTarget);
