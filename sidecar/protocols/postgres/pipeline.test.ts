import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { encodeBind } from '../../wire/postgres/messages/bind.ts';
import { encodeCopyData, encodeCopyDone, encodeCopyFail } from '../../wire/postgres/messages/copy.ts';
import { encodeClose, encodeDescribe } from '../../wire/postgres/messages/describe_close.ts';
import { encodeFlush, encodeSync } from '../../wire/postgres/messages/empty.ts';
import { encodeExecute } from '../../wire/postgres/messages/execute.ts';
import { encodeParse } from '../../wire/postgres/messages/parse.ts';
import { encodeQuery } from '../../wire/postgres/messages/query.ts';
import { gate, POLICY, resourceOn } from './testing/manifests.ts';
import { type Answer, RawClient, statesOf, statusesOf, typesOf } from './testing/raw.ts';
import { type Rig, startRig } from './testing/rig.ts';

const password = randomBytes(12).toString('hex');

function manifests(port: number): string {
  return `${resourceOn(port)}${gate(10)}${POLICY}    - {name: work, action: Allow, sql: {statements: [Select, Insert, CopyFrom, CopyTo, Show, Set]}}
    - {name: held, action: RequireApproval, sql: {statements: [Update]}, gateRefs: [{name: gate}]}
    - {name: no-delete, action: Deny, sql: {statements: [Delete]}}
`;
}

const parse = (text: string, statement = '') => encodeParse({ statement, text, parameterTypes: [] });
const bind = (statement = '', portal = '') => encodeBind({ portal, statement, parameterFormats: [], parameters: [], resultFormats: [] });
const run = (text: string) => [parse(text), bind(), encodeExecute('')];
const INSERT = (id: number) => `INSERT INTO notes VALUES (${id}, 'x')`;

