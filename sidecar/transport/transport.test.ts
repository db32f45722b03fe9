import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { NodeStream } from './node.ts';
import { OnReadSocket } from './onread.ts';
import { stay } from './stay.ts';
import type { ByteStream, StreamHandlers } from './stream.ts';

/** Every reader says that it stays. */
let allStay = false;

/** Collects what a stream says. Keeps copies, as the contract asks. */
class Collector implements StreamHandlers {
  readonly events: string[] = [];
  #chunks: Buffer[] = [];
  #waiting: (() => void)[] = [];
  #onData: (chunk: Buffer) => void;

  constructor(onData: (chunk: Buffer) => void = () => {}) {
    this.#onData = onData;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  data(chunk: Buffer): void {
    this.#chunks.push(Buffer.from(chunk));
    this.#onData(chunk);
    this.#changed();
    if (allStay) stay();
  }
  drained(): void {
    this.events.push('drained');
    this.#changed();
  }
  ended(): void {
    this.events.push('ended');
    this.#changed();
  }
  closed(error: Error | null): void {
    this.events.push(error ? `closed: ${(error as NodeJS.ErrnoException).code}` : 'closed');
    this.#changed();
  }
  #changed(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

const openOnRead = async (port: number) => {
  const stream = OnReadSocket.connect({ host: '127.0.0.1', port });
  await once(stream.socket, 'connect');
  return stream;
};

const streams: { name: string; stays?: true; open: (port: number) => Promise<ByteStream> }[] = [
  {
    name: 'NodeStream',
    open: async (port) => {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      await once(socket, 'connect');
      return new NodeStream(socket);
    },
  },
  { name: 'OnReadSocket', open: openOnRead },
  { name: 'OnReadSocket whose readers stay', stays: true, open: openOnRead },
  {
    name: 'OnReadSocket over a socket of another’s',
    open: async (port) => {
      const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
      await once(socket, 'connect');
      return takenOver(socket.pause());
    },
  },
];

function takenOver(socket: Socket): OnReadSocket {
  const stream = OnReadSocket.over(socket);
  assert.ok(stream !== null);
  return stream;
}

for (const { name, stays = false, open } of streams) {
  describe(name, () => {
    let server: Server;
    let port = 0;
    before(async () => {
      allStay = stays;
      server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      port = (server.address() as { port: number }).port;
    });
    after(() => {
      allStay = false;
      server.close();
    });

    async function pair(): Promise<[ByteStream, Socket]> {
      const accepted = once(server, 'connection');
      const stream = await open(port);
      const [peer] = (await accepted) as [Socket];
      peer.on('error', () => {});
      return [stream, peer];
    }

    test('reads nothing before it is started, and then all', async () => {
      const [stream, peer] = await pair();
      peer.write('early');
      await turn();
      const seen = new Collector();
      stream.start(seen);
      await seen.until(() => seen.bytes.length === 5);
      peer.write(' late');
      await seen.until(() => seen.bytes.length === 10);
      assert.equal(seen.bytes.toString(), 'early late');
      stream.destroy();
    });

    test('hands reading over to others, and what comes in between waits', async () => {
      const [stream, peer] = await pair();
      const first = new Collector(() => stream.pause());
      stream.start(first);
      peer.write('one');
      await first.until(() => first.bytes.length === 3);
      peer.write('two');
      const second = new Collector();
      stream.start(second);
      await second.until(() => second.bytes.length === 3);
      assert.equal(first.bytes.toString(), 'one');
      assert.equal(second.bytes.toString(), 'two');
      stream.destroy();
      await second.until(() => second.events.includes('closed'));
      assert.deepEqual(first.events, []);
    });

    test('half-close: the peer’s end is told, and writing still works', async () => {
      const [stream, peer] = await pair();
      const seen = new Collector();
      stream.start(seen);
      peer.end('bye');
      await seen.until(() => seen.events.includes('ended'));
      assert.equal(seen.bytes.toString(), 'bye');
      stream.write(Buffer.from('and you'));
      stream.end();
      assert.equal(Buffer.concat(await peer.resume().toArray()).toString(), 'and you');
      await seen.until(() => seen.events.length === 2);
      assert.deepEqual(seen.events, ['ended', 'closed']);
      assert.equal(stream.destroyed, true);
      assert.equal(stream.write(Buffer.from('nobody')), true);
    });

    test('a reset is told once, as the last thing', async () => {
      const [stream, peer] = await pair();
      const seen = new Collector();
      stream.start(seen);
      peer.resetAndDestroy();
      await seen.until(() => seen.events.length > 0);
      await turn();
      assert.deepEqual(seen.events, ['closed: ECONNRESET']);
    });

    test('who starts a stream that is closed already is told', async () => {
      const [stream, peer] = await pair();
      stream.start(new Collector());
      stream.destroy();
      await once(peer.resume(), 'end');
      peer.destroy();
      await turn();
      const late = new Collector();
      stream.start(late);
      await late.until(() => late.events.length > 0);
      assert.deepEqual(late.events, ['closed']);
    });

    test('back-pressure: write says when to wait, and drained when to go on', async () => {
      const [stream, peer] = await pair();
      const seen = new Collector();
      stream.start(seen);
      const chunk = randomBytes(65_536);
      let written = 0;
      for (let more = true; more; written++) more = stream.write(chunk);
      assert.ok(stream.pending > 0);
      peer.resume();
      await seen.until(() => seen.events.includes('drained'));
      assert.equal(stream.pending, 0);
      stream.end();
      await once(peer, 'end');
      assert.equal(peer.bytesRead, written * chunk.length);
      peer.end();
    });

    test('paused, it lets the sender fill up and no more', async () => {
      const [stream, peer] = await pair();
      const seen = new Collector(() => stream.pause());
      stream.start(seen);
      const chunk = randomBytes(1024 * 1024);
      while (peer.write(chunk)) await turn();
      await seen.until(() => seen.bytes.length > 0);
      const held = seen.bytes.length;
      assert.ok(held <= 256 * 1024 * 2, `${held}`);
      for (let i = 0; i < 20; i++) await turn();
      assert.equal(seen.bytes.length, held);
      stream.destroy();
      peer.destroy();
    });

    test('what is written on to a slow reader is what was read', async () => {
      const [source, feeder] = await pair();
      const [sink, reader] = await pair();
      sink.start(new Collector());
      const sent = createHash('sha256');
      const relay: StreamHandlers = {
        data: (chunk) => {
          // Two writes: one of them may leave at once and the other stay behind.
          sink.write(chunk.subarray(0, 100));
          if (!sink.write(chunk.subarray(100)) && sink.pending > 4 * 1024 * 1024) source.pause();
        },
        drained: () => {},
        ended: () => sink.end(),
        closed: () => {},
      };
      source.start(relay);
      const total = 24 * 1024 * 1024;
      const chunks = Array.from({ length: 96 }, () => randomBytes(total / 96));
      for (const chunk of chunks) sent.update(chunk);
      const feed = (async () => {
        for (const chunk of chunks) await new Promise((resolve) => feeder.write(chunk, resolve));
        feeder.end();
      })();
      const got = createHash('sha256');
      let bytes = 0;
      for await (const chunk of reader) {
        got.update(chunk as Buffer);
        bytes += (chunk as Buffer).length;
        if (bytes % 7 === 0) await turn();
        if (sink.pending < 1024 * 1024) source.resume();
      }
      await feed;
      assert.equal(bytes, total);
      assert.equal(got.digest('hex'), sent.digest('hex'));
      source.destroy();
      sink.destroy();
    });
  });
}

test('a stream that was let go of can be taken by another', async () => {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as { port: number }).port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  const stream = new NodeStream(socket);
  const first = new Collector(() => stream.detach());
  stream.start(first);
  client.write('one');
  await first.until(() => first.bytes.length === 3);
  assert.equal(socket.readableLength, 0);
  client.write('two');
  const second = new Collector();
  new NodeStream(socket).start(second);
  await second.until(() => second.bytes.length === 3);
  assert.equal(second.bytes.toString(), 'two');
  client.destroy();
  await second.until(() => second.events.includes('closed') || second.events.includes('ended'));
  assert.deepEqual(first.events, []);
  socket.destroy();
  server.close();
});

test('who accepted a connection learns that it closed, and can close it, when another has taken it over', async () => {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const accept = async (): Promise<[Socket, Socket]> => {
    const client = connect({ port, host: '127.0.0.1' });
    const [accepted] = (await once(server, 'connection')) as [Socket];
    return [client, accepted];
  };
  const [first, accepted] = await accept();
  takenOver(accepted).start(new Collector());
  first.destroy();
  takenOver((await accept())[1]).destroy();
  const [last, closing] = await accept();
  const seen = new Collector();
  takenOver(closing).start(seen);
  closing.destroy();
  await Promise.all([once(last, 'close'), seen.until(() => seen.events.includes('closed'))]);
  assert.ok(!accepted.destroyed, 'a peer that only said that it ends is still written to');
  accepted.destroy();
  // Waits for all connections: none was forgotten.
  await new Promise((resolve) => server.close(resolve));
});

test('a socket with unread bytes, or one that has gone, is not taken over', async () => {
  const server = createServer((peer) => peer.end('hello')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1');
  await once(socket, 'readable');
  assert.equal(OnReadSocket.over(socket), null);
  assert.equal(String(socket.read()), 'hello');
  socket.destroy();
  assert.equal(OnReadSocket.over(socket), null);
  server.close();
});
