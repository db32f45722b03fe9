import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import * as bytes from '#e2e/corpora/bytes.ts';
import { Connection } from '#e2e/corpora/connection.ts';
import { type Postgres, startPostgres } from '#e2e/postgres/server.ts';
import { type Relay, startRelay } from '../testing/relay.ts';
import { POLICY, resourceOn } from './testing/manifests.ts';
import { type Rig, startRig } from './testing/rig.ts';

const password = randomBytes(12).toString('hex');
const RULES = `    - {name: no-delete, action: Deny, sql: {statements: [Delete]}}
    - {name: others, action: Allow}
`;

/** Messages in any order, and what they may name; nothing that lasts, so that one run does not see another. */
const texts = ['SELECT 1', 'SELECT 1/0', 'BEGIN', 'ROLLBACK', 'COPY scratch FROM STDIN', 'SELECT generate_series(1, 3)', ''];
const names = fc.constantFrom('', 'a', 'b');
const harmless = fc.oneof(
  fc.constantFrom(...texts).map(bytes.query),
  fc.tuple(names, fc.constantFrom(...texts)).map(([name, text]) => bytes.parse(name, text)),
  fc.tuple(names, names).map(([portal, statement]) => bytes.bind(portal, statement)),
  names.map((name) => bytes.execute(name)),
  names.map((name) => bytes.execute(name, 1)),
  fc.tuple(fc.constantFrom('S', 'P'), names).map(([kind, name]) => bytes.describe(kind, name)),
  fc.tuple(fc.constantFrom('S', 'P'), names).map(([kind, name]) => bytes.close(kind, name)),
  fc.constant(bytes.sync()),
  fc.constant(bytes.flush()),
  fc.constant(bytes.copyData('1\n')),
  fc.constant(bytes.copyDone()),
);
const denied = fc.oneof(
  fc.constant(bytes.query('DELETE FROM forbidden')),
  names.map((name) => bytes.parse(name, 'DELETE FROM forbidden')),
);
const cuts = fc.array(fc.nat(400), { maxLength: 4 });
const END = [bytes.copyFail('enough'), bytes.sync(), bytes.query('ROLLBACK'), bytes.query("SELECT 'the end'")];

describe('messages in any order, in any cuts', () => {
  let server: Postgres;
  let relay: Relay;
  let rig: Rig;

  before(async () => {
    const initSql = 'CREATE TABLE scratch (n int); CREATE TABLE forbidden (n int); GRANT ALL ON scratch, forbidden TO app_real';
    server = await startPostgres({ database: 'shop', roles: [{ name: 'app_real', password }], initSql });
    relay = await startRelay({ host: server.host, port: server.port });
    rig = await startRig(`${resourceOn(relay.port)}${POLICY}${RULES}`, { username: 'app_real', password });
  });
  after(async () => {
    await rig?.stop();
    await rig?.remove();
    await relay?.close();
    await server?.stop();
  });

  /** What came back, up to the end; null where neither the end nor a close came. */
  async function play(port: number, user: string, messages: readonly Buffer[], at: readonly number[]): Promise<string | null> {
    const connection = await Connection.open(port, { user, password }, 'shop');
    connection.messages.length = 0;
    const all = Buffer.concat([...messages, ...END]);
    let from = 0;
    for (const to of [...at].sort((a, b) => a - b)) {
      connection.write(all.subarray(from, to));
      from = Math.max(from, Math.min(to, all.length));
      await new Promise((resolve) => setImmediate(resolve));
    }
    connection.write(all.subarray(from));
    const ended = () => connection.messages.some(({ type, body }) => type === 'D' && body.includes('the end'));
    const came = await connection.until(() => connection.closed || (ended() && connection.messages.at(-1)?.type === 'Z'), 5000);
    connection.end();
    if (!came) return null;
    const told = connection.messages.map(outline).filter((type) => !'SNA'.includes(type));
    // A message that has no place in a COPY: the server tells of it twice before it ends the session.
    return told.join(' ').replace(/( E\(08P01\))+$/, ' E(08P01)');
  }

  const outline = ({ type, body }: { readonly type: string; readonly body: Buffer }): string =>
    type === 'E' ? `E(${/\0C(\w{5})\0/.exec(body.toString('latin1'))?.[1]})` : type === 'Z' ? `Z${body.toString('latin1')}` : type;

  test('what is allowed is answered as the server answers it', async () => {
    const property = fc.asyncProperty(fc.array(harmless, { minLength: 1, maxLength: 12 }), cuts, async (messages, at) => {
      const direct = await play(server.port, 'app_real', messages, at);
      const ours = await play(rig.port, 'app', messages, at);
      assert.equal(ours, direct);
    });
    await fc.assert(property, { seed: 5, numRuns: 60, interruptAfterTimeLimit: 20_000, markInterruptAsFailure: false });
  });

  test('what is denied never reaches the server, and nothing hangs', async () => {
    const property = fc.asyncProperty(
      fc.array(fc.oneof({ weight: 3, arbitrary: harmless }, { weight: 1, arbitrary: denied }), { minLength: 1, maxLength: 12 }),
      cuts,
      async (messages, at) => {
        assert.notEqual(await play(rig.port, 'app', messages, at), null);
        assert.equal(relay.count('forbidden'), 0);
      },
    );
    await fc.assert(property, { numRuns: 60, interruptAfterTimeLimit: 20_000, markInterruptAsFailure: false });
  });
});
