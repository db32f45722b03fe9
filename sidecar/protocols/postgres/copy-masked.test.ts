import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, test } from 'node:test';
import { hasPostgres, type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { encodeBind } from '../../wire/postgres/messages/bind.ts';
import { encodeCopyData, encodeCopyDone, encodeCopyFail } from '../../wire/postgres/messages/copy.ts';
import { encodeSync } from '../../wire/postgres/messages/empty.ts';
import { encodeExecute } from '../../wire/postgres/messages/execute.ts';
import { encodeParse } from '../../wire/postgres/messages/parse.ts';
import { encodeQuery } from '../../wire/postgres/messages/query.ts';
import { POLICY, resourceOn } from './testing/manifests.ts';
import { type Answer, RawClient, statesOf, typesOf } from './testing/raw.ts';
import { type Rig, startRig } from './testing/rig.ts';

const password = randomBytes(12).toString('hex');
const SECRET = '078-05-1120';

const SCHEMA = `
CREATE TABLE customers (id int PRIMARY KEY, ssn text, name text, twice int GENERATED ALWAYS AS (id * 2) STORED, pay int, mail text);
INSERT INTO customers VALUES (1, '${SECRET}', 'Ada', DEFAULT, 77123, 'ada@corpus.example'), (2, NULL, E'B\\tram', DEFAULT, 77123, 'bram@corpus.example');
CREATE TABLE younger () INHERITS (customers); INSERT INTO younger VALUES (3, '${SECRET}', 'Cleo', DEFAULT, 1, NULL);
GRANT ALL ON ALL TABLES IN SCHEMA public TO app_real;
`;

const COLUMNS = ['ssn: Redact', 'pay: Redact', 'mail: Token'].map((item) => {
  const [name, type] = item.split(': ');
  return `{column: public.customers.${name}, strategy: {type: ${type}${type === 'Token' ? ', domain: d' : ''}}}`;
});

const manifests = (
  port: number,
  more = '',
): string => `${resourceOn(port)}${POLICY}    - {name: all, action: Allow, sql: {relations: ["*.*"]}}
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: mask, namespace: shop}
spec:
  targetRefs: [{name: db}]
  keySecretRef: {name: masking}
  columns: [${COLUMNS.join(', ')}]
${more}`;

for (const major of [18, 15] as const) {
  describe(`COPY of a table with masked columns on PostgreSQL ${major}`, {
    skip: hasPostgres(major) ? false : 'not on this machine',
  }, () => {
    let server: Postgres;
    let rig: Rig;
    let client: RawClient;

    before(async () => {
      server = await startPostgres({ major, database: 'shop', roles: [{ name: 'app_real', password }], initSql: SCHEMA });
      rig = await startRig(manifests(server.port), { username: 'app_real', password, key: randomBytes(32).toString('hex') });
    });
    after(async () => {
      await rig?.stop();
      await rig?.remove();
      await server?.stop();
    });
    afterEach(() => client.end());

    const ask = async (sql: string): Promise<Answer[]> => {
      client = await RawClient.login(rig.port);
      client.send(encodeQuery(sql));
      return client.until('Z');
    };
    const dataOf = (answers: readonly Answer[]) => Buffer.concat(answers.filter(({ type }) => type === 'd').map(({ body }) => body));
    const rows = (answers: readonly Answer[]) =>
      dataOf(answers)
        .toString('latin1')
        .replace(/tok_[a-z2-7]+/g, 'TOKEN')
        .split('\n');

    test('TO STDOUT gives masks and tokens, without children and generated columns', async () => {
      const text = await ask('COPY customers TO STDOUT');
      assert.deepEqual(rows(text), ['1\t[redacted]\tAda\t0\tTOKEN', '2\t[redacted]\tB\\tram\t0\tTOKEN', '']);
      assert.match(typesOf(text), /^H d d c C Z$/);
      client.end();
      const csv = await ask('COPY public.customers (mail, ssn, id) TO STDOUT WITH (FORMAT csv, HEADER)');
      assert.deepEqual(rows(csv), ['mail,ssn,id', 'TOKEN,[redacted],1', 'TOKEN,[redacted],2', '']);
      client.end();
      const other = await ask("COPY customers TO STDOUT CSV DELIMITER ';' NULL 'none'");
      assert.deepEqual(rows(other)[0], '1;[redacted];Ada;0;[redacted]');
    });

    test('TO STDOUT in binary', async () => {
      const data = dataOf(await ask('COPY customers TO STDOUT (FORMAT binary)'));
      assert.equal(data.toString('latin1', 0, 7), 'PGCOPY\n');
      assert.ok(data.includes('[redacted]') && data.includes('Ada'));
      for (const secret of [SECRET, 'corpus.example', Buffer.from([0, 1, 0x2d, 0x43])]) assert.ok(!data.includes(secret));
    });

    test('with detectors binary is refused', async () => {
      rig.publish(manifests(server.port, '  detectors: [{name: mail, type: Email, strategy: {type: Redact}}]'));
      const answers = await ask('COPY customers TO STDOUT (FORMAT binary)');
      rig.publish(manifests(server.port));
      assert.deepEqual(statesOf(answers), ['42501']);
    });

    test('FROM STDIN writes what the client gives', async () => {
      client = await RawClient.login(rig.port);
      client.send(encodeQuery('COPY customers (id, ssn, pay) FROM STDIN'));
      await client.until('G');
      client.send(encodeCopyData(Buffer.from('10\t900-11-')), encodeCopyData(Buffer.from('2222\t5\n11\t\\N\t6')), encodeCopyDone());
      assert.equal(typesOf(await client.until('Z')), 'C Z');
      assert.deepEqual(await server.query('SELECT id, ssn, pay FROM customers WHERE id IN (10, 11) ORDER BY 1'), [
        { id: 10, ssn: '900-11-2222', pay: 5 },
        { id: 11, ssn: null, pay: 6 },
      ]);
    });

    const written: readonly (readonly [string, readonly string[]])[] = [
      ['COPY customers (id, ssn) FROM STDIN', ['20\t[redacted]\n']],
      ['COPY customers (id, ssn) FROM STDIN', ['20\tok\n21\t[redac', 'ted]']],
      ['COPY customers (id, ssn) FROM STDIN', ['20\t\\x5bredacted\\135\n']],
      ['COPY customers (id, ssn) FROM STDIN', ['20\t\\[r\\edacted]\r\n']],
      ['COPY customers (id, ssn) FROM STDIN', ['20\ta\\\nb [redacted]\n']],
      ['COPY customers (ssn, id) FROM STDIN WITH (FORMAT csv, HEADER)', ['ssn,id\n"x\n', '[red""acted], [redacted]",20\n']],
      ["COPY customers (id, ssn) FROM STDIN CSV DELIMITER ';'", ['20;"[redac"ted]\n']],
      ['COPY customers FROM STDIN', ['20\tx\ty\t1\ttok_abcdefghijklmnopqrstuvwxyz\n']],
    ];
    for (const [sql, data] of written) {
      test(`what a mask shows is not written back: ${sql} ${JSON.stringify(data)}`, async () => {
        client = await RawClient.login(rig.port);
        client.send(encodeQuery(sql));
        await client.until('G');
        for (const part of data) client.send(encodeCopyData(Buffer.from(part)));
        client.send(encodeCopyData(Buffer.from('30\tlater\n')), encodeCopyDone());
        const answers = await client.until('Z');
        assert.equal(typesOf(answers), 'E Z');
        assert.deepEqual(statesOf(answers), ['42501']);
        assert.match(answers[0]?.body.toString('latin1') ?? '', /placeholder/);
        client.send(encodeQuery('SELECT count(*) FROM customers WHERE id BETWEEN 20 AND 30'));
        const counted = await client.until('Z');
        assert.equal(typesOf(counted), 'T D C Z', counted[0]?.body.toString('latin1') ?? '');
        assert.equal(counted.find(({ type }) => type === 'D')?.body.at(-1), 0x30);
      });
    }

    test('nor in the extended protocol, and what was pipelined behind it is skipped', async () => {
      client = await RawClient.login(rig.port);
      const run = (text: string) => [
        encodeParse({ statement: '', text, parameterTypes: [] }),
        encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] }),
        encodeExecute(''),
      ];
      client.send(...run('COPY customers (id, ssn) FROM STDIN'), encodeSync());
      await client.until('G');
      client.send(encodeCopyData(Buffer.from('20\t[redacted]\n')), encodeCopyDone(), encodeSync());
      assert.deepEqual(statesOf(await client.until('Z')), ['42501']);
      client.send(encodeQuery('SELECT 1'));
      assert.equal(typesOf(await client.until('Z')), 'T D C Z');
    });

    test('a client that gives up, and one that sends what the server does not take', async () => {
      client = await RawClient.login(rig.port);
      for (const [data, state] of [
        [encodeCopyFail('no'), '57014'],
        [Buffer.concat([encodeCopyData(Buffer.from('x\ty\n')), encodeCopyDone()]), '22P02'],
      ] as const) {
        client.send(encodeQuery('COPY customers (id, ssn) FROM STDIN'));
        await client.until('G');
        client.send(data);
        const answers = await client.until('Z');
        assert.deepEqual(statesOf(answers), [state]);
        assert.doesNotMatch(answers[0]?.body.toString('latin1') ?? '', /COPY customers|line 1/);
      }
    });

    const refused = [
      'COPY customers FROM STDIN (FORMAT binary)',
      "COPY customers FROM STDIN (FORMAT csv, QUOTE 'x')",
      'COPY customers FROM STDIN WHERE id > 1',
      'COPY customers FROM STDIN; SELECT 1',
      'COPY customers (twice) TO STDOUT',
      "COPY customers TO STDOUT (DELIMITER '-')",
    ];
    for (const sql of refused) test(`refuses ${sql}`, async () => assert.deepEqual(statesOf(await ask(sql)), ['42501']));
  });
}
