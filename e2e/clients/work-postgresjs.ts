import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import postgres from 'postgres';
import type { Target } from './programs.ts';

/** What is not the server's, and the line of its source: the words of a syntax error are of the parser's build. */
const HIDDEN: ReadonlySet<string> = new Set(['query', 'parameters', 'line']);

/** The same work through postgres.js, whoever is at the other end. What happened, as lines. */
export async function workOfPostgresJs(target: Target): Promise<string[]> {
  const lines: string[] = [];
  const show = (what: string, value: unknown) => lines.push(`${what}: ${JSON.stringify(value)}`);
  const sql = postgres({ ...settings(target), max: 2, onnotice: ({ code, message }) => show('notice', { code, message }) });
  const failing = async (what: string, query: Promise<unknown>) => {
    const error: unknown = await query.then(
      () => 'no error',
      (reason: unknown) => reason,
    );
    show(
      what,
      JSON.parse(
        JSON.stringify(
          error,
          Object.keys(error as object).filter((name) => !HIDDEN.has(name)),
        ),
      ),
    );
  };

  const rows = await sql`SELECT * FROM customers WHERE id = ANY(${[1, 2, 3]}) ORDER BY id`;
  show('columns', rows.columns);
  show('rows', rows);
  show(
    'round trip',
    await sql`SELECT ${'it\'s; "q"'}::text AS text, ${sql.json({ a: [1, null] })}::jsonb AS json, ${[1, 2]}::int[] AS ints`,
  );
  const { types, columns } = await sql`SELECT id, name, tags FROM customers WHERE id = ${1}`.describe();
  show('described', [types, columns]);
  show('simple', await sql.unsafe('SELECT 1 AS one; SELECT 2 AS two'));
  show('named', [await sql`SELECT name FROM customers WHERE id = ${1}`, await sql`SELECT name FROM customers WHERE id = ${2}`]);
  await failing('no column', sql`SELECT nothing FROM customers`);
  await failing('foreign key', sql`INSERT INTO orders (id, customer, amount) VALUES (9001, 99, 1)`);
  await failing('bad value', sql`SELECT ${'x'}::int`);
  await failing('syntax', sql.unsafe('SELEC 1'));

  await failing(
    'transaction',
    sql.begin(async (tx) => {
      show(
        'inserted',
        await tx`INSERT INTO orders ${tx([
          { id: 9001, customer: 1, amount: 5 },
          { id: 9002, customer: 2, amount: 6 },
        ])} RETURNING *`,
      );
      await tx.savepoint((inner) => inner`SELECT 1/0`).catch((error: unknown) => show('savepoint', String(error)));
      show('updated', (await tx`UPDATE orders SET amount = amount + 1 WHERE id > 9000`).count);
      throw new Error('rolled back');
    }),
  );
  show('count', await sql`SELECT count(*)::int FROM orders`);
  const cursor: unknown[] = [];
  await sql`SELECT id FROM orders ORDER BY id LIMIT 20`.cursor(7, (some) => void cursor.push(some.length));
  show('cursor', cursor);
  show(
    'pipelined',
    await Promise.all(
      Array.from({ length: 30 }, (_, i) => sql`SELECT ${i}::int AS i, sum(amount) FROM orders WHERE customer = ${1 + (i % 3)}`),
    ),
  );

  const one = await sql.reserve();
  await one`CREATE TEMP TABLE copied (id int, note text)`;
  await pipeline(Readable.from(['1\tone\n', '2\ttwo\n']), await one`COPY copied FROM STDIN`.writable());
  const chunks: Buffer[] = [];
  for await (const chunk of await one`COPY (SELECT * FROM copied ORDER BY id) TO STDOUT`.readable()) chunks.push(chunk as Buffer);
  show('copied', Buffer.concat(chunks).toString());
  one.release();

  const heard = new Promise<string>(
    (resolve) => void sql.listen('channel', resolve, () => void sql.notify('channel', 'hello').catch(resolve)),
  );
  show('notification', await heard);
  const large = await sql`SELECT i, repeat(${'é'}, 100) AS text FROM generate_series(1, 20000) AS i`;
  show('large', [large.length, large.at(-1)]);
  const sleeping = sql`SELECT pg_sleep(60)`;
  const cancelled = failing('cancelled', sleeping);
  for (let tries = 0; tries < 200; tries++) {
    const [seen] = await sql`SELECT count(*)::int AS n FROM pg_stat_activity WHERE wait_event = 'PgSleep'`;
    if (seen?.['n'] === 1) break;
  }
  sleeping.cancel();
  await cancelled;
  await sql.end();
  return lines;
}

/** What a user of it sees of masked columns. */
export async function maskedInPostgresJs(target: Target): Promise<unknown> {
  const sql = postgres({ ...settings(target), max: 1 });
  try {
    return await sql`SELECT c.name, c.email, sum(o.amount)::int AS total FROM customers c JOIN orders o ON o.customer = c.id WHERE c.id = ${1} GROUP BY 1, 2`;
  } finally {
    await sql.end();
  }
}

function settings({ host, port, user, password, database }: Target) {
  return { host, port, user, password, database };
}
