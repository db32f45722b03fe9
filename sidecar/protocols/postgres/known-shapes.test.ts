import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { MaskPolicy } from '#crds/policy/mask.ts';
import { type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { newAnalyser, ready } from '../../mask/postgres/analyse.ts';
import { encodeQuery } from '../../wire/postgres/messages/query.ts';
import { KnownShapes } from './known-shapes.ts';
import type { PgSession } from './session.ts';
import { gate, POLICY, resourceOn } from './testing/manifests.ts';
import { type Answer, RawClient, statesOf } from './testing/raw.ts';
import { type Rig, startRig } from './testing/rig.ts';

const NO_MASK: MaskPolicy = { active: false, column: () => null, detectors: [], functions: new Set(), key: '' };
const state = { searchPath: ['public'], user: 'app', database: 'shop' };

/** What it looks at, and nothing else. */
function sessionWith(parts: object = {}): PgSession {
  const session = { namesReady: true, ddlOpen: false, mask: NO_MASK, state, parts: { catalog: { current: () => null } }, ...parts };
  return session as unknown as PgSession;
}

describe('shapes that a session had', () => {
  const shapes = new KnownShapes();
  const query = (text: string) => encodeQuery(text);
  before(async () => {
    await ready();
    const analyse = newAnalyser();
    const names = { prepared: () => undefined, cursor: () => undefined };
    for (const sql of ['SELECT 1 + 2', 'SELECT 3 + 4', 'SELECT 5', "SELECT 'x' || 6", "SELECT 'x' || 7"])
      shapes.learn(sessionWith(), analyse({ sql, catalog: null, state, mask: NO_MASK, ...names }));
  });

  test('are found from the third time on, with the text that came', () => {
    const found = shapes.find(sessionWith(), query('SELECT 56 + 7'));
    assert.equal(found?.sql, 'SELECT 56 + 7');
    assert.equal(found.sent, found.sql);
    assert.equal(
      found.recorded(() => '?'),
      found.sql,
    );
    assert.deepEqual(found.statements[0]?.kinds, ['Select']);
    for (const other of ['SELECT 5 + 5', 'SELECT 5', "SELECT 'x' || 7", 'SELECT 5 + 6 + 7'])
      assert.equal(shapes.find(sessionWith(), query(other)), null, other);
  });

  test('are not found while anything that they went by is another, or is not known', () => {
    const others = [
      { namesReady: false },
      { ddlOpen: true },
      { mask: { ...NO_MASK } },
      { state: { ...state } },
      { parts: { catalog: { current: () => ({}) } } },
    ];
    for (const other of others) assert.equal(shapes.find(sessionWith(other), query('SELECT 1 + 2')), null, Object.keys(other).join());
  });

  test('are found in a chunk that is one whole Query, and in no other', () => {
    const one = query('SELECT 56 + 7');
    const longer = Buffer.from(one);
    longer.writeUInt32BE(one.length, 1);
    const shorter = Buffer.from(one);
    shorter.writeUInt32BE(one.length - 2, 1);
    const parse = Buffer.from(one);
    parse[0] = 0x50;
    for (const chunk of [Buffer.concat([one, one]), one.subarray(0, -1), one.subarray(1), longer, shorter, parse, Buffer.alloc(0)])
      assert.equal(shapes.find(sessionWith(), chunk), null);
  });
});

const password = randomBytes(12).toString('hex');
const MASK = `
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: mask, namespace: shop}
spec:
  targetRefs: [{name: db}]
  columns: [{column: public.notes.t, strategy: {type: Redact}}]
`;

describe('a statement that comes again and again with other integers', () => {
  let server: Postgres;
  let rig: Rig;
  let client: RawClient;
  const manifests = (
    more = '',
  ) => `${resourceOn(server.port)}${gate(20)}${POLICY}    - {name: read, action: Allow, sql: {statements: [Select, Set]}}
    - {name: no-other, action: Deny, sql: {relations: ["other.*"]}}
    - {name: held, action: RequireApproval, sql: {statements: [Update]}, gateRefs: [{name: gate}]}
${more}`;

  before(async () => {
    const initSql = `CREATE SCHEMA other; CREATE TABLE notes (id int, t text); INSERT INTO notes SELECT i, 'note-' || i FROM generate_series(1, 99) AS i;
      CREATE TABLE other.notes AS SELECT id, 'other-' || id AS t FROM notes; GRANT ALL ON ALL TABLES IN SCHEMA public, other TO app_real; GRANT USAGE ON SCHEMA other TO app_real`;
    server = await startPostgres({ database: 'shop', roles: [{ name: 'app_real', password }], initSql });
    rig = await startRig(manifests(), { username: 'app_real', password });
  });
  after(async () => {
    await rig?.stop();
    await rig?.remove();
    await server?.stop();
  });
  beforeEach(async () => {
    rig.publish(manifests());
    rig.verdicts.length = 0;
  });

  const select = (id: number) => `SELECT t FROM notes WHERE id = ${id}`;
  const ask = async (text: string): Promise<readonly Answer[]> => {
    client.send(encodeQuery(text));
    return client.until('Z');
  };
  const shows = (answers: readonly Answer[], text: string) => answers.some(({ body }) => body.includes(text));
  const warmUp = async () => {
    client = await RawClient.login(rig.port, await rig.token('alice', 'sre'));
    for (const id of [11, 12, 13, 14]) assert.ok(shows(await ask(select(id)), `note-${id}`));
  };

  test('each is answered, and has its verdict under its own text', async () => {
    await warmUp();
    assert.deepEqual(
      rig.verdicts.map(({ summary }) => summary),
      [11, 12, 13, 14].map(select),
    );
    client.end();
  });

  test('is masked as soon as a mask comes, and denied as soon as policy says so', async () => {
    await warmUp();
    rig.publish(manifests(MASK));
    const masked = await ask(select(15));
    assert.ok(masked.some(({ type }) => type === 'D') && !shows(masked, 'note-15'));
    rig.publish(manifests('    - {name: no-notes, action: Deny, sql: {relations: [public.notes]}}'));
    assert.deepEqual(statesOf(await ask(select(16))), ['42501']);
    client.end();
  });

  test('means another table after search_path has changed, and is judged as that', async () => {
    await warmUp();
    await ask('SET search_path = other, public');
    assert.deepEqual(statesOf(await ask(select(17))), ['42501']);
    await ask('RESET search_path');
    assert.ok(shows(await ask(select(18)), 'note-18'));
    client.end();
  });

  test('is sent as it was judged where it was held, whatever came meanwhile', async () => {
    await warmUp();
    const update = (id: number) => `UPDATE notes SET id = id + 1000 WHERE id = ${id}`;
    const decider = await rig.principal(await rig.token('bob', 'leads'));
    for (const id of [21, 22, 23, 24]) {
      client.send(encodeQuery(update(id)));
      const notice = (await client.until('N')).at(-1)?.body.toString() ?? '';
      const name = /approval ([\w-]+)/.exec(notice)?.[1] ?? '';
      client.send(encodeQuery(select(31)), encodeQuery(`SELECT '${'x'.repeat(200)}'`));
      // Nobody answers what waits behind a hold: for it to be read where the held one was.
      await sleep(50);
      rig.approvals.decide(name, decider, { decision: 'approve' });
      await client.until('Z', 3);
      const rows = await server.query('SELECT id FROM notes WHERE id > 1000 ORDER BY id');
      assert.equal(rows.at(-1)?.['id'], id + 1000);
    }
    client.end();
  });
});
