/**
 * `npm run soak -- --minutes N` (10): 32 clients of mixed traffic through one sidecar. Prints its resident memory over time, and fails where that grows
 * after the warm-up, where an answer is not what it should be, or where there was too little traffic to tell.
 */
import { parseArgs } from 'node:util';
import * as bytes from '#e2e/corpora/bytes.ts';
import { LoadClient } from './client.ts';
import { openStage, residentMb, type Stage } from './stage.ts';

const CLIENTS = 32;
/** Beyond this, and beyond this part of it, the memory has grown. */
const GROWTH_MB = 30;
const GROWTH_PART = 0.15;
/** Of each client. */
const LEAST_ROUNDS = 10;

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' } } });
const minutes = Number(values.minutes);
if (!(minutes > 0 && minutes <= 24 * 60)) throw new Error('--minutes: a number of minutes');

const initSql = `CREATE TABLE people (id int PRIMARY KEY, name text, card text, secret text);
  INSERT INTO people SELECT i, 'name ' || i, '4111 1111 1111 1111', 'secret ' || i FROM generate_series(1, 5000) i;
  CREATE TABLE log (id serial, note text); GRANT ALL ON people, log TO app; GRANT ALL ON SEQUENCE log_id_seq TO app;`;
const stage = await openStage({
  resources: [{ name: 'plain' }, { name: 'masked', detects: true, masks: ['public.people.secret'] }],
  initSql,
});

interface Tally {
  rounds: number;
  wrong: string[];
}

/** One thing that agents do; `wrong` is told what did not go as it should. */
type Work = (client: LoadClient, random: () => number, wrong: (what: string) => void) => Promise<void>;

const expectNoErrors = (client: LoadClient, before: number, wrong: (what: string) => void): void => {
  // A catalog that was read anew in the middle of a pipeline: the client is told to send it again, which is no wrong answer.
  const errors = client.errors.slice(before).filter((error) => !error.endsWith('send Sync before the next one'));
  if (errors.length > 0) wrong(errors.join('; '));
};

const WORKS: readonly Work[] = [
  async (client, random, wrong) => {
    const id = 1 + Math.floor(random() * 5000);
    const before = client.errors.length;
    await client.round(bytes.query(`SELECT id, name, card, secret FROM people WHERE id = ${id}`));
    expectNoErrors(client, before, wrong);
    if (!client.lastRow.includes(`name ${id}`)) wrong(`row ${id} is another`);
  },
  async (client, random, wrong) => {
    const before = client.errors.length;
    const binds = Array.from({ length: 20 }, () =>
      Buffer.concat([bytes.bind('', 'byid', [1 + Math.floor(random() * 5000)]), bytes.execute('')]),
    );
    const parse = client.count('1') === 0 ? [bytes.parse('byid', 'SELECT name, card FROM people WHERE id = $1')] : [];
    await client.round(...parse, ...binds, bytes.sync());
    expectNoErrors(client, before, wrong);
  },
  async (client, random, wrong) => {
    const before = client.errors.length;
    await client.round(bytes.query('SELECT id, name, card FROM people'));
    await client.round(bytes.query(`SELECT ${Math.floor(random() * 1e9)} AS different_each_time, 'text ${random()}'`));
    expectNoErrors(client, before, wrong);
  },
  async (client, random, wrong) => {
    const before = client.errors.length;
    await client.round(bytes.query('BEGIN'));
    await client.round(bytes.query(`INSERT INTO log (note) VALUES ('${random()}')`));
    await client.round(bytes.query(random() < 0.5 ? 'COMMIT' : 'ROLLBACK'));
    expectNoErrors(client, before, wrong);
  },
  async (client, _random, wrong) => {
    const before = client.errors.length;
    await client.round(bytes.query('COPY (SELECT id, name FROM people) TO STDOUT'));
    expectNoErrors(client, before, wrong);
  },
  async (client, random, wrong) => {
    const before = client.errors.length;
    await client.round(bytes.query(`SELECT broken_${Math.floor(random() * 1e6)} FROM nowhere`));
    await client.round(bytes.parse('', 'this is no SQL'), bytes.sync());
    if (client.errors.length !== before + 2) wrong('an error did not come');
  },
];

/** A session after the other, each of some rounds, until it is time. */
async function agent(number: number, end: () => boolean, tally: Tally): Promise<void> {
  const random = generator(number);
  const wrong = (what: string): void => {
    if (tally.wrong.length < 20) tally.wrong.push(what);
  };
  while (!end()) {
    const client = await LoadClient.login(stage, number % 2 === 0 ? 'plain' : 'masked');
    if (client.count('Z') === 0) wrong(`no login: ${client.errors.join()}`);
    for (let i = 0; i < 200 && !end() && !client.closed; i++) {
      await (WORKS[Math.floor(random() * WORKS.length)] as Work)(client, random, wrong);
      tally.rounds++;
    }
    client.write(bytes.terminate());
    await client.end();
  }
}

/** Numbers that are the same in each run (mulberry32). */
function generator(seed: number): () => number {
  let state = seed * 0x9e3779b9;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

async function run(on: Stage): Promise<number> {
  const begun = Date.now();
  const end = () => Date.now() - begun > minutes * 60_000 || on.exitCode() !== null;
  const tally: Tally = { rounds: 0, wrong: [] };
  const samples: { readonly part: number; readonly mb: number }[] = [];
  const everyMs = Math.max(1000, (minutes * 60_000) / 60);
  const sampler = setInterval(() => void sample(), everyMs);
  const sample = async () => {
    const seconds = (Date.now() - begun) / 1000;
    const mb = await residentMb(on.pid).catch(() => Number.NaN);
    samples.push({ part: seconds / (minutes * 60), mb });
    process.stdout.write(`${seconds.toFixed(0).padStart(6)} s  ${mb.toFixed(1).padStart(7)} MB  ${tally.rounds} rounds\n`);
  };
  await sample();
  await Promise.all(Array.from({ length: CLIENTS }, (_, i) => agent(i, end, tally)));
  clearInterval(sampler);
  for (const what of tally.wrong) process.stdout.write(`wrong: ${what}\n`);
  // The first third warms up; then the second third is held against the last.
  const average = (from: number, to: number) => {
    const some = samples.filter(({ part }) => part >= from && part < to).map(({ mb }) => mb);
    return some.reduce((sum, mb) => sum + mb, 0) / some.length;
  };
  const [middle, last] = [average(1 / 3, 2 / 3), average(2 / 3, 2)];
  const grew = !(last - middle <= Math.max(GROWTH_MB, middle * GROWTH_PART));
  process.stdout.write(`middle ${middle.toFixed(1)} MB, last ${last.toFixed(1)} MB: ${grew ? 'it grows' : 'it does not grow'}\n`);
  const idle = tally.rounds < CLIENTS * LEAST_ROUNDS;
  if (idle) process.stdout.write(`${tally.rounds} rounds are too few to tell\n`);
  const failed = [grew, tally.wrong.length > 0, idle, on.exitCode() !== null].filter(Boolean).length;
  process.stdout.write(`${4 - failed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

try {
  process.exitCode = await run(stage);
} finally {
  await stage.stop();
}
