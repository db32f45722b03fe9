import { Client, type ClientConfig, type Notification, Pool, type QueryArrayConfig, type QueryConfig, type QueryResult } from 'pg';

/** The same work through node-postgres, whoever is at the other end. What happened, as lines. */
export async function workOfNodePostgres(config: ClientConfig): Promise<string[]> {
  const lines: string[] = [];
  const show = (what: string, value: unknown) => lines.push(`${what}: ${JSON.stringify(value)}`);
  const client = new Client(config);
  client.on('notice', ({ severity, code, message }) => show('notice', { severity, code, message }));
  await client.connect();

  /** Fields of an error that a client may lean on; `file` and `line` of the server's source too. */
  const failing = async (sql: string, values?: unknown[]) => {
    const error: unknown = await client.query(sql, values).then(
      () => 'no error',
      (reason: unknown) => reason,
    );
    show(sql, JSON.parse(JSON.stringify(error, Object.keys(error as object))));
  };

  const types = await client.query('SELECT * FROM customers ORDER BY id');
  show('fields', types.fields);
  show('rows', types.rows);
  show('extended', (await client.query('SELECT name, $2::text AS given FROM customers WHERE id = $1', [1, 'it\'s; "q"'])).rows);
  for (const id of [1, 2, 1])
    show('named', (await client.query({ name: 'by-id', text: 'SELECT email FROM customers WHERE id = $1', values: [id] })).rows);
  // `binary` is not in its types. Its own decoder makes text of some binary values, so only columns that it gets right.
  const binary: QueryConfig = Object.assign({ text: 'SELECT id, name FROM customers WHERE id = $1', values: [1] }, { binary: true });
  show('binary', (await client.query(binary)).rows);
  const twice: QueryArrayConfig = { text: 'SELECT 1, 1 AS "?column?"', rowMode: 'array' };
  show('array rows', (await client.query(twice)).rows);
  const several = (await client.query('SELECT 1 AS a; SELECT 2 AS b; SELECT 3 AS c WHERE false')) as unknown as QueryResult<
    Record<string, unknown>
  >[];
  show(
    'several',
    several.map(({ command, rowCount, rows }) => [command, rowCount, rows]),
  );
  show('empty', (await client.query('')).rows);

  await failing('SELECT nothing FROM customers');
  await failing('INSERT INTO orders (customer, amount) VALUES ($1, $2)', [99, 1]);
  await failing('SELECT $1::int', ['nonsense']);
  show('after errors', (await client.query('SELECT 1 AS one')).rows);

  await client.query('BEGIN');
  show('insert', (await client.query('INSERT INTO orders (id, customer, amount) VALUES ($1, $2, $3) RETURNING id', [9001, 1, 5])).rows);
  await failing('SELECT 1/0');
  await failing('SELECT 1');
  await client.query('ROLLBACK');
  show('rolled back', (await client.query('SELECT count(*) FROM orders')).rows);

  await client.query('DROP TABLE IF EXISTS nothing_here');
  await client.query('LISTEN channel');
  const notified = new Promise((resolve) => client.once('notification', (n: Notification) => resolve([n.channel, n.payload])));
  await client.query("NOTIFY channel, 'hello'");
  show('notification', await notified);

  const large = await client.query('SELECT i, repeat($1, 100) AS text FROM generate_series(1, 20000) AS i', ['é']);
  show('large', [large.rowCount, large.rows.at(-1)]);
  await client.end();

  const pool = new Pool({ ...config, max: 4 });
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, i) => pool.query('SELECT sum(amount) FROM orders WHERE customer = $1', [1 + (i % 3)])),
  );
  show(
    'pool',
    answers.map(({ rows }): unknown => rows),
  );
  await pool.end();
  return lines;
}
