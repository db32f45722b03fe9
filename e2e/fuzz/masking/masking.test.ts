import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { readLeaks, wordsOf } from './fuzz.ts';
import { MaskingFuzz } from './run.ts';
import { startTwins, type Twins } from './twins.ts';

const STATEMENTS = 250;
/** Under load there may be time for fewer; never for none. */
const LIMIT_MS = 60_000;

describe('statements over the schema of the corpora, against twins that differ in their secrets', () => {
  let twins: Twins;

  before(async () => {
    twins = await startTwins(18);
  });
  after(() => twins?.stop());

  test('no answer tells the twins apart, and not everything is refused', async () => {
    const fuzz = new MaskingFuzz(twins, 20);
    const deadline = Date.now() + LIMIT_MS;
    while (fuzz.tally.played < STATEMENTS && Date.now() < deadline) await fuzz.next();
    fuzz.end();
    const { tally } = fuzz;
    assert.deepEqual(tally.leaks, []);
    assert.ok(tally.allowed > tally.played / 4 && tally.answered > tally.played / 8, wordsOf(tally));
  });

  test('what leaked once', async () => {
    const fuzz = new MaskingFuzz(twins, 1);
    for (const { sent, mode } of await readLeaks()) await fuzz.play(sent, mode);
    fuzz.end();
    assert.deepEqual(fuzz.tally.leaks, []);
  });

  test('a secret that is shown is seen, and so is a difference', async () => {
    const fuzz = new MaskingFuzz({ ...twins, portOf: () => twins.server.port }, 1);
    await fuzz.play({ sql: '', steps: [{ q: 'SELECT ssn FROM customers' }] }, 'Strict');
    await fuzz.play({ sql: '', steps: [{ q: 'SELECT length(ssn) FROM customers' }] }, 'Strict');
    fuzz.end();
    assert.deepEqual(
      fuzz.tally.leaks.map(({ problem }) => problem.split(' ', 1)[0]),
      ['shows', 'twins'],
    );
  });
});
