import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { encodeBind } from '../../wire/postgres/messages/bind.ts';
import { encodeSync } from '../../wire/postgres/messages/empty.ts';
import { encodeExecute } from '../../wire/postgres/messages/execute.ts';
import { encodeParse } from '../../wire/postgres/messages/parse.ts';
import { encodeQuery } from '../../wire/postgres/messages/query.ts';
import { POLICY, resourceOn } from './testing/manifests.ts';
import { RawClient, statusesOf, typesOf } from './testing/raw.ts';
import { type Rig, startRig } from './testing/rig.ts';

const password = randomBytes(12).toString('hex');
const SECRET = '078-05-1120';
const MASK = `
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: mask, namespace: shop}
spec:
  targetRefs: [{name: db}]
  columns: [{column: "*.people.ssn", strategy: {type: Redact}}]
`;

function segment(text: string, parameterTypes: readonly number[] = []): Buffer[] {
  const bind = encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] });
  return [encodeParse({ statement: '', text, parameterTypes }), bind, encodeExecute(''), encodeSync()];
}

/** What a client of a target with masks is told of its own mistakes is what it is told without us, to the byte. */
describe('errors on a target with masks', () => {
  let server: Postgres;
  let rig: Rig;
  let client: RawClient;
  let direct: RawClient;

  before(async () => {
    const initSql = `
      CREATE TABLE people (id int PRIMARY KEY, ssn text UNIQUE);
      INSERT INTO people VALUES (1, '${SECRET}');
      CREATE TABLE goods (id int PRIMARY KEY, name text NOT NULL);
      INSERT INTO goods VALUES (1, 'a'), (2, 'b');
      CREATE TABLE homes (id int PRIMARY KEY);
      INSERT INTO homes VALUES (1);
      ALTER TABLE people ADD home int DEFAULT 1 REFERENCES homes ON DELETE SET NULL, ADD CONSTRAINT housed CHECK (home IS NOT NULL);
      CREATE ROLE app LOGIN PASSWORD '${password}';
      GRANT app_real TO app;
      GRANT ALL ON ALL TABLES IN SCHEMA public TO app_real, app`;
    server = await startPostgres({ database: 'shop', roles: [{ name: 'app_real', password }], initSql });
    rig = await startRig(`${resourceOn(server.port)}${POLICY}    - {name: all, action: Allow}${MASK}`, { username: 'app_real', password });
    client = await RawClient.login(rig.port);
    const pass = await startRig(`${resourceOn(server.port)}${POLICY}    - {name: all, action: Allow}`, { username: 'app_real', password });
    plain = pass;
    direct = await RawClient.login(pass.port);
  });
  let plain: Rig;
  after(async () => {
    client?.end();
    direct?.end();
    for (const each of [rig, plain]) {
      await each?.stop();
      await each?.remove();
    }
    await server?.stop();
  });

  const ask = async (through: RawClient, messages: readonly Buffer[]) => {
    through.send(...messages);
    return through.until('Z');
  };

  const same: readonly (readonly Buffer[])[] = [
    ...['SELECT * FROM nope', 'SELECT nope(1)', 'SELECT 1::nope', 'SELECT nope.f(1)', 'DELETE FROM nope', 'SELECT $1::nope'].flatMap(
      (text) => [[encodeQuery(text)], segment(text)],
    ),
    ...['UPDATE goods SET id = 2 WHERE id = 1', 'UPDATE goods SET name = NULL', 'INSERT INTO goods VALUES (1, $$x$$)'].map((text) => [
      encodeQuery(text),
    ]),
    ...['ROLLBACK', 'SAVEPOINT a', 'SELECT 1/0', "SELECT '{'::json"].map((text) => [encodeQuery(text)]),
    segment('SELECT 1/0'),
    segment('SELECT id + $$x$$ FROM goods'),
  ];
  for (const [index, messages] of same.entries()) {
    const text = messages[0]?.toString('latin1').replaceAll(/[^ -~]+/g, ' ');
    test(`are as without masks: ${index} ${text}`, async () => {
      const [ours, theirs] = [await ask(client, messages), await ask(direct, messages)];
      assert.deepEqual(
        ours.map(({ type, body }) => `${type} ${body}`),
        theirs.map(({ type, body }) => `${type} ${body}`),
      );
    });
  }

  test('a name that is not known fails the transaction, and what follows in a pipeline is skipped', async () => {
    const answers = async (through: RawClient) => {
      through.send(
        encodeQuery('BEGIN'),
        ...segment('SELECT * FROM nope'),
        encodeQuery('SELECT 1'),
        encodeQuery('ROLLBACK'),
        encodeQuery('SELECT 2'),
      );
      const all = await through.until('Z', 5);
      return `${typesOf(all)} ${statusesOf(all)}`;
    };
    assert.equal(await answers(client), await answers(direct));
  });

  test('quote no row of a masked relation to which a change is carried on', async () => {
    const [error] = await ask(client, [encodeQuery('DELETE FROM homes')]);
    assert.equal(error?.type, 'E');
    assert.ok(!error?.body.includes(SECRET));
    assert.match(String(error?.body), /C23514\0.*details are hidden/);
    assert.ok((await ask(direct, [encodeQuery('DELETE FROM homes')]))[0]?.body.includes(SECRET), 'the server quotes it');
  });

  test('what the server is asked to parse never runs', async () => {
    const hidden = 'SELECT nope(1), (SELECT ssn FROM people)';
    assert.match(String((await ask(client, [encodeQuery(hidden)]))[0]?.body), /C42883\0/);
    const [conflict] = await ask(client, [encodeQuery(`INSERT INTO people VALUES (9, '${SECRET}') ON CONFLICT DO NOTHING`)]);
    assert.match(String(conflict?.body), /C42501\0.*ON CONFLICT/);
  });
});
