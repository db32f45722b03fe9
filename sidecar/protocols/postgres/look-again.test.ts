import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { encodeBind } from '../../wire/postgres/messages/bind.ts';
import { encodeSync } from '../../wire/postgres/messages/empty.ts';
import { encodeExecute } from '../../wire/postgres/messages/execute.ts';
import { encodeParse } from '../../wire/postgres/messages/parse.ts';
import { encodeQuery } from '../../wire/postgres/messages/query.ts';
import { POLICY, resourceOn } from './testing/manifests.ts';
import { RawClient, statesOf, typesOf } from './testing/raw.ts';
import { type Rig, startRig } from './testing/rig.ts';

const password = randomBytes(12).toString('hex');
const MASK = `
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: mask, namespace: shop}
spec:
  targetRefs: [{name: db}]
  columns: [{column: "*.*.ssn", strategy: {type: Redact}}]
`;

/** The catalog is looked at once a second on its own: what is asked for at once is found by looking again. */
describe('what another session has just made', () => {
  let server: Postgres;
  let rig: Rig;
  let client: RawClient;
  let made = 0;

  before(async () => {
    const initSql = 'ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO app_real';
    server = await startPostgres({ database: 'shop', roles: [{ name: 'app_real', password }], initSql });
    rig = await startRig(`${resourceOn(server.port)}${POLICY}    - {name: all, action: Allow}${MASK}`, { username: 'app_real', password });
    client = await RawClient.login(rig.port);
  });
  after(async () => {
    client?.end();
    await rig?.stop();
    await rig?.remove();
    await server?.stop();
  });
  afterEach(() => {
    made++;
  });

  const make = () => server.query(`CREATE TABLE fresh_${made} (id int, ssn text); INSERT INTO fresh_${made} VALUES (1, '078-05-1120')`);
  const ask = async (...messages: Buffer[]) => {
    client.send(...messages);
    const answers = await client.until('Z');
    assert.ok(!answers.some(({ body }) => body.includes('078-05')));
    return answers;
  };

  test('is found by a Query, and masked', async () => {
    await ask(encodeQuery('SELECT 1'));
    await make();
    assert.equal(typesOf(await ask(encodeQuery(`SELECT id, ssn FROM fresh_${made}`))), 'T D C Z');
  });

  test('is found by a Parse', async () => {
    await ask(encodeQuery('SELECT 1'));
    await make();
    const parse = encodeParse({ statement: '', text: `SELECT id, ssn FROM fresh_${made}`, parameterTypes: [] });
    const bind = encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] });
    assert.equal(typesOf(await ask(parse, bind, encodeExecute(''), encodeSync())), '1 2 D C Z');
  });

  test('is found in a transaction, and what is not there is told by the server', async () => {
    await ask(encodeQuery('BEGIN'));
    await make();
    assert.equal(typesOf(await ask(encodeQuery(`SELECT ssn FROM fresh_${made}`))), 'T D C Z');
    assert.deepEqual(statesOf(await ask(encodeQuery('SELECT * FROM never_made'))), ['42P01']);
    await ask(encodeQuery('ROLLBACK'));
  });

  test('many sessions that ask at once for what is not there are all answered', async () => {
    const others = await Promise.all(Array.from({ length: 8 }, () => RawClient.login(rig.port)));
    for (const other of others) other.send(...Array.from({ length: 5 }, () => encodeQuery('SELECT * FROM never_made')));
    for (const other of others) {
      assert.deepEqual(statesOf(await other.until('Z', 5)), Array(5).fill('42P01'));
      other.end();
    }
  });
});
