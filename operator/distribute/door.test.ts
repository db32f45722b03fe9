import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../testing.ts';
import { addPod, startTestOperator, startTestSidecar, testSnapshot } from './testing.ts';

const closing: { close(): unknown }[] = [];
after(async () => {
  for (const one of closing.reverse()) await one.close();
});

async function setup(limits: NonNullable<Parameters<typeof startTestOperator>[2]>) {
  const operator = await startTestOperator({}, undefined, limits);
  closing.push(operator);
  const knock = async (port: number) => {
    const socket = connect(port, '127.0.0.1')
      .on('error', () => {})
      .resume();
    closing.push({ close: () => socket.destroy() });
    await new Promise((resolve) => socket.once('connect', resolve).once('close', resolve));
    return socket;
  };
  const open = (sockets: readonly Socket[]) => sockets.filter(({ destroyed, readableEnded }) => !destroyed && !readableEnded).length;
  /** So many are let in: the others are turned away, sooner or later, and these still are inside then. */
  const letsIn = async (count: number, sockets: readonly Socket[]) => {
    await until(`${count} inside`, () => open(sockets) <= count);
    await delay(100);
    assert.equal(open(sockets), count);
  };
  return { operator, knock, open, letsIn };
}

test('of those who only keep a connection to enrolment open so many are let in, each for a while, and then a sidecar is let in', async () => {
  const small = { connections: 5, perAddress: 3, lifeMs: 3_000 };
  const { operator, knock, letsIn } = await setup({ enrolment: small, control: { connections: 10, perAddress: 10 } });
  const { enrolment } = operator.servers.ports;
  const sockets = await Promise.all(Array.from({ length: 20 }, () => knock(enrolment)));
  await letsIn(3, sockets);
  assert.equal(operator.logs.filter((line) => line.includes('turned away')).length, 1);
  operator.source.set(testSnapshot(1));
  const pod = addPod(operator);
  await assert.rejects(startTestSidecar(operator, pod, { timeoutMs: 300 }));
  await until('their end', () => sockets.every(({ destroyed }) => destroyed));
  const sidecar = await startTestSidecar(operator, pod);
  closing.push(sidecar);
  await until('policy', () => sidecar.policy.version !== 'none');
});

test('a sidecar that is connected is not cut off by those who knock, and one that goes makes room', async () => {
  const { operator, knock, open, letsIn } = await setup({
    enrolment: { connections: 5, perAddress: 5, lifeMs: 60_000 },
    control: { connections: 4, perAddress: 4 },
  });
  operator.source.set(testSnapshot(1));
  const sidecar = await startTestSidecar(operator, addPod(operator));
  closing.push(sidecar);
  await until('policy', () => sidecar.policy.version !== 'none');
  const sockets = await Promise.all(Array.from({ length: 10 }, () => knock(operator.servers.ports.control)));
  await letsIn(3, sockets);
  const next = operator.source.set(testSnapshot(2));
  await until('the next policy', () => sidecar.policy.version === next.version);
  sidecar.close();
  await until('its end', () => operator.board.all().length === 0);
  // Its connection ends a moment after its stream.
  const end = Date.now() + 10_000;
  for (let made = false; !made; ) {
    assert.ok(Date.now() < end, 'no room was made');
    const socket = await knock(operator.servers.ports.control);
    await delay(500);
    made = open([socket]) === 1;
  }
});
