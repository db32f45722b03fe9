import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, type DatabaseError } from 'pg';
import { eventsOf, summaryOf } from '#cli/sessions/events.ts';
import { openFolder } from '#cli/sessions/folder.ts';
import type { RecordEvent } from '#crds/record/event.ts';
import { type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { POLICY, resourceOn } from './testing/manifests.ts';
import { type Rig, startRig } from './testing/rig.ts';

const password = randomBytes(12).toString('hex');
const SCHEMA = `
CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text);
INSERT INTO customers VALUES (1, 'Ada', '078-05-1120');
GRANT SELECT (id, name) ON customers TO app_real;
`;
const RULES = '    - {name: all, action: Allow}\n';
const masking = (columns: string): string => `
---
apiVersion: chaperone.dev/v1alpha1
kind: MaskingRule
metadata: {name: pii, namespace: shop}
spec: {targetRefs: [{name: db}], ${columns}}
`;
const MASKED = masking('columns: [{column: public.customers.ssn, strategy: {type: Redact}}]');
const DETECTED = masking('detectors: [{name: ssn, type: SSN, strategy: {type: Redact}}]');

describe('assurance of a session, on a real server', () => {
  let server: Postgres;
  let rig: Rig;
  const clients: Client[] = [];

  const open = async (): Promise<Client> => {
    const client = new Client({ host: '127.0.0.1', port: rig.port, user: 'app', password: 'x', database: 'shop' });
    client.on('error', () => undefined);
    clients.push(client);
    await client.connect();
    return client;
  };
  const publish = (minimum: 'A' | 'B' | 'C' | null, rules = MASKED): void =>
    rig.publish(`${resourceOn(server.port)}${POLICY}${RULES}${minimum === null ? '' : `  minimumAssurance: ${minimum}\n`}${rules}`);
  const said = async (client: Client, text: string | { name: string; text: string } = 'SELECT id, ssn FROM customers'): Promise<string> => {
    try {
      return JSON.stringify((await client.query(text)).rows);
    } catch (error: unknown) {
      return `${(error as DatabaseError).code} ${(error as Error).message}`;
    }
  };
  /** What changed outside is seen within about a second; asks until it is said, and fails with what was said instead. */
  const saidAtLast = async (client: Client, expected: RegExp): Promise<void> => {
    const deadline = performance.now() + 60_000;
    for (let found = ''; ; await sleep(100)) {
      found = await said(client);
      if (expected.test(found)) return;
      assert.ok(performance.now() < deadline, `${found} is not ${expected}`);
    }
  };
  /** Of the session that was recorded last. */
  const recorded = async (): Promise<readonly { readonly events: readonly RecordEvent[]; readonly assurance: string }[]> => {
    const { sessions } = openFolder(rig.state);
    return Promise.all(
      sessions.map(async (session) => ({
        events: await Array.fromAsync(eventsOf(session)),
        assurance: (await summaryOf(session))?.assurance ?? '',
      })),
    );
  };

  before(async () => {
    server = await startPostgres({ roles: [{ name: 'app_real', password }], database: 'shop', initSql: SCHEMA });
    rig = await startRig(`${resourceOn(server.port)}${POLICY}${RULES}${MASKED}`, { username: 'app_real', password });
  });

  after(async () => {
    for (const client of clients) await client.end().catch(() => undefined);
    await rig.stop();
    await rig.remove();
    await server.stop();
  });

  test('A: the role has no way to the column, and minimumAssurance A is met', async () => {
    publish('A');
    const client = await open();
    assert.equal(await said(client), '[{"id":1,"ssn":"[redacted]"}]');
    assert.deepEqual(rig.assurances.open, [{ resource: 'shop/db', level: 'A', count: 1 }]);
    assert.deepEqual([...rig.assurances.lowest()], [['shop/db', { level: 'A', loweredBy: [] }]]);
    await client.end();
    assert.deepEqual(
      [...rig.assurances.lowest()].map(([, { level }]) => level),
      ['A'],
      'told again where no session was open since',
    );
  });

  test('a GRANT lowers an open session, which is then denied with the column and the way; a REVOKE lifts it', async () => {
    publish('A');
    const client = await open();
    assert.equal(await said(client), '[{"id":1,"ssn":"[redacted]"}]');
    assert.equal(await said(client, { name: 's', text: 'SELECT ssn FROM customers' }), '[{"ssn":"[redacted]"}]');
    await server.query('GRANT SELECT ON customers TO app_real');
    await saidAtLast(
      client,
      /^42501 chaperone: denied: the session has assurance B, below minimumAssurance A of AccessPolicy shop\/agents: public\.customers\.ssn: app_real may SELECT it$/,
    );
    assert.match(await said(client, { name: 's', text: 'SELECT ssn FROM customers' }), /^42501 .*assurance B/, 'a prepared statement too');
    assert.match(await said(client, 'SELECT 1'), /^42501 .*assurance B/);
    assert.deepEqual(
      [...rig.assurances.lowest()],
      [['shop/db', { level: 'B', loweredBy: ['public.customers.ssn: app_real may SELECT it'] }]],
    );
    await server.query('REVOKE SELECT ON customers FROM app_real; GRANT SELECT (id, name) ON customers TO app_real');
    await saidAtLast(client, /^\[\{"id":1,"ssn":"\[redacted\]"\}\]$/);
    await client.end();
    const found = (await recorded()).flatMap(({ events }) => events.filter((event) => event.type === 'note' && event.code === 'Assurance'));
    const levels = found.map((event) => event.type === 'note' && event.data?.['level']);
    assert.ok(levels.join('').includes('ABA'), levels.join(''));
    assert.ok(
      (await recorded()).some(({ assurance }) => assurance === 'B'),
      'the lowest is the summary',
    );
  });

  test('a new minimumAssurance counts for the sessions that are open', async () => {
    publish('B');
    await server.query('GRANT SELECT ON customers TO app_real');
    const client = await open();
    assert.equal(await said(client), '[{"id":1,"ssn":"[redacted]"}]');
    publish('A');
    assert.match(await said(client), /^42501 .*below minimumAssurance A/);
    publish(null);
    assert.equal(await said(client), '[{"id":1,"ssn":"[redacted]"}]');
    await server.query('REVOKE SELECT ON customers FROM app_real; GRANT SELECT (id, name) ON customers TO app_real');
    await client.end();
  });

  test('the note stands before the first verdict on a statement', async () => {
    const sessions = (await recorded()).filter(({ events }) =>
      events.some((event) => event.type === 'action' && event.action.type === 'sql'),
    );
    assert.ok(sessions.length >= 3);
    for (const { events } of sessions) {
      const note = events.findIndex((event) => event.type === 'note' && event.code === 'Assurance');
      const first = events.findIndex((event) => event.type === 'action' && event.action.type === 'sql');
      assert.ok(note > 0 && note < first, `${note} ${first}`);
    }
  });

  test('detectors alone are C; where nothing is masked, or no column is there, there is none', async () => {
    publish('C', DETECTED);
    const client = await open();
    assert.equal(await said(client, 'SELECT 1 AS n'), '[{"n":1}]');
    publish('B', DETECTED);
    assert.match(await said(client, 'SELECT 1'), /assurance C, below minimumAssurance B .*no column is masked, and detectors/);
    publish('C', '');
    assert.match(await said(client, 'SELECT 1'), /denied: nothing is masked for this identity/);
    publish('C', masking('columns: [{column: public.customers.snn, strategy: {type: Redact}}]'));
    assert.match(
      await said(client, 'SELECT 1'),
      /assurance None, below minimumAssurance C .*no column of the database is one that a MaskingRule names/,
    );
    await client.end();
  });
});
