import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { Connection, Log } from '#sidecar/pipeline.ts';
import { isLoopback, type ListenOptions, listen } from './listen.ts';

const lines: string[] = [];
const log: Log = { info: (_, text) => lines.push(text), warn: (_, text) => lines.push(text), error: (_, text) => lines.push(text) };
const base = {
  host: '127.0.0.1',
  port: 0,
  workload: { namespace: 'shop', serviceAccount: 'agent' },
  resource: { namespace: 'shop', name: 'orders' },
  log,
} satisfies Omit<ListenOptions, 'serve'>;

function client(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  return once(socket, 'connect').then(() => socket);
}

/** Serves until the client ends. */
async function echo({ stream }: Connection): Promise<void> {
  stream.pipe(stream);
  await once(stream, 'close');
}

test('gives the driver an accepted connection with what the listener stands for', async () => {
  const seen: Connection[] = [];
  const listener = await listen({ ...base, serve: (connection) => (seen.push(connection), echo(connection)) });
  const socket = await client(listener.port);
  socket.write('sent before anybody reads');
  const [data] = await once(socket, 'data');
  assert.equal(String(data), 'sent before anybody reads');
  assert.deepEqual(seen[0]?.resource, base.resource);
  assert.deepEqual(seen[0]?.workload, base.workload);
  assert.equal(seen[0]?.loopback, true);
  assert.equal(listener.connections, 1);
  const closed = listener.close();
  await assert.rejects(client(listener.port).then((s) => once(s, 'close').then(() => Promise.reject(new Error('closed')))));
  socket.end();
  await closed;
  assert.equal(listener.connections, 0);
});

test('says so where the port is in use, and never shares it', async () => {
  const first = await listen({ ...base, serve: echo });
  await assert.rejects(listen({ ...base, port: first.port, serve: echo }), {
    name: 'ListenError',
    code: 'port_in_use',
    message: `can't listen on 127.0.0.1:${first.port}: another process has this port`,
  });
  await first.close();
  await assert.rejects(listen({ ...base, host: '192.0.2.1', serve: echo }), { code: 'no_such_address' });
});

test('closes what is over the limits, logs it once, and lets in again', async () => {
  const established: (() => void)[] = [];
  const serve = (connection: Connection): Promise<void> => {
    established.push(connection.established as () => void);
    return echo(connection);
  };
  const exceeded: string[] = [];
  const onLimit = (limit: string) => exceeded.push(limit);
  const noRoom = () => Buffer.from('no room');
  const listener = await listen({
    ...base,
    limits: () => ({ maxConnections: 3, maxUnauthenticated: 2, loginTimeoutSeconds: 10 }),
    onLimit,
    noRoom,
    serve,
  });
  const before = lines.length;
  const first = await client(listener.port);
  const second = await client(listener.port);
  for (let i = 0; i < 5; i++) assert.equal(String(Buffer.concat(await (await client(listener.port)).toArray())), 'no room');
  assert.equal(listener.turnedAway, 5);
  assert.equal(lines.length - before, 1);
  assert.deepEqual(new Set(exceeded), new Set(['maxUnauthenticated']));
  for (const call of established) call();
  for (const call of established) call();
  const third = await client(listener.port);
  third.write('x');
  await once(third, 'data');
  await once((await client(listener.port)).resume(), 'close');
  assert.equal(exceeded.at(-1), 'maxConnections');
  first.destroy();
  while (listener.connections === 3) await turn();
  const fourth = await client(listener.port);
  fourth.write('y');
  await once(fourth, 'data');
  for (const socket of [second, third, fourth]) socket.destroy();
  await listener.close();
});

test('closes a connection whose login takes too long, and not one that is through', async () => {
  const serve = (connection: Connection): Promise<void> => {
    connection.stream.once('data', () => connection.established?.());
    return echo(connection);
  };
  const exceeded: string[] = [];
  const limits = () => ({ maxConnections: 3, maxUnauthenticated: 2, loginTimeoutSeconds: 0.1 });
  const listener = await listen({ ...base, limits, onLimit: (limit) => exceeded.push(limit), serve });
  const through = await client(listener.port);
  through.write('hello');
  await once(through, 'data');
  const slow = await client(listener.port);
  await once(slow.resume(), 'close');
  assert.deepEqual(exceeded, ['loginTimeoutSeconds']);
  through.write('still here');
  const [data] = await once(through, 'data');
  assert.equal(String(data), 'still here');
  through.destroy();
  await listener.close();
});

test('a driver that fails closes its connection and nothing else', async () => {
  const listener = await listen({ ...base, serve: () => Promise.reject(new Error('SECRET')) });
  await once((await client(listener.port)).resume(), 'close');
  await once((await client(listener.port)).resume(), 'close');
  assert.ok(!lines.join().includes('SECRET'));
  await listener.close();
});

test('loopback is 127.0.0.0/8, ::1 and its mapped form', () => {
  for (const address of ['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1']) assert.equal(isLoopback(address), true, address);
  for (const address of ['10.0.0.1', '::2', '::ffff:10.0.0.1', '1127.0.0.1', '', '127.0.0.1.example'])
    assert.equal(isLoopback(address), false, address);
});

test('the last message of a driver arrives, and a client that does not close is closed', async () => {
  const listener = await listen({
    ...base,
    serve: async ({ stream }) => {
      stream.write(Buffer.alloc(4 * 1024 * 1024));
      stream.end('the reason');
    },
  });
  const polite = await client(listener.port);
  const bytes = Buffer.concat(await polite.toArray());
  assert.equal(bytes.length, 4 * 1024 * 1024 + 10);
  const stubborn = connect({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true });
  stubborn.on('error', () => {});
  await once(stubborn, 'connect');
  await listener.close();
  assert.equal(listener.connections, 0);
  stubborn.destroy();
});
