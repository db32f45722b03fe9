import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { encodeBind } from '../../wire/postgres/messages/bind.ts';
import { encodeCopyData, encodeCopyDone } from '../../wire/postgres/messages/copy.ts';
import { encodeClose } from '../../wire/postgres/messages/describe_close.ts';
import { encodeSync } from '../../wire/postgres/messages/empty.ts';
import { encodeExecute } from '../../wire/postgres/messages/execute.ts';
import { encodeParse } from '../../wire/postgres/messages/parse.ts';
import { encodeQuery } from '../../wire/postgres/messages/query.ts';
import { gate, POLICY, resourceOn } from './testing/manifests.ts';
import { type Answer, RawClient, statesOf, typesOf } from './testing/raw.ts';
import { type Rig, startRig } from './testing/rig.ts';

const password = randomBytes(12).toString('hex');
const SECRET = '078-05-1120';

const SCHEMA = `
CREATE SCHEMA other; CREATE SCHEMA mv;
CREATE TABLE orders (id int PRIMARY KEY, total int, t text); INSERT INTO orders VALUES (1, 1, 'open'), (2, 2, 'open');
CREATE TABLE customers (id int PRIMARY KEY, ssn text); INSERT INTO customers VALUES (1, '${SECRET}');
CREATE TABLE other.orders (id int, t text); INSERT INTO other.orders VALUES (1, '${SECRET}');
CREATE MATERIALIZED VIEW mv.orders AS SELECT id, ssn AS t FROM customers;
CREATE VIEW moves AS SELECT set_config('search_path', 'other', false) AS x;
CREATE FUNCTION customer_ssn(orders) RETURNS text LANGUAGE sql STABLE AS 'SELECT ssn FROM customers WHERE id = $1.id';
CREATE FUNCTION first_ssn() RETURNS text LANGUAGE sql STABLE AS 'SELECT ssn FROM customers LIMIT 1';
CREATE TABLE filled (a int, x text DEFAULT first_ssn()); CREATE TABLE pile (a int, x text);
GRANT ALL ON ALL TABLES IN SCHEMA public TO app_real; GRANT USAGE ON SCHEMA other, mv TO app_real;
GRANT SELECT ON ALL TABLES IN SCHEMA other TO app_real; GRANT SELECT ON mv.orders TO app_real;
`;

const MASK = `
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: mask, namespace: shop}
spec:
  targetRefs: [{name: db}]
  columns: [{column: public.customers.ssn, strategy: {type: Redact}}]
`;

/** Everything of public may be read, orders changed after an approval; other is denied. \`held\` holds reads of customers as well. */
function manifests(port: number, more = '', held = false): string {
  return `${resourceOn(port)}${gate(20)}${POLICY}    - {name: read, action: Allow, sql: {statements: [Select, Set, Cursor, Prepare, Execute, CopyFrom, Insert, Deallocate]}}
    - {name: no-other, action: Deny, sql: {relations: ["other.*"]}}
    - {name: held, action: RequireApproval, sql: {statements: [Update, Delete]}, gateRefs: [{name: gate}]}
    - {name: no-where, action: Deny, sql: {statements: [Update], missingWhere: true}}
${held ? '    - {name: held-reads, action: RequireApproval, sql: {relations: [public.customers]}, gateRefs: [{name: gate}]}' : ''}
${more}`;
}

const parse = (text: string, statement = '') => encodeParse({ statement, text, parameterTypes: [] });
const bind = (statement = '', portal = '') => encodeBind({ portal, statement, parameterFormats: [], parameters: [], resultFormats: [] });
const run = (text: string) => [parse(text), bind(), encodeExecute('')];
const queries = (...texts: string[]) => texts.map((text) => encodeQuery(text));

