import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { Client } from 'pg';
import { hasPostgres, type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { encodeBind } from '../../wire/postgres/messages/bind.ts';
import { decodeDataRow } from '../../wire/postgres/messages/data_row.ts';
import { encodeDescribe } from '../../wire/postgres/messages/describe_close.ts';
import { encodeSync } from '../../wire/postgres/messages/empty.ts';
import { encodeExecute } from '../../wire/postgres/messages/execute.ts';
import { encodeParse } from '../../wire/postgres/messages/parse.ts';
import { encodeQuery } from '../../wire/postgres/messages/query.ts';
import { decodeRowDescription } from '../../wire/postgres/messages/row_description.ts';
import { POLICY, resourceOn } from './testing/manifests.ts';
import { RawClient } from './testing/raw.ts';
import { type Rig, startRig } from './testing/rig.ts';

const mark = `q${randomBytes(5).toString('hex')}z`;
const CARD = '4111 1111 1111 1111';
const MAIL = `${mark}@corpus.example`;
const UUID = '3f2504e0-4f89-11d3-9a0c-0305e82c3301';
const password = randomBytes(12).toString('hex');

const SCHEMA = `
CREATE EXTENSION IF NOT EXISTS citext;
CREATE DOMAIN short AS varchar(20);
CREATE TABLE people (id int PRIMARY KEY, name text, mail text, card text, code varchar(20), tiny varchar(8), fixed char(24), dom short,
  n2 int2, n4 int4, n8 int8, amount numeric(12,2), u uuid, j json, jb jsonb, raw bytea, tags text[], nums int8[], born date, ci citext);
INSERT INTO people VALUES
  (1, 'Ada', '${MAIL}', '${CARD}', '${mark}', 'abcd', '${mark}', '${mark}', 12345, -2147483647, 9123456789012345678, 12345.67, '${UUID}',
   '{"a": "${mark}"}', '{"a": "${mark}"}', '${mark}', '{${mark},NULL,"a b"}', '{{1,22222},{333333,4}}', '2001-02-03', '${mark}'),
  (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (3, 'Cleo', '${MAIL}', '${CARD}', '${mark}', 'abcd', '${mark}', '${mark}', 12345, -2147483647, 9123456789012345678, 12345.67, '${UUID}',
   '{"a": "${mark}"}', '{"a": "${mark}"}', '${mark}', '{${mark},NULL,"a b"}', '{{1,22222},{333333,4}}', '2001-02-03', upper('${mark}'));
CREATE FUNCTION peek(cursor_name text) RETURNS text LANGUAGE plpgsql STABLE AS $$
  DECLARE c refcursor := cursor_name; v text; BEGIN FETCH c INTO v; RETURN v; END $$;
GRANT ALL ON ALL TABLES IN SCHEMA public TO app_real;
`;

const COLUMNS = 'mail card code tiny fixed dom n2 n4 n8 amount u j jb raw tags nums born ci'.split(' ');

function manifests(port: number, type: string, more = ''): string {
  return `${resourceOn(port, '  recording: {results: All}')}${POLICY}    - {name: all, action: Allow, sql: {relations: ["*.*"]}}
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: tokens, namespace: shop}
spec:
  targetRefs: [{name: db}]
  keySecretRef: {name: masking}
  columns:
${COLUMNS.map((name) => `    - {column: public.people.${name}, strategy: {type: ${type}, domain: d}}`).join('\n')}
${more}`;
}

const DETECTORS = '  detectors: [{name: mail, type: Email, strategy: {type: Redact}}]';
type Row = Record<string, string | Buffer | null>;

for (const major of [18, 15] as const) {
  describe(`tokens on PostgreSQL ${major}`, { skip: hasPostgres(major) ? false : 'not on this machine' }, () => {
    let server: Postgres;
    let rig: Rig;
    let client: Client;
    const key = randomBytes(32).toString('hex');
    const credentials: { [key: string]: string } = { username: 'app_real', password, key };

    before(async () => {
      server = await startPostgres({ major, database: 'shop', roles: [{ name: 'app_real', password }], initSql: SCHEMA });
      rig = await startRig(manifests(server.port, 'Token'), credentials);
      client = new Client({ host: '127.0.0.1', port: rig.port, user: 'app', database: 'shop', password: 'x' });
      await client.connect();
    });
    after(async () => {
      await client?.end();
      await rig?.stop().catch(() => {});
      await rig?.remove();
      await server?.stop();
    });

    const raw = { getTypeParser: () => (value: string | Buffer) => value } as never;
    const rows = async (text: string): Promise<Row[]> => (await client.query({ text, types: raw })).rows;
    const binaryRows = async (sql: string): Promise<{ [name: string]: Buffer | null }[]> => {
      const raw = await RawClient.login(rig.port);
      raw.send(
        encodeParse({ statement: '', text: sql, parameterTypes: [] }),
        encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [1] }),
        encodeDescribe({ kind: 'portal', name: '' }),
        encodeExecute(''),
        encodeSync(),
      );
      const answers = await raw.until('Z');
      raw.end();
      const message = ({ type, body }: { type: string; body: Buffer }) => {
        const head = Buffer.alloc(5);
        head.write(type);
        head.writeInt32BE(body.length + 4, 1);
        return Buffer.concat([head, body]);
      };
      const described = answers.find(({ type }) => type === 'T') ?? assert.fail(JSON.stringify(answers));
      const names = decodeRowDescription(message(described), 0, described.body.length + 5).map(({ name }) => name);
      const data = answers.filter(({ type }) => type === 'D');
      return data.map((answer) => {
        const values = decodeDataRow(message(answer), 0, answer.body.length + 5);
        return Object.fromEntries(names.map((name, index) => [name, values[index] ?? null]));
      });
    };

    const values = (row: Row | undefined) =>
      Object.values(row ?? {}).map((value) => (Buffer.isBuffer(value) ? value.toString('latin1') : String(value)));
    const assertHidden = (...found: (Row | undefined)[]) => {
      const text = found.flatMap(values).join(' ');
      for (const secret of [mark, mark.toUpperCase(), CARD, UUID, '9123456789012345678', '12345.67', Buffer.from(mark).toString('hex')])
        assert.ok(!text.includes(secret), `${secret} in ${text}`);
    };

    test('a token in each type, in text and in binary the same one; null stays null; equal values are equal', async () => {
      const [one = {}, none, three = {}] = await rows('SELECT * FROM people ORDER BY id');
      assertHidden(one, three);
      assert.deepEqual({ ...one, id: 0, name: '' }, { ...three, id: 0, name: '' });
      const nullness = Object.entries(none ?? {}).filter(([, value]) => value !== null);
      // What has no form in its type is the server's constant, for NULL too.
      assert.deepEqual(
        nullness.map(([name]) => name),
        ['id', 'n2', 'amount', 'born'],
      );
      const token = /^tok_[a-z2-7]{26}$/;
      assert.match(String(one['mail']), token);
      assert.match(String(one['ci']), token);
      assert.match(String(one['code']), /^tok_[a-z2-7]{16}$/);
      assert.match(String(one['dom']), /^tok_[a-z2-7]{16}$/);
      assert.match(String(one['fixed']), /^tok_[a-z2-7]{20}$/);
      assert.equal(one['tiny'], '*'.repeat(8));
      assert.match(String(one['u']), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
      assert.match(String(one['n4']), /^\d{1,10}$/);
      assert.match(String(one['n8']), /^\d{1,19}$/);
      assert.match(String(one['j']), /^"tok_[a-z2-7]{26}"$/);
      assert.match(String(one['raw']), /^\\x[0-9a-f]{32}$/);
      assert.match(String(one['tags']), /^\{tok_[a-z2-7]{26},NULL,tok_[a-z2-7]{26}\}$/);
      assert.match(String(one['nums']), /^\{\{\d+,\d+\},\{\d+,\d+\}\}$/);
      assert.deepEqual([one['n2'], one['amount'], one['born']], ['0', '0.00', '1970-01-01']);
      const [binary = {}] = await binaryRows('SELECT mail, code, n4, n8, u, jb, raw, tags, nums, fixed FROM people WHERE id = 1');
      const bytes = (name: string) => binary[name] as Buffer;
      for (const name of ['mail', 'code', 'fixed']) assert.equal(String(bytes(name)), one[name]);
      assert.equal(String(bytes('n4').readInt32BE()), one['n4']);
      assert.equal(String(bytes('n8').readBigInt64BE()), one['n8']);
      assert.equal(bytes('u').toString('hex'), String(one['u']).replaceAll('-', ''));
      assert.equal(bytes('jb').toString('utf8'), `\u0001${one['jb']}`);
      assert.equal(`\\x${bytes('raw').toString('hex')}`, one['raw']);
      for (const element of String(one['tags']).match(/tok_\w+/g) ?? []) assert.ok(bytes('tags').includes(element));
      assert.equal(bytes('nums').readInt32BE(0), 2);
      await client.query("SET bytea_output = 'escape'");
      assert.equal((await rows('SELECT raw FROM people WHERE id = 1'))[0]?.['raw'], one['raw']);
      await client.query('RESET bytea_output');
    });

    test('only where it is proved: in conditions, sorts and all else there is the placeholder', async () => {
      const [row] = await rows(`SELECT mail, mail || '' AS other, length(mail) AS n FROM people WHERE id = 1`);
      assert.match(String(row?.['mail']), /^tok_/);
      assert.deepEqual([row?.['other'], row?.['n']], ['[redacted]', '10']);
      assert.equal((await rows(`SELECT mail FROM people WHERE mail = '${MAIL}'`)).length, 0);
      assert.deepEqual(await rows('SELECT DISTINCT mail FROM people'), [{ mail: '[redacted]' }]);
      assertHidden(...(await rows('SELECT p FROM people p')), ...(await rows('SELECT p.mail, p.row_to_json FROM people p')));
    });

    test('prepared statements by name, EXECUTE, cursors in SQL and of the protocol', async () => {
      const [{ mail } = {}] = await rows('SELECT mail FROM people WHERE id = 1');
      for (let i = 0; i < 3; i++)
        assert.deepEqual((await client.query({ name: 'p1', text: 'SELECT id, mail FROM people WHERE id = $1', values: [3] })).rows, [
          { id: 3, mail },
        ]);
      assert.deepEqual((await client.query('EXECUTE p1(3)')).rows, [{ id: 3, mail }]);
      await client.query('PREPARE p2 AS SELECT mail, id FROM people WHERE id = $1');
      assert.deepEqual((await client.query('EXECUTE p2(3)')).rows, [{ mail, id: 3 }]);
      assert.deepEqual((await client.query({ text: 'EXECUTE p2(3)', values: [], name: 'run' })).rows, [{ mail, id: 3 }]);
      await client.query('BEGIN');
      await client.query('DECLARE c CURSOR FOR SELECT id, mail FROM people ORDER BY id');
      assert.deepEqual((await client.query('FETCH 1 FROM c')).rows, [{ id: 1, mail }]);
      assert.deepEqual((await client.query({ text: 'FETCH ALL FROM c', values: [], name: 'more' })).rows.at(-1), { id: 3, mail });
      await client.query('COMMIT');
      await client.query('BEGIN');
      await client.query('DECLARE b BINARY CURSOR FOR SELECT mail FROM people WHERE id = 1');
      assert.equal(String((await client.query({ text: 'FETCH 1 FROM b', types: raw })).rows[0].mail), mail);
      await client.query('COMMIT');
      await assert.rejects(client.query('EXPLAIN ANALYZE EXECUTE p2(1)'), { code: '42501' });
      await assert.rejects(client.query('SELECT 1; EXECUTE p2(1)'), { code: '42501' });
    });

    test('EXECUTE and FETCH that race with another statement or cursor of that name show nothing in clear', async () => {
      const query = (...texts: string[]) => texts.map((text) => encodeQuery(text));
      const parse = (statement: string, text: string) => encodeParse({ statement, text, parameterTypes: [] });
      const bind = (portal: string, statement: string) =>
        encodeBind({ portal, statement, parameterFormats: [], parameters: [], resultFormats: [] });
      const run = (text: string) => [parse('', text), bind('', ''), encodeExecute('')];
      const described = [parse('e', 'EXECUTE p'), bind('x', 'e'), encodeDescribe({ kind: 'portal', name: 'x' })];
      const swap = ['DEALLOCATE p', 'PREPARE p AS SELECT mail FROM people'] as const;
      const races: readonly (readonly [first: Buffer[], then: Buffer[]])[] = [
        [query('PREPARE p AS SELECT name FROM people'), query(...swap, 'EXECUTE p')],
        [query('PREPARE p AS SELECT name FROM people'), [...query(...swap), ...run('EXECUTE p'), encodeSync()]],
        [query('PREPARE p AS SELECT name FROM people'), [...swap.flatMap(run), ...run('EXECUTE p'), encodeSync()]],
        [
          [...query('PREPARE p AS SELECT name FROM people', 'BEGIN'), ...described, encodeSync()],
          [...swap.flatMap(run), encodeExecute('x'), encodeSync()],
        ],
        [
          query('BEGIN', 'DECLARE c CURSOR FOR SELECT name FROM people'),
          query('CLOSE c', 'DECLARE c CURSOR FOR SELECT mail FROM people', 'FETCH 1 FROM c'),
        ],
      ];
      for (const [first, then] of races) {
        const racer = await RawClient.login(rig.port);
        for (const part of first) {
          racer.send(part);
          if (part[0] === 0x51 || part[0] === 0x53) await racer.until('Z');
        }
        racer.send(...then);
        racer.send(...query('ROLLBACK'));
        const count = then.filter((part) => part[0] === 0x51 || part[0] === 0x53).length + 1;
        const all = Buffer.concat((await racer.until('Z', count)).map(({ body }) => body)).toString('latin1');
        assert.ok(!all.includes(mark), all);
        racer.end();
      }
    });

    test('COPY in text and csv, with and without a header', async () => {
      const [{ mail, raw: bytes } = {}] = await rows('SELECT mail, raw FROM people WHERE id = 1');
      const copy = await RawClient.login(rig.port);
      const all = async (options: string, columns = 'id, mail, raw, name') => {
        copy.send(encodeQuery(`COPY (SELECT ${columns} FROM people ORDER BY id) TO STDOUT ${options}`));
        const answers = await copy.until('Z');
        return answers.flatMap(({ type, body }) => (type === 'd' || type === 'E' ? [body.toString('utf8')] : [])).join('');
      };
      const text = `1\t${mail}\t\\${bytes}\tAda\n2\t\\N\t\\N\t\\N\n3\t${mail}\t\\${bytes}\tCleo\n`;
      assert.equal(await all(''), text);
      assert.equal(await all('(HEADER)'), `id\tmail\traw\tname\n${text}`);
      assert.equal(await all('(FORMAT csv, HEADER true)'), `id,mail,raw,name\n1,${mail},${bytes},Ada\n2,,,\n3,${mail},${bytes},Cleo\n`);
      assert.equal((await all('(FORMAT csv, FORCE_QUOTE *)')).split('\n')[0], `"1","${mail}","${bytes}","Ada"`);
      assert.ok(!(await all('', '*')).includes(mark));
      copy.end();
    });

    test('another key makes other tokens at once; without one, or with an unfit one, there is the placeholder', async () => {
      const mails = async () => (await rows('SELECT mail, n8, u, tags, raw, jb FROM people WHERE id = 1'))[0] ?? {};
      const before = await mails();
      credentials['key'] = randomBytes(32).toString('hex');
      const other = await mails();
      for (const name of Object.keys(before)) assert.notEqual(other[name], before[name], name);
      assertHidden(other);
      const constants = { mail: '[redacted]', n8: '0', u: '00000000-0000-0000-0000-000000000000', raw: '\\x', jb: '"[redacted]"' };
      for (const unfit of ['short', undefined]) {
        if (unfit === undefined) delete credentials['key'];
        else credentials['key'] = unfit;
        assert.deepEqual(await mails(), { ...constants, tags: '{[redacted],NULL,[redacted]}' });
        assertHidden(...(await binaryRows('SELECT mail, n8, u, tags, jb FROM people')));
      }
      credentials['key'] = key;
      assert.deepEqual(await mails(), before);
      assert.ok(rig.log.some((line) => /key of a masking rule is missing/.test(line)));
      assert.ok(rig.log.some((line) => /no random key/.test(line)));
      assert.ok(rig.log.some((line) => /Token has no form in the type date of public.people.born/.test(line)));
    });

    test('values of the same form, in text and in binary, and a detector that leaves them alone', async () => {
      rig.publish(manifests(server.port, 'FormatPreserving', DETECTORS));
      const [one = {}] = await rows('SELECT * FROM people WHERE id = 1');
      assertHidden(one);
      assert.match(String(one['card']), /^9\d{3} \d{4} \d{4} \d{4}$/);
      assert.match(String(one['mail']), /^[a-z][0-9a-z]{10}[a-z]@[a-z]{6}\.z{7}$/);
      assert.match(String(one['n2']), /^[12]\d{4}$/);
      assert.match(String(one['n4']), /^-1\d{9}$/);
      assert.match(String(one['n8']), /^[1-8]\d{18}$/);
      assert.match(String(one['amount']), /^[1-9]\d{4}\.\d\d$/);
      assert.match(String(one['nums']), /^\{\{0,[1-9]\d{4}\},\{[1-9]\d{5},0\}\}$/);
      assert.deepEqual([one['tiny']?.length, one['j'], one['born']], [4, '"[redacted]"', '1970-01-01']);
      const [binary = {}] = await binaryRows('SELECT n2, n4, amount FROM people WHERE id = 1');
      assert.equal(String((binary['n2'] as Buffer).readInt16BE()), one['n2']);
      assert.equal(String((binary['n4'] as Buffer).readInt32BE()), one['n4']);
      assert.equal((binary['amount'] as Buffer).readUInt16BE(6), 2);
      assertHidden(...(await binaryRows('SELECT * FROM people')));
    });

    test('of a column that the role may not read there is the placeholder, and the statement runs', async () => {
      await server.query('REVOKE ALL ON people FROM app_real; GRANT SELECT (id, name, mail) ON people TO app_real');
      const other = new Client({ host: '127.0.0.1', port: rig.port, user: 'app', database: 'shop', password: 'x' });
      await other.connect();
      rig.publish(manifests(server.port, 'Token'));
      for (const deadline = Date.now() + 10_000; ; ) {
        const { rows: found } = await other.query('SELECT mail, card FROM people WHERE id = 1').catch(() => ({ rows: [] }));
        const [row] = found as { mail: string; card: string }[];
        if (row !== undefined && row.card === '[redacted]') {
          assert.match(row.mail, /^tok_/);
          break;
        }
        assert.ok(Date.now() < deadline, JSON.stringify(row));
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      await other.end();
      await server.query('GRANT ALL ON people TO app_real');
    });

    test('a function that the masks list can not fetch in clear from a cursor or a portal', async () => {
      const [definition] = await server.query("SELECT pg_get_functiondef('peek(text)'::regprocedure) AS text");
      const sha = createHash('sha256').update(String(definition?.['text'])).digest('hex');
      rig.publish(manifests(server.port, 'Token', `  functions: [{name: peek, definitionSha256: ${sha}}]`));
      await client.query('BEGIN');
      await client.query('DECLARE c CURSOR FOR SELECT mail FROM people ORDER BY id');
      assert.deepEqual((await client.query("SELECT peek('c') AS v")).rows, [{ v: '[redacted]' }]);
      await client.query('ROLLBACK');
      const other = await RawClient.login(rig.port);
      other.send(
        encodeQuery('BEGIN'),
        encodeParse({ statement: 's', text: 'SELECT mail FROM people', parameterTypes: [] }),
        encodeBind({ portal: 'p', statement: 's', parameterFormats: [], parameters: [], resultFormats: [] }),
        encodeParse({ statement: '', text: "SELECT peek('p')", parameterTypes: [] }),
        encodeBind({ portal: '', statement: '', parameterFormats: [], parameters: [], resultFormats: [] }),
        encodeExecute(''),
        encodeSync(),
      );
      const answers = await other.until('Z', 2);
      assert.ok(answers.some(({ type, body }) => type === 'E' && body.includes('a named portal with a column of tokens')));
      assert.ok(!Buffer.concat(answers.map(({ body }) => body)).includes(mark));
      other.end();
      rig.publish(manifests(server.port, 'Token'));
    });

    test('what was bound under other masks is not fetched under these', async () => {
      rig.publish(manifests(server.port, 'Token'));
      await client.query('BEGIN');
      await client.query('DECLARE c CURSOR FOR SELECT mail FROM people');
      rig.publish(manifests(server.port, 'Redact').replaceAll(', domain: d', ''));
      await assert.rejects(client.query('FETCH 1 FROM c'), { code: '42501' });
      await client.query('ROLLBACK');
      assert.deepEqual(await rows('SELECT mail FROM people WHERE id = 1'), [{ mail: '[redacted]' }]);
      rig.publish(manifests(server.port, 'Token'));
    });

    test('no value and no key is in a recording or a log', async () => {
      await client.end();
      await rig.stop();
      const entries = await readdir(rig.state, { recursive: true, withFileTypes: true });
      const texts: string[] = [];
      for (const entry of entries.filter((one) => one.isFile())) {
        const bytes = await readFile(join(entry.parentPath, entry.name));
        texts.push((entry.name.endsWith('.zst') ? zstdDecompressSync(bytes) : bytes).toString('utf8'));
      }
      const all = texts.join('\n') + rig.log.join('\n') + JSON.stringify(rig.verdicts);
      assert.match(all, /tok_[a-z2-7]{26}/);
      const secrets = [mark, Buffer.from(mark).toString('hex'), CARD, '9123456789012345678', key, password, UUID.replaceAll('-', '')];
      for (const secret of secrets) assert.ok(!all.includes(secret), `${secret} lies in the state folder`);
    });
  });
}
