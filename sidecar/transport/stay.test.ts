import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import { OnReadSocket } from './onread.ts';
import { stay } from './stay.ts';
import type { StreamHandlers } from './stream.ts';

const NOTHING: StreamHandlers = { data: () => {}, drained: () => {}, ended: () => {}, closed: () => {} };

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turn();
}

describe('stay', () => {
  let server: Server;
  let port = 0;
  before(async () => {
    server = createServer({ allowHalfOpen: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as { port: number }).port;
  });
  after(() => server.close());

  async function pair(): Promise<[OnReadSocket, OnReadSocket]> {
    const accepted = once(server, 'connection');
    const one = OnReadSocket.connect({ host: '127.0.0.1', port });
    const [socket] = (await accepted) as [Socket];
    const other = OnReadSocket.over(socket);
    assert.ok(other !== null);
    return [one, other];
  }

  /** Two sockets that answer each other at once, for ever. */
  async function talk(): Promise<{ readonly count: () => number; readonly taken: () => number; readonly stop: () => void }> {
    const [one, other] = await pair();
    let count = 0;
    let taken = 0;
    for (const stream of [one, other]) {
      const take = stream.take.bind(stream);
      stream.take = (chunk) => {
        taken += 1;
        return take(chunk);
      };
    }
    const answers = (stream: OnReadSocket): StreamHandlers => ({
      ...NOTHING,
      data: (chunk) => {
        count += 1;
        stream.write(chunk);
        stay();
      },
    });
    one.start(answers(one));
    other.start(answers(other));
    one.write(Buffer.from('ball'));
    await until(() => count >= 100);
    return {
      count: () => count,
      taken: () => taken,
      stop: () => {
        one.destroy();
        other.destroy();
      },
    };
  }

  test('what follows is read without a turn of the loop, where the platform has it', { skip: process.platform !== 'linux' }, async () => {
    const { count, taken, stop } = await talk();
    const from = count();
    const takenFrom = taken();
    while (count() < from + 20_000) await sleep(1);
    // Most of them on a quiet machine; none at all without it.
    assert.ok(taken() - takenFrom > 100, `${taken() - takenFrom} of 20000`);
    stop();
  });

  test('timers, immediates, promises and connections of Node’s own have their turn meanwhile', async () => {
    const { count, stop } = await talk();
    const before = count();
    for (let i = 0; i < 10; i++) await sleep(3);
    for (let i = 0; i < 10; i++) await turn();
    for (let i = 0; i < 10; i++) await new Promise((resolve) => process.nextTick(resolve));
    const echo = createServer((peer) => peer.pipe(peer)).listen(0, '127.0.0.1');
    await once(echo, 'listening');
    const client = connect((echo.address() as { port: number }).port, '127.0.0.1');
    for (let i = 0; i < 10; i++) {
      client.write(`${i}`);
      const [answer] = (await once(client, 'data')) as [Buffer];
      assert.equal(String(answer), `${i}`);
    }
    client.destroy();
    echo.close();
    assert.ok(count() > before);
    stop();
  });

  test('who is closed, or closes the other, while both have something to read is not read again', async () => {
    for (let i = 0; i < 50; i++) {
      const { stop } = await talk();
      const [one, other] = await pair();
      let after = 0;
      const closes = (stream: OnReadSocket, peer: OnReadSocket): StreamHandlers => ({
        ...NOTHING,
        data: () => {
          if (stream.destroyed) after += 1;
          peer.destroy();
          stream.destroy();
          stay();
        },
      });
      one.start(closes(one, other));
      other.start(closes(other, one));
      one.write(Buffer.from('a'));
      other.write(Buffer.from('b'));
      await once(one.socket, 'close');
      assert.equal(after, 0);
      stop();
    }
  });

  test('the end, and what stands before it, are told in order', async () => {
    const [one, other] = await pair();
    const seen: string[] = [];
    const closed = new Promise<void>((resolve) => {
      one.start({
        data: (chunk) => {
          seen.push(String(chunk));
          stay();
        },
        drained: () => {},
        ended: () => seen.push('ended'),
        closed: () => resolve(),
      });
    });
    other.start(NOTHING);
    other.write(Buffer.from('first'));
    await until(() => seen.length > 0);
    other.write(Buffer.from('last'));
    other.end();
    await until(() => seen.includes('ended'));
    one.end();
    await closed;
    assert.equal(seen.join(' '), 'first last ended');
  });

  test('what was read and could not be written on at once is kept', async () => {
    const [source, feeder] = await pair();
    const [sink, reader] = await pair();
    const got: Buffer[] = [];
    let bytes = 0;
    // Small messages, so that they are read here, and more of them than the kernel takes from one who is not read.
    const relay = (chunk: Buffer) => {
      sink.write(chunk);
      stay();
    };
    source.start({ ...NOTHING, data: relay });
    sink.start(NOTHING);
    feeder.start(NOTHING);
    const total = 16 * 1024 * 1024;
    let sent = 0;
    for (let i = 0; sent < total; i++) {
      const piece = Buffer.alloc(1 + ((i * 37) % 4096), i % 251);
      sent += piece.length;
      if (!feeder.write(piece)) await turn();
    }
    await until(() => feeder.pending === 0);
    reader.start({
      ...NOTHING,
      data: (chunk) => {
        got.push(Buffer.from(chunk));
        bytes += chunk.length;
      },
    });
    await until(() => bytes === sent);
    const all = Buffer.concat(got);
    let at = 0;
    for (let i = 0; at < all.length; i++) {
      const length = 1 + ((i * 37) % 4096);
      assert.ok(all.subarray(at, at + length).equals(Buffer.alloc(length, i % 251)), `piece ${i}`);
      at += length;
    }
    for (const stream of [source, feeder, sink, reader]) stream.destroy();
  });
});
