import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Client } from 'pg';
import { type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { encodeBind } from '../../wire/postgres/messages/bind.ts';
import { encodeSync } from '../../wire/postgres/messages/empty.ts';
import { encodeExecute } from '../../wire/postgres/messages/execute.ts';
import { encodeParse } from '../../wire/postgres/messages/parse.ts';
import { POLICY, resourceOn } from './testing/manifests.ts';
import { RawClient, typesOf } from './testing/raw.ts';
import { type Rig, startRig } from './testing/rig.ts';

const password = randomBytes(12).toString('hex');
const MAIL = 'ada@corpus.example';
const SCHEMA = `
CREATE TABLE people (id int PRIMARY KEY, mail text, name text); INSERT INTO people VALUES (1, '${MAIL}', 'Ada'), (2, NULL, 'Bram');
GRANT ALL ON ALL TABLES IN SCHEMA public TO app_real;`;

const manifests = (port: number, rule: string) => `${resourceOn(port)}${POLICY}    - {name: all, action: Allow${rule}}
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: tokens, namespace: shop}
spec:
  targetRefs: [{name: db}]
  keySecretRef: {name: masking}
  columns: [{column: public.people.mail, strategy: {type: Token, domain: d}}]
`;

for (const [title, rule] of [
  ['', ''],
  [', where rows are counted', ', sql: {statements: [Insert, Update, Delete, Select, Prepare, Execute]}, maxAffectedRows: 5'],
] as const) {
  describe(`tokens in RETURNING${title}`, () => {
    let server: Postgres;
    let rig: Rig;
    let client: Client;

    before(async () => {
      server = await startPostgres({ database: 'shop', roles: [{ name: 'app_real', password }], initSql: SCHEMA });
      rig = await startRig(manifests(server.port, rule), { username: 'app_real', password, key: randomBytes(32).toString('hex') });
      client = new Client({ host: '127.0.0.1', port: rig.port, user: 'app', database: 'shop', password: 'x' });
      await client.connect();
    });
    after(async () => {
      await client?.end();
      await rig?.stop();
      await rig?.remove();
      await server?.stop();
    });

    test('are those of SELECT, by the simple and the extended protocol and by EXECUTE', async () => {
      const [one, two] = (await client.query('SELECT id, mail FROM people ORDER BY id')).rows;
      assert.match(one.mail, /^tok_/);
      assert.equal(two.mail, null);
      const simple = await client.query("UPDATE people SET name = 'x' RETURNING id, mail, upper(mail) AS up");
      assert.deepEqual(simple.rows, [
        { ...one, up: '[REDACTED]' },
        { ...two, up: '[REDACTED]' },
      ]);
      const extended = await client.query('UPDATE people SET name = $1 WHERE id = $2 RETURNING *', ['y', 1]);
      assert.deepEqual(extended.rows, [{ ...one, name: 'y' }]);
      const inserted = await client.query('INSERT INTO people VALUES ($1, $2, $3) RETURNING mail', [3, MAIL, 'Cleo']);
      assert.deepEqual(inserted.rows, [{ mail: one.mail }]);
      await client.query('PREPARE d AS DELETE FROM people WHERE id = $1 RETURNING people.*');
      assert.deepEqual((await client.query('EXECUTE d(3)')).rows, [{ id: 3, mail: one.mail, name: 'Cleo' }]);
    });

    test('without a Describe, and in binary', async () => {
      const raw = await RawClient.login(rig.port);
      raw.send(
        encodeParse({ statement: '', text: "UPDATE people SET name = 'z' WHERE id = 1 RETURNING mail, id", parameterTypes: [] }),
        encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [1] }),
        encodeExecute(''),
        encodeSync(),
      );
      const answers = await raw.until('Z');
      raw.end();
      assert.equal(typesOf(answers), '1 2 D C Z');
      const row = answers.find(({ type }) => type === 'D')?.body.toString('latin1') ?? '';
      assert.match(row, /tok_[a-z2-7]{26}/);
      assert.ok(!row.includes('corpus'));
    });
  });
}