describe('the order of answers, as the server would give it', () => {
  let server: Postgres;
  let rig: Rig;
  let client: RawClient;

  before(async () => {
    const initSql = `CREATE TABLE notes (id int PRIMARY KEY, text text); GRANT ALL ON notes TO app_real`;
    server = await startPostgres({ database: 'shop', roles: [{ name: 'app_real', password }], initSql });
    rig = await startRig(manifests(server.port), { username: 'app_real', password });
  });
  after(async () => {
    await rig?.stop();
    await rig?.remove();
    await server?.stop();
  });
  afterEach(async () => {
    client?.end();
    await server.query('TRUNCATE notes');
  });

  async function count(): Promise<number> {
    return Number((await server.query('SELECT count(*)::int AS n FROM notes'))[0]?.['n']);
  }

  const first = (answers: readonly Answer[]) =>
    answers
      .find((answer) => answer.type === 'D')
      ?.body.subarray(6)
      .toString('latin1');

  test('a denial inside a pipeline comes after what was answered before, and the rest up to Sync is skipped', async () => {
    client = await RawClient.login(rig.port);
    client.send(...run('SELECT 1'), ...run('DELETE FROM notes'), ...run('SELECT 2'), encodeSync(), ...run('SELECT 3'), encodeSync());
    const answers = await client.until('Z', 2);
    assert.equal(typesOf(answers), '1 2 D C E Z 1 2 D C Z');
    assert.deepEqual(statesOf(answers), ['42501']);
    assert.equal(statusesOf(answers), 'II');
  });

  test('what ran before in the same pipeline is rolled back with it, as by any error', async () => {
    client = await RawClient.login(rig.port);
    client.send(...run(INSERT(1)), ...run('DELETE FROM notes'), encodeSync());
    assert.equal(typesOf(await client.until('Z')), '1 2 C E Z');
    assert.equal(await count(), 0);
  });

  test('a denial that comes first is answered without the server, and a flushed pipeline is not', async () => {
    client = await RawClient.login(rig.port);
    client.send(...run('DELETE FROM notes'), encodeSync());
    assert.equal(typesOf(await client.until('Z')), 'E Z');
    client.send(...run(INSERT(2)), encodeFlush());
    assert.equal(typesOf(await client.until('C')), '1 2 C');
    client.send(...run('DELETE FROM notes'), encodeSync());
    assert.equal(typesOf(await client.until('Z')), 'E Z');
    assert.equal(await count(), 0);
  });

  test('a simple Query that is denied in an open transaction leaves it failed', async () => {
    client = await RawClient.login(rig.port);
    client.send(
      encodeQuery('BEGIN'),
      encodeQuery(INSERT(3)),
      encodeQuery('DELETE FROM notes'),
      encodeQuery('SELECT 1'),
      encodeQuery('COMMIT'),
    );
    const answers = await client.until('Z', 5);
    assert.deepEqual(statesOf(answers), ['42501', '25P02']);
    assert.equal(statusesOf(answers), 'TTEEI');
    assert.equal(await count(), 0);
  });

  test('the unnamed statement of a skipped Parse is not taken for the one before', async () => {
    client = await RawClient.login(rig.port, await rig.token('alice', 'sre'));
    // The server keeps the UPDATE under the empty name: its Parse was fine, the next one is skipped after an error.
    client.send(parse(`UPDATE notes SET text = 'y'`), encodeSync());
    assert.equal(typesOf(await client.until('Z')), '1 Z');
    client.send(bind('nobody'), parse('SELECT 1'), encodeSync(), bind(), encodeExecute(''), encodeSync());
    const answers: Answer[] = [];
    answers.push(...(await client.until('Z')));
    // The look-up waited for the first segment: what runs is judged as the UPDATE that it is, and is held.
    const notice = await client.until('N');
    assert.deepEqual(statesOf(answers), ['26000']);
    assert.match(notice.at(-1)?.body.toString('latin1') ?? '', /rule held/);
  });

  test('names: duplicate, unknown, closed, reserved', async () => {
    client = await RawClient.login(rig.port);
    client.send(parse('SELECT 1', 'a'), encodeSync(), parse('SELECT 2', 'a'), encodeSync());
    assert.deepEqual(statesOf(await client.until('Z', 2)), ['42P05']);
    client.send(encodeClose({ kind: 'statement', name: 'a' }), parse('SELECT 2', 'a'), bind('a'), encodeExecute(''), encodeSync());
    const answers = await client.until('Z');
    assert.equal(typesOf(answers), '3 1 2 D C Z');
    assert.match(first(answers) ?? '', /2$/);
    client.send(bind('b'), encodeSync(), encodeExecute('p'), encodeSync(), encodeDescribe({ kind: 'statement', name: 'b' }), encodeSync());
    assert.deepEqual(statesOf(await client.until('Z', 3)), ['26000', '34000', '26000']);
    client.send(parse('SELECT 1', '_chaperone_state'), encodeSync());
    assert.deepEqual(statesOf(await client.until('Z')), ['42501']);
  });

  test('COPY FROM STDIN in both protocols; Syncs before its end are swallowed, data outside of it is not passed on', async () => {
    client = await RawClient.login(rig.port);
    client.send(encodeCopyData(Buffer.from('9\tstray\n')), encodeQuery('COPY notes FROM STDIN'));
    assert.equal(typesOf(await client.until('G')), 'G');
    client.send(encodeCopyData(Buffer.from('1\ta\n2\tb\n')), encodeCopyDone());
    assert.equal(typesOf(await client.until('Z')), 'C Z');
    client.send(
      ...run('COPY notes FROM STDIN'),
      encodeSync(),
      encodeCopyData(Buffer.from('3\tc\n')),
      encodeSync(),
      encodeCopyDone(),
      encodeSync(),
    );
    assert.equal(typesOf(await client.until('Z')), '1 2 G C Z');
    client.send(encodeQuery('COPY notes FROM STDIN'));
    await client.until('G');
    client.send(encodeCopyData(Buffer.from('4\td\n')), encodeCopyFail('changed my mind'));
    assert.deepEqual(statesOf(await client.until('Z')), ['57014']);
    assert.equal(await count(), 3);
    client.send(encodeQuery('COPY notes TO STDOUT'));
    assert.equal(typesOf(await client.until('Z')), 'H d d d c C Z');
  });

  test('a Query during COPY ends the session, as the server does', async () => {
    client = await RawClient.login(rig.port);
    client.send(encodeQuery('COPY notes FROM STDIN'));
    await client.until('G');
    client.send(encodeQuery('DELETE FROM notes'));
    assert.equal(typesOf(await client.until('closed')), 'E closed');
  });

  test('FunctionCall, a password after login and an unknown type are refused', async () => {
    client = await RawClient.login(rig.port);
    const call = Buffer.from('4600000016000004d300000001000000040000000000000000', 'hex');
    call.writeUInt32BE(call.length - 1, 1);
    client.send(call);
    const refused = await client.until('Z');
    assert.equal(typesOf(refused), 'E Z');
    assert.deepEqual(statesOf(refused), ['42501']);
    client.send(Buffer.from('7000000005'.concat('00'), 'hex'));
    assert.equal(typesOf(await client.until('closed')), 'E closed');
    client = await RawClient.login(rig.port);
    client.send(Buffer.from('ff00000004', 'hex'));
    assert.equal(typesOf(await client.until('closed')), 'E closed');
  });

  for (const [name, hex] of [
    ['Sync', '53000000067878'],
    ['Flush', '480000000578'],
    ['Terminate', '580000000578'],
  ] as const) {
    test(`${name} with bytes behind it ends the session`, async () => {
      client = await RawClient.login(rig.port);
      client.send(Buffer.from(hex, 'hex'));
      const answers = await client.until('closed');
      assert.equal(typesOf(answers), 'E closed');
      assert.deepEqual(statesOf(answers), ['08P01']);
    });
  }

  test('a portal is fetched in parts, and a large value passes', async () => {
    client = await RawClient.login(rig.port);
    client.send(
      parse('SELECT * FROM generate_series(1, 5)'),
      bind(),
      encodeExecute('', 2),
      encodeExecute('', 2),
      encodeExecute('', 2),
      encodeSync(),
    );
    assert.equal(typesOf(await client.until('Z')), '1 2 D D s D D s D C Z');
    client.send(encodeQuery(`SELECT repeat('x', 5000000)`));
    const answers = await client.until('Z');
    assert.equal(typesOf(answers), 'T D C Z');
    assert.equal(answers[1]?.body.length, 5_000_000 + 6);
  });

  test('an empty query, and several statements in one', async () => {
    client = await RawClient.login(rig.port);
    client.send(encodeQuery(''), encodeQuery('SELECT 1; SELECT 2'), ...run(''), encodeSync());
    assert.equal(typesOf(await client.until('Z', 3)), 'I Z T D C T D C Z 1 2 I Z');
  });

  test('each byte in a segment of its own', async () => {
    client = await RawClient.login(rig.port);
    client.socket.setNoDelay(true);
    for (const byte of Buffer.concat([...run('SELECT 1'), encodeSync(), encodeQuery('DELETE FROM notes')])) {
      client.send(Buffer.from([byte]));
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(typesOf(await client.until('Z', 2)), '1 2 D C Z E Z');
  });
});