describe('ways round a verdict', () => {
  let server: Postgres;
  let rig: Rig;
  let client: RawClient;

  before(async () => {
    server = await startPostgres({ database: 'shop', roles: [{ name: 'app_real', password }], initSql: SCHEMA });
    rig = await startRig(manifests(server.port), { username: 'app_real', password });
  });
  after(async () => {
    await rig?.stop();
    await rig?.remove();
    await server?.stop();
  });
  afterEach(() => client.end());

  const shows = (answers: readonly Answer[], secret = SECRET) => answers.some((answer) => answer.body.includes(secret));
  const total = async (id: number) => (await server.query('SELECT total FROM orders WHERE id = $1', [id]))[0]?.['total'];

  test('FETCH does not run a portal that was bound under the name of a cursor', async () => {
    client = await RawClient.login(rig.port);
    client.send(...queries('BEGIN', 'DECLARE c CURSOR FOR SELECT id FROM orders', 'COMMIT', 'BEGIN'));
    await client.until('Z', 4);
    client.send(parse('UPDATE orders SET total = 99 WHERE id = 1 RETURNING id', 'u'), bind('u', 'c'), encodeSync());
    await client.until('Z');
    client.send(...queries('FETCH ALL FROM c', 'COMMIT'));
    const fetched = await client.until('Z', 2);
    assert.deepEqual(statesOf(fetched), ['42501'], typesOf(fetched));
    client.send(
      ...queries('BEGIN', 'DECLARE d CURSOR FOR SELECT id FROM orders'),
      bind('u', 'd'),
      encodeSync(),
      ...queries('FETCH ALL FROM d', 'COMMIT'),
    );
    await client.until('Z', 5);
    assert.equal(await total(1), 1);
  });

  test('names that the server would cut are refused', async () => {
    client = await RawClient.login(rig.port);
    const name = (last: string) => 'a'.repeat(63) + last;
    client.send(parse('SELECT 1', name('x')), encodeSync());
    client.send(encodeClose({ kind: 'statement', name: name('y') }), encodeSync());
    client.send(parse('UPDATE orders SET total = 98 WHERE id = 2', name('z')), encodeSync());
    client.send(bind(name('x')), encodeExecute(''), encodeSync());
    assert.equal(statesOf(await client.until('Z', 4)).length, 4);
    assert.equal(await total(2), 2);
  });

  test('a mask that comes while a statement is held is not missed', async () => {
    rig.publish(manifests(server.port, '', true));
    client = await RawClient.login(rig.port, await rig.token('alice', 'sre'));
    client.send(encodeQuery('SELECT id, ssn FROM customers'));
    const notice = (await client.until('N')).at(-1)?.body.toString('latin1') ?? '';
    const name = /waiting for approval (apr-\w+)/.exec(notice)?.[1] ?? '';
    rig.publish(manifests(server.port, MASK, true));
    const bob = await rig.principal(await rig.token('bob', 'leads'));
    rig.approvals.decide(name, bob, { decision: 'approve' });
    const answers = await client.until('Z');
    assert.ok(!shows(answers));
    assert.deepEqual(statesOf(answers), ['42501']);
    rig.publish(manifests(server.port));
  });

  for (const [title, masked] of [
    ['names are denied', ''],
    ['columns are masked', MASK],
  ] as const) {
    describe(`search_path, where ${title}`, () => {
      before(() => rig.publish(manifests(server.port, masked)));
      after(() => rig.publish(manifests(server.port)));
      const READ = 'SELECT id, t FROM orders';

      test('a Query in mid-segment after SET', async () => {
        client = await RawClient.login(rig.port);
        client.send(...run('SET search_path = other'), encodeQuery(READ), encodeSync());
        assert.ok(!shows(await client.until('Z', 2)));
      });

      test('a pipeline after the ROLLBACK of a failed transaction', async () => {
        client = await RawClient.login(rig.port);
        client.send(...queries('SET search_path = other', 'BEGIN', 'SET LOCAL search_path = public', 'SELECT 1/0'));
        await client.until('Z', 4);
        client.send(...run('ROLLBACK'), ...run(READ), encodeSync());
        assert.ok(!shows(await client.until('Z')));
        client.send(encodeQuery(`ROLLBACK; ${READ}`));
        assert.ok(!shows(await client.until('Z')));
      });

      test('a Bind under another search_path than Parse and Execute', async () => {
        client = await RawClient.login(rig.port);
        client.send(
          encodeQuery('BEGIN'),
          parse(READ, 's'),
          encodeSync(),
          encodeQuery(`SET LOCAL search_path = ${masked === '' ? 'other' : 'mv'}`),
        );
        await client.until('Z', 3);
        client.send(bind('s', 'p'), encodeSync(), encodeQuery('SET LOCAL search_path = public'), encodeExecute('p'), encodeSync());
        assert.ok(!shows(await client.until('Z', 3)));
      });

      test('a view that sets it, in one text and in two', async () => {
        client = await RawClient.login(rig.port);
        client.send(...queries(`SELECT * FROM moves; ${READ}`, 'SELECT * FROM moves', READ));
        assert.ok(!shows(await client.until('Z', 3)));
      });
    });
  }

  test('a schema that appears later', async () => {
    rig.publish(manifests(server.port, MASK));
    client = await RawClient.login(rig.port);
    client.send(...queries('SET search_path = later, public', 'SELECT id, t FROM orders'));
    await client.until('Z', 2);
    await server.query(`CREATE SCHEMA later; GRANT USAGE ON SCHEMA later TO app_real;
      CREATE MATERIALIZED VIEW later.orders AS SELECT id, ssn AS t FROM customers; GRANT SELECT ON later.orders TO app_real`);
    // It counts from when the catalog is looked at again: within a second where the machine is not busy.
    let answers: Answer[] = [];
    for (let tries = 0; tries < 30; tries++) {
      await new Promise((resolve) => setTimeout(resolve, 500));
      client.send(encodeQuery('SELECT id, t FROM orders'));
      answers = await client.until('Z');
      if (!shows(answers)) break;
    }
    await server.query('DROP SCHEMA later CASCADE');
    assert.ok(!shows(answers));
    rig.publish(manifests(server.port));
  });

  test('what a failed text may have renamed is forgotten', async () => {
    client = await RawClient.login(rig.port);
    client.send(
      ...queries('PREPARE s AS SELECT id, t FROM orders', 'DEALLOCATE s; PREPARE s AS SELECT id, ssn FROM customers; SELECT 1/0'),
    );
    await client.until('Z', 2);
    rig.publish(manifests(server.port, MASK));
    client.send(encodeQuery('EXECUTE s'));
    assert.ok(!shows(await client.until('Z')));
    rig.publish(manifests(server.port));
  });

  test('code of the database behind a field, a default or a function is not reached where something is masked', async () => {
    rig.publish(manifests(server.port, MASK));
    client = await RawClient.login(rig.port);
    const texts = [
      'SELECT o.customer_ssn FROM orders o',
      'SELECT (o).customer_ssn FROM orders o',
      'SELECT customer_ssn(o) FROM orders o',
      'SELECT first_ssn()',
      'INSERT INTO filled(a) VALUES (1) RETURNING reverse(x)',
    ];
    client.send(...queries(...texts));
    const answers = await client.until('Z', texts.length);
    assert.ok(!shows(answers) && !shows(answers, [...SECRET].reverse().join('')));
    assert.equal(statesOf(answers).length, texts.length);
    rig.publish(manifests(server.port));
  });

  test('an approver is not asked about what can not be shown whole', async () => {
    client = await RawClient.login(rig.port, await rig.token('alice', 'sre'));
    client.send(encodeQuery(`UPDATE orders SET total = 5 WHERE id = 1${' '.repeat(17_000)}; DELETE FROM orders WHERE id > 0`));
    assert.equal(typesOf(await client.until('Z')), 'E Z');
    assert.equal(rig.approvals.pending, 0);
  });

  test('statements that differ in how an integer is written are not one', async () => {
    client = await RawClient.login(rig.port, await rig.token('alice', 'sre'));
    client.send(encodeQuery('UPDATE orders SET total = total WHERE total + 5 = total + 5'));
    const first = typesOf([(await client.until('E'))[0] as Answer]);
    client.send(encodeQuery('UPDATE orders SET total = total WHERE total + 05 = total + 5'));
    assert.equal(first, 'E');
    const second = await client.until('Z', 2);
    assert.deepEqual(statesOf(second), ['42501']);
  });

  test('a client that does not read its answers is not read either', async () => {
    client = await RawClient.login(rig.port);
    client.socket.pause();
    const chunk = Buffer.concat(Array.from({ length: 20_000 }, () => encodeSync()));
    for (let i = 0; i < 300; i++) client.socket.write(chunk);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.ok(client.socket.writableLength > 10_000_000, 'the sidecar went on reading');
  });

  test('a notice does not break into a row that is under way', async () => {
    client = await RawClient.login(rig.port, await rig.token('carol', 'sre'));
    client.send(encodeQuery(`SELECT repeat('x', 8000000)`));
    await client.until('T');
    client.send(encodeQuery('UPDATE orders SET total = 3 WHERE id = 1'));
    const answers = await client.until('N');
    if (!answers.some(({ type }) => type === 'Z')) answers.push(...(await client.until('Z')));
    const row = answers.find(({ type }) => type === 'D');
    assert.equal(typesOf(answers.filter(({ type }) => type !== 'N')), 'D C Z');
    assert.ok(row?.body.subarray(6).every((byte) => byte === 0x78));
  });

  test('two COPY FROM STDIN in one text', async () => {
    client = await RawClient.login(rig.port);
    client.send(encodeQuery('COPY pile FROM STDIN; COPY pile FROM STDIN'));
    await client.until('G');
    client.send(encodeCopyData(Buffer.from('1\ta\n')), encodeCopyDone());
    await client.until('G');
    client.send(encodeCopyData(Buffer.from('2\tb\n')), encodeCopyDone());
    assert.equal(typesOf(await client.until('Z')), 'C Z');
  });
});
