import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasPostgres } from '#e2e/postgres/server.ts';
import type { CatalogConnection, CatalogKey } from './catalog.ts';
import { CatalogStore } from './catalog-store.ts';
import { catalogConnection, startWithSecrets, type TestDatabase } from './testing.ts';

const key: CatalogKey = { resource: 'team/db', database: 'secrets', user: 'u' };

describe('catalog', () => {
  let database: TestDatabase;
  let opened: CatalogConnection[] = [];
  before(async () => {
    database = await startWithSecrets(hasPostgres(18) ? 18 : 15, 'qsecretz');
  });
  after(() => database?.server.stop());

  function storeWith(pollMs: number): CatalogStore {
    opened = [];
    return new CatalogStore({
      pollMs,
      lingerMs: 0,
      connect: async () => {
        const connection = await catalogConnection(database.server, 'secrets');
        opened.push(connection);
        return connection;
      },
    });
  }

  async function eventually(check: () => boolean): Promise<void> {
    for (let left = 200; !check(); left--) {
      assert.ok(left > 0, 'it never came');
      await sleep(25);
    }
  }

  test('a relation is known with its columns, dropped ones left out', () => {
    const customers = database.catalog.relations.get('public')?.get('customers');
    assert.deepEqual(
      customers?.columns.slice(0, 5).map((column) => [column.name, column.attnum, column.typmod]),
      [
        ['id', 1, ''],
        ['name', 3, ''],
        ['email', 4, ''],
        ['ssn', 5, '(40)'],
        ['pay', 6, '(20,2)'],
      ],
    );
    assert.equal(database.catalog.relations.get('public')?.get('watched')?.hasTriggers, true);
    assert.equal(database.catalog.relations.get('public')?.get('orders')?.hasTriggers, false);
    assert.equal(database.catalog.relations.get('public')?.get('ruled')?.hasRules, true);
    assert.equal(database.catalog.relations.get('public')?.get('v_safe')?.hasRules, false);
    assert.equal(database.catalog.encoding, 'UTF8');
  });

  test('a view names all that it reads with its schema', () => {
    const view = database.catalog.relations.get('public')?.get('v_contact');
    assert.match(view?.definition ?? '', /FROM public\.customers c$/);
  });

  test('leases of one key share one session, which ends with the last', async () => {
    const store = storeWith(60_000);
    const [one, two] = [store.lease(key), store.lease(key)];
    assert.ok(one.current() === null);
    await Promise.all([one.ready(), two.ready()]);
    assert.equal(opened.length, 1);
    assert.ok(one.current() !== null);
    assert.ok(one.current() === two.current());
    one.release();
    one.release();
    assert.ok(two.current() !== null);
    two.release();
    await eventually(() => two.current() === null);
    await store.close();
  });

  test('DDL that was seen makes the snapshot stale at once, and new when it is read', async () => {
    const store = storeWith(60_000);
    const lease = store.lease(key);
    await lease.ready();
    const before = lease.current();
    await database.server.query('CREATE TABLE fresh (i int)');
    const reading = lease.invalidate();
    assert.ok(lease.current() === null);
    await reading;
    assert.ok(lease.current()?.relations.get('public')?.has('fresh'));
    assert.notEqual(lease.current()?.version, before?.version);
    await lease.invalidate();
    lease.release();
    await store.close();
  });

  test('DDL is no reason to read a catalog that nobody asked for', async () => {
    const store = storeWith(60_000);
    const lease = store.lease(key);
    await lease.invalidate();
    assert.equal(opened.length, 0);
    await lease.ready();
    assert.ok(lease.current() !== null);
    lease.release();
    await store.close();
  });

  for (const [what, ddl] of [
    ['a new column', 'ALTER TABLE orders ADD later text'],
    ['a dropped table', 'DROP TABLE ruled'],
    ['a view defined anew', "CREATE OR REPLACE VIEW v_safe AS SELECT o.id, 'x'::text AS memo FROM orders o"],
    ['a function defined anew', "CREATE OR REPLACE FUNCTION change() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'"],
    ['a new child', 'CREATE TABLE child_2 () INHERITS (parent)'],
    ['an operator', 'CREATE OPERATOR #### (LEFTARG = int, RIGHTARG = int, FUNCTION = plus_leak)'],
    ['a renamed schema', 'ALTER SCHEMA other RENAME TO another'],
    ['a trigger', 'CREATE TRIGGER t2 BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION trg()'],
  ] as const) {
    test(`${what} of another session shows after a poll`, async () => {
      const store = storeWith(20);
      const lease = store.lease(key);
      await lease.ready();
      const before = lease.current()?.version;
      await database.server.query(ddl);
      await eventually(() => {
        const now = lease.current()?.version;
        return now !== undefined && now !== before;
      });
      lease.release();
      await store.close();
    });
  }

  test('equal catalogs have equal versions', async () => {
    const [one, two] = [storeWith(60_000), storeWith(60_000)];
    const [left, right] = [one.lease(key), two.lease(key)];
    await Promise.all([left.ready(), right.ready()]);
    assert.equal(left.current()?.version, right.current()?.version);
    await Promise.all([one.close(), two.close()]);
  });

  test('a session that breaks is opened again; one that can not be opened rejects', async () => {
    const store = storeWith(60_000);
    const lease = store.lease(key);
    await lease.ready();
    await opened[0]?.close();
    await assert.rejects(lease.invalidate());
    assert.ok(lease.current() === null);
    await lease.ready();
    assert.ok(lease.current() !== null);
    await store.close();
    const broken = new CatalogStore({ connect: () => Promise.reject(new Error('no route')) });
    const other = broken.lease(key);
    await assert.rejects(other.ready(), /no route/);
    assert.ok(other.current() === null);
    await broken.close();
  });
});
