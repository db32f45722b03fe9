import assert from 'node:assert/strict';
import { test } from 'node:test';
import { askOnce, type ContractTarget, type Stage, send, shared, stageOf, stop, until } from './testing/stage.ts';
import { World } from './testing/world.ts';

/** Registers what every driver has to keep to. A denial that lets anything of a command reach the target fails. */
export function registerContract(name: string, start: () => Promise<ContractTarget>): void {
  const contract = (title: string, run: (stage: Stage) => Promise<void>, options: { readonly ttlMs?: number } = {}): void => {
    test(`${name}: ${title}`, { timeout: 8_000 }, async () => {
      const target = await shared(start);
      const world = await World.create(options);
      try {
        await run(await stageOf(world, target));
      } finally {
        await world.close();
      }
    });
  };
  test.after(async () => {
    await stop(start);
  });

  contract('with no snapshot nothing is allowed, and the target is not dialled', async ({ client, target }) => {
    const before = target.relay.connections;
    assert.notEqual((await askOnce(client, 'allowed')).type, 'ok');
    assert.equal(target.relay.connections, before);
  });

  contract('what is allowed reaches the target, and the recorder has it first', async ({ world, publish, client, touched }) => {
    publish(1);
    const before = touched('allowed');
    const atPermit: number[] = [];
    world.recordings.onPermit = (permit) => {
      if (permit.action.type !== 'connect') atPermit.push(touched('allowed'));
    };
    assert.deepEqual(await (await client()).ask('allowed'), { type: 'ok' });
    assert.equal(touched('allowed'), before + 1);
    assert.deepEqual(atPermit, [before]);
  });

  contract(
    'what is denied never reaches the target, names policy and rule, and the connection lives on',
    async ({ publish, client, touched }) => {
      publish(1);
      const [denied, allowed] = [touched('denied'), touched('allowed')];
      const agent = await client();
      for (let i = 0; i < 2; i++) {
        const answer = await agent.ask('denied');
        assert.equal(answer.type, 'refused');
        if (answer.type === 'refused') assert.match(answer.text, /shop\/agents[\s\S]*no-denied/);
      }
      assert.deepEqual(await agent.ask('allowed'), { type: 'ok' });
      assert.equal(touched('denied'), denied);
      assert.equal(touched('allowed'), allowed + 1);
    },
  );

  contract('what no rule allows is denied', async ({ publish, client, touched }) => {
    publish(1, { allowed: null });
    const before = touched('allowed');
    assert.equal((await (await client()).ask('allowed')).type, 'refused');
    assert.equal(touched('allowed'), before);
  });

  contract('somebody whom no policy names is refused, and the target is not dialled', async ({ publish, client, target }) => {
    publish(1, {}, { subjects: [{ user: 'carol' }] });
    const before = target.relay.connections;
    assert.notEqual((await askOnce(client, 'allowed')).type, 'ok');
    assert.equal(target.relay.connections, before);
  });

  contract(
    'a snapshot past its time denies, on a live connection too',
    async ({ world, publish, client, touched, target }) => {
      publish(1);
      const agent = await client();
      assert.deepEqual(await agent.ask('allowed'), { type: 'ok' });
      const before = touched('allowed');
      world.ahead = 120_000;
      assert.notEqual((await agent.ask('allowed')).type, 'ok');
      const dialled = target.relay.connections;
      assert.notEqual((await askOnce(client, 'allowed')).type, 'ok');
      assert.equal(target.relay.connections, dialled);
      assert.equal(touched('allowed'), before);
    },
    { ttlMs: 60_000 },
  );

  contract('a policy that changes applies to the live connection', async ({ publish, client, touched }) => {
    publish(1);
    const agent = await client();
    assert.deepEqual(await agent.ask('allowed'), { type: 'ok' });
    publish(2, { allowed: 'Deny' });
    const before = touched('allowed');
    assert.equal((await agent.ask('allowed')).type, 'refused');
    assert.equal(touched('allowed'), before);
    publish(3);
    assert.deepEqual(await agent.ask('allowed'), { type: 'ok' });
  });

  contract('an error inside the judge is a denial', async ({ world, publish, client, touched }) => {
    publish(1);
    const agent = await client();
    assert.deepEqual(await agent.ask('allowed'), { type: 'ok' });
    const before = touched('allowed');
    world.judgeThrows = true;
    assert.equal((await agent.ask('allowed')).type, 'refused');
    assert.equal(touched('allowed'), before);
  });

  contract('a verdict that can not be recorded sends nothing, and the session ends', async ({ world, publish, client, touched }) => {
    publish(1);
    const agent = await client();
    assert.deepEqual(await agent.ask('allowed'), { type: 'ok' });
    const before = touched('allowed');
    world.recordings.faults.permit = true;
    assert.notEqual((await agent.ask('allowed')).type, 'ok');
    assert.equal((await agent.ask('allowed')).type, 'closed');
    assert.equal(touched('allowed'), before);
  });

  contract('a session that can not be recorded does not begin', async ({ world, publish, client, target }) => {
    publish(1);
    world.recordings.faults.open = true;
    const before = target.relay.connections;
    assert.notEqual((await askOnce(client, 'allowed')).type, 'ok');
    assert.equal(target.relay.connections, before);
  });

  contract('what is held waits, and reaches the target when another person approves it', async ({ world, publish, client, touched }) => {
    publish(1);
    const before = touched('held');
    const agent = await client(await world.token('alice'));
    const answer = agent.ask('held');
    const asked = await world.nextApproval();
    assert.equal(touched('held'), before);
    assert.deepEqual(asked.askers.map(({ subject }) => subject).includes('alice'), true);
    await world.vote(asked.name, 'approve');
    assert.deepEqual(await answer, { type: 'ok' });
    assert.equal(touched('held'), before + 1);
    // How it ended may be recorded a moment after the answer.
    await until(() => world.order(asked.session).includes('result'));
    const events = world.order(asked.session);
    assert.deepEqual(events.slice(events.indexOf('hold'), events.indexOf('hold') + 6), [
      'hold',
      'raised',
      'approved',
      'used',
      'permit',
      'result',
    ]);
  });

  contract('one approval is for one action', async ({ world, publish, client, touched }) => {
    publish(1);
    const agent = await client(await world.token('alice'));
    const first = agent.ask('held');
    await world.vote((await world.nextApproval()).name, 'approve');
    assert.deepEqual(await first, { type: 'ok' });
    const before = touched('held');
    const second = agent.ask('held');
    await world.vote((await world.nextApproval()).name, 'deny');
    assert.equal((await second).type, 'refused');
    assert.equal(touched('held'), before);
  });

  contract('what is held and denied never reaches the target, and the connection lives on', async ({ world, publish, client, touched }) => {
    publish(1);
    const before = touched('held');
    const agent = await client(await world.token('alice'));
    const answer = agent.ask('held');
    await world.vote((await world.nextApproval()).name, 'deny');
    const said = await answer;
    assert.equal(said.type, 'refused');
    if (said.type === 'refused') assert.match(said.text, /shop\/agents/);
    assert.deepEqual(await agent.ask('allowed'), { type: 'ok' });
    assert.equal(touched('held'), before);
  });

  contract('what nobody decides in time is denied', async ({ world, publish, client, touched }) => {
    publish(1, {}, { timeoutSeconds: 1 });
    const before = touched('held');
    const agent = await client(await world.token('alice'));
    const said = await agent.ask('held');
    assert.equal(said.type, 'refused');
    assert.equal(touched('held'), before);
    assert.deepEqual(await agent.ask('allowed'), { type: 'ok' });
  });

  contract('an asker who is not known can not ask for approval', async ({ publish, client, touched }) => {
    publish(1);
    const before = touched('held');
    const said = await (await client()).ask('held');
    assert.equal(said.type, 'refused');
    assert.equal(touched('held'), before);
  });

  contract('a client that goes away withdraws its request', async ({ world, publish, client, touched }) => {
    publish(1);
    const before = touched('held');
    const agent = await client(await world.token('alice'));
    const answer = agent.ask('held').catch(() => {});
    const asked = await world.nextApproval();
    agent.vanish();
    await answer;
    await until(() => world.broker.pending === 0);
    await assert.rejects(world.vote(asked.name, 'approve'), { code: 'NotPending' });
    await until(() => world.order(asked.session).includes('end'));
    assert.equal(touched('held'), before);
  });

  contract('a policy that changes while something is held judges it again', async ({ world, publish, client, touched }) => {
    publish(1);
    const before = touched('held');
    const agent = await client(await world.token('alice'));
    const answer = agent.ask('held');
    await world.nextApproval();
    publish(2, { held: 'Deny' });
    assert.equal((await answer).type, 'refused');
    assert.equal(world.broker.pending, 0);
    assert.equal(touched('held'), before);
  });

  contract('the credential is nowhere but at the target', async ({ world, publish, client, target }) => {
    publish(1);
    const agent = await client(await world.token('alice'));
    for (const what of ['allowed', 'denied', 'allowed'] as const) await agent.ask(what);
    assert.equal(agent.received.includes(target.credential), false);
    assert.equal((await world.everythingWritten()).includes(target.credential), false);
  });

  contract('an agent’s token is not recorded, logged or sent on', async ({ world, publish, client, target }) => {
    publish(1);
    const token = await world.token('alice');
    const agent = await client(token);
    assert.deepEqual(await agent.ask('allowed'), { type: 'ok' });
    assert.equal((await world.everythingWritten()).includes(token), false);
    assert.equal(target.relay.count(token), 0);
  });

  contract('a token that does not hold is refused, and the target is not dialled', async ({ world, publish, client, target }) => {
    publish(1);
    const [head, payload] = (await world.token('alice')).split('.');
    const before = target.relay.connections;
    assert.notEqual((await askOnce(() => client(`${head}.${payload}.AAAA`), 'allowed')).type, 'ok');
    assert.equal(target.relay.connections, before);
  });

  contract('bytes that are no request do not reach the target', async ({ publish, listener, target }) => {
    publish(1);
    const before = target.relay.connections;
    for (const bytes of target.garbage) await send(listener.port, bytes);
    assert.equal(target.relay.connections, before);
  });

  contract('draining ends idle sessions, takes no new ones, and resolves', async ({ world, driver, publish, client }) => {
    publish(1);
    const agent = await client();
    assert.deepEqual(await agent.ask('allowed'), { type: 'ok' });
    await driver.drain(5_000);
    assert.equal((await agent.ask('allowed')).type, 'closed');
    assert.notEqual((await askOnce(client, 'allowed')).type, 'ok');
    const ends = world.recordings.seen.filter((seen) => seen.what === 'end');
    assert.deepEqual(
      ends.map((seen) => 'reason' in seen.detail && seen.detail.reason),
      ['drain'],
    );
  });

  contract('draining does not wait for what is held longer than it may', async ({ world, driver, publish, client, touched }) => {
    publish(1);
    const before = touched('held');
    const agent = await client(await world.token('alice'));
    const answer = agent.ask('held');
    await world.nextApproval();
    await driver.drain(50);
    assert.notEqual((await answer).type, 'ok');
    assert.equal(world.broker.pending, 0);
    assert.equal(touched('held'), before);
  });
}
