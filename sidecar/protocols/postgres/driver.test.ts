import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Client, type DatabaseError } from 'pg';
import { type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { encodeCancelRequest } from '../../wire/postgres/messages/startup.ts';
import { gate, POLICY, resourceOn } from './testing/manifests.ts';
import { type Rig, startRig } from './testing/rig.ts';

const SECRET_SSN = '078-05-1120';
const SECRET_MAIL = 'ada@corpus.example';
const password = randomBytes(12).toString('hex');

const SCHEMA = `
CREATE TABLE customers (id int PRIMARY KEY, name text, email text, ssn text);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int, status text, memo text);
INSERT INTO customers VALUES (1, 'Ada', '${SECRET_MAIL}', '${SECRET_SSN}'), (2, 'Bram', 'bram@corpus.example', '219-09-9999');
INSERT INTO orders VALUES (1, 1, 'open', 'mail ${SECRET_MAIL}'), (2, 2, 'open', NULL);
CREATE VIEW customer_view AS SELECT id, ssn FROM customers;
GRANT ALL ON ALL TABLES IN SCHEMA public TO app_real;
GRANT CREATE ON SCHEMA public TO app_real;
`;

function manifests(port: number, more = ''): string {
  return `${resourceOn(port, '  recording: {results: Sample, sampleRows: 3}')}${gate(10)}${POLICY}    - {name: read, action: Allow, sql: {access: Read, relations: ["public.*"]}}
    - {name: write, action: Allow, sql: {statements: [Insert, Select, CopyFrom, CopyTo, Create, Set, Prepare, Execute], relations: ["public.*"]}}
    - {name: held, action: RequireApproval, sql: {statements: [Update], relations: ["public.*"]}, gateRefs: [{name: gate}]}
    - {name: no-drop, action: Deny, sql: {statements: [Drop]}}
${more}`;
}

const MASKING = `---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: mask, namespace: shop}
spec:
  targetRefs: [{name: db}]
  columns:
    - {column: public.customers.ssn, strategy: {type: Redact}}
    - {column: public.customers.email, strategy: {type: Partial, keepStart: 1}}
  detectors: [{name: mail, type: Email, strategy: {type: Redact}}]
`;

/** What psql's Ctrl-C does: the key of the connection, over another one. */
function cancel(port: number, client: Client): void {
  const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(secretKey);
  const socket = connect(port, '127.0.0.1', () => socket.end(encodeCancelRequest(processID, secret)));
}

describe('the PostgreSQL driver, on a real server', () => {
  let server: Postgres;
  let rig: Rig;
  const clients: Client[] = [];

  before(async () => {
    server = await startPostgres({ database: 'shop', roles: [{ name: 'app_real', password }], initSql: SCHEMA });
    rig = await startRig(manifests(server.port, MASKING), { username: 'app_real', password });
  });
  after(async () => {
    await rig?.remove();
    await server?.stop();
  });

  async function open(token = 'an old password', user = 'app', database = 'shop'): Promise<Client> {
    const client = new Client({ host: '127.0.0.1', port: rig.port, user, database, password: token });
    client.on('error', () => {});
    await client.connect();
    clients.push(client);
    return client;
  }

  async function errorOf(work: Promise<unknown>): Promise<DatabaseError> {
    return work.then(
      () => assert.fail('it was allowed'),
      (error: unknown) => error as DatabaseError,
    );
  }

  test('a read is masked at the source, in text and in binary, by view and by detector', async () => {
    const client = await open();
    const { rows } = await client.query('SELECT name, email, ssn FROM customers ORDER BY id');
    assert.deepEqual(rows[0], { name: 'Ada', email: `a${'*'.repeat(SECRET_MAIL.length - 1)}`, ssn: '[redacted]' });
    const extended = await client.query({ text: 'SELECT ssn FROM customer_view WHERE id = $1', values: [1] });
    assert.equal(extended.rows[0].ssn, '[redacted]');
    const memo = await client.query('SELECT memo FROM orders WHERE id = $1', [1]);
    assert.ok(!memo.rows[0].memo.includes(SECRET_MAIL));
    const predicate = await client.query(`SELECT count(*)::int AS n FROM customers WHERE ssn = '${SECRET_SSN}'`);
    assert.equal(predicate.rows[0].n, 0);
  });

  test('a denial is 42501 with policy and rule, and the connection lives on', async () => {
    const client = await open();
    const error = await errorOf(client.query('DROP TABLE orders'));
    assert.equal(error.code, '42501');
    assert.match(error.message, /AccessPolicy shop\/agents rule no-drop/);
    assert.ok(error.hint);
    assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
    const unparsable = await errorOf(client.query('SELEC 1'));
    assert.deepEqual([unparsable.code, unparsable.message, unparsable.position], ['42601', 'syntax error at or near "SELEC"', '1']);
    assert.equal((await client.query('SELECT $1::int AS one', [1])).rows[0].one, 1);
  });

  test('a denial in a transaction aborts it as the server would', async () => {
    const client = await open();
    await client.query('BEGIN');
    await client.query(`INSERT INTO orders VALUES (100, 1, 'new', NULL)`);
    assert.equal((await errorOf(client.query('DROP TABLE orders'))).code, '42501');
    assert.equal((await errorOf(client.query('SELECT 1'))).code, '25P02');
    await client.query('COMMIT');
    assert.equal((await server.query('SELECT * FROM orders WHERE id = 100')).length, 0);
    await client.query('BEGIN');
    const extended = await errorOf(client.query('DROP TABLE orders; ', []));
    assert.equal(extended.code, '42501');
    assert.equal((await errorOf(client.query('SELECT 1'))).code, '25P02');
    await client.query('ROLLBACK');
    assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
  });

  test('a multi-statement text is judged as a whole', async () => {
    const client = await open();
    const error = await errorOf(client.query(`INSERT INTO orders VALUES (101, 1, 'x', NULL); DROP TABLE orders`));
    assert.equal(error.code, '42501');
    assert.equal((await server.query('SELECT * FROM orders WHERE id = 101')).length, 0);
  });

  test('a hold without a token is refused; with one it waits for another person', async () => {
    const anonymous = await open();
    const refused = await errorOf(anonymous.query(`UPDATE orders SET status = 'x' WHERE id = 1`));
    assert.match(refused.message, /token/);
    const client = await open(await rig.token('alice', 'sre'));
    const notice = new Promise<string>((resolve) => client.once('notice', ({ message }) => resolve(message ?? '')));
    const update = client.query({ text: 'UPDATE orders SET status = $1 WHERE id = 1', values: ['done'] });
    const name = /approval (\S+)/.exec(await notice)?.[1] ?? '';
    const alice = await rig.principal(await rig.token('alice', 'leads'));
    assert.throws(() => rig.approvals.decide(name, alice, { decision: 'approve', reason: '' }));
    assert.equal((await server.query('SELECT status FROM orders WHERE id = 1'))[0]?.['status'], 'open');
    const bob = await rig.principal(await rig.token('bob', 'leads'));
    rig.approvals.decide(name, bob, { decision: 'approve', reason: 'checked' });
    assert.equal((await update).rowCount, 1);
    assert.equal((await server.query('SELECT status FROM orders WHERE id = 1'))[0]?.['status'], 'done');
  });

  test('a denied hold, and one that the client cancels', async () => {
    const client = await open(await rig.token('carol', 'sre'));
    const noticed = () =>
      new Promise<string>((resolve) => client.once('notice', ({ message }) => resolve(/approval (\S+)/.exec(message ?? '')?.[1] ?? '')));
    let notice = noticed();
    let update = errorOf(client.query(`UPDATE orders SET status = 'no' WHERE id = 2`));
    const bob = await rig.principal(await rig.token('bob', 'leads'));
    rig.approvals.decide(await notice, bob, { decision: 'deny', reason: 'no' });
    assert.equal((await update).code, '42501');
    notice = noticed();
    update = errorOf(client.query(`UPDATE orders SET status = 'no' WHERE id = 2`));
    await notice;
    cancel(rig.port, client);
    assert.equal((await update).code, '57014');
    assert.equal((await server.query('SELECT status FROM orders WHERE id = 2'))[0]?.['status'], 'open');
    assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
  });

  test('a policy edit reaches the live connection', async () => {
    const client = await open();
    await client.query('SELECT count(*) FROM orders');
    rig.publish(manifests(server.port, `    - {name: closed, action: Deny, sql: {relations: ["public.orders"]}}\n${MASKING}`));
    assert.match((await errorOf(client.query('SELECT count(*) FROM orders'))).message, /closed/);
    rig.publish(manifests(server.port, MASKING));
    assert.equal((await client.query('SELECT 1 AS one')).rows[0].one, 1);
  });

  test('unknown user, unknown database and a forged token are refused', async () => {
    assert.equal((await errorOf(open('x', 'postgres'))).code, '28000');
    assert.equal((await errorOf(open('x', 'app', 'template1'))).code, '3D000');
    const token = await rig.token('alice', 'sre');
    assert.equal((await errorOf(open(`${token.slice(0, -4)}AAAA`))).code, '28P01');
  });

  test('named prepared statements, cursors and COPY', async () => {
    const client = await open();
    for (let i = 0; i < 3; i++) {
      const { rows } = await client.query({ name: 'by-id', text: 'SELECT name, ssn FROM customers WHERE id = $1', values: [1] });
      assert.deepEqual(rows, [{ name: 'Ada', ssn: '[redacted]' }]);
    }
    await client.query('PREPARE p AS SELECT ssn FROM customers WHERE id = 1');
    assert.deepEqual((await client.query('EXECUTE p')).rows, [{ ssn: '[redacted]' }]);
    assert.equal((await errorOf(client.query('EXECUTE nobody'))).code, '42501');
  });

  test('the state folder holds no credential and no masked value, and the recording tells it all', async () => {
    for (const client of clients.splice(0)) await client.end();
    await rig.stop();
    const entries = await readdir(rig.state, { recursive: true, withFileTypes: true });
    const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    const { zstdDecompressSync } = await import('node:zlib');
    const texts: string[] = [];
    for (const file of files) {
      const bytes = await readFile(file);
      texts.push(file.endsWith('.zst') ? zstdDecompressSync(bytes).toString('utf8') : bytes.toString('utf8'));
    }
    const all = texts.join('\n') + rig.log.join('\n') + JSON.stringify(rig.verdicts);
    for (const secret of [password, SECRET_SSN, SECRET_MAIL]) assert.ok(!all.includes(secret), 'a secret lies in the state folder');
    assert.match(all, /"decision":"Deny"/);
    assert.match(all, /DROP TABLE orders/);
    assert.match(all, /"subject":"bob"/);
  });
});
