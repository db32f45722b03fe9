import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { chaperone } from './chaperone.ts';
import { block, check, heading, line, sql, table, typed } from './say.ts';
import { CUSTOMERS } from './stage.ts';
import type { Stage, Token } from './stay.ts';

type Row = Record<string, unknown>;

/** A person's connection: an ordinary client, with a token where the password goes. */
async function connectAs(stage: Stage, token: Token): Promise<Client> {
  const client = new Client({ host: '127.0.0.1', port: stage.ports.postgres, user: 'app', database: 'shop', password: token.jwt });
  await client.connect();
  return client;
}

async function rowsOf(client: Client, text: string): Promise<Row[]> {
  sql(text);
  const { rows } = await client.query<Row>(text);
  return rows;
}

interface Failure {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

async function failureOf(client: Client, text: string): Promise<Failure | null> {
  sql(text);
  try {
    await client.query(text);
    return null;
  } catch (error: unknown) {
    const { code, message, hint } = error as Partial<Failure>;
    line(`ERROR ${code}: ${message}`);
    if (hint !== undefined) line(`HINT: ${hint}`);
    return { code: code ?? '', message: message ?? '', hint: hint ?? '' };
  }
}

function showsNoSecret(text: string): boolean {
  return CUSTOMERS.every((customer) => ![customer.email, customer.card, customer.ssn].some((value) => text.includes(value)));
}

export async function showMasked(stage: Stage): Promise<void> {
  heading('A read: e-mail, card and SSN are masked at the source');
  const client = await connectAs(stage, stage.tokens.alice);
  const direct = await stage.postgres.query('SELECT email, card, ssn FROM customers WHERE id = 1');
  line('What the database holds:');
  table(direct);
  line('What alice gets through the sidecar:');
  const rows = await rowsOf(client, 'SELECT id, full_name, email, card, ssn FROM customers ORDER BY id');
  table(rows);
  check(
    'names are there, masked values are not',
    rows.length === 3 && rows[0]?.['full_name'] === CUSTOMERS[0].name && showsNoSecret(JSON.stringify(rows)),
  );
  const found = await rowsOf(client, `SELECT count(*) AS found FROM customers WHERE ssn LIKE '078%'`);
  table(found);
  check('a predicate meets the mask, not the value', String(found[0]?.['found']) === '0');
  const memo = await rowsOf(client, 'SELECT memo FROM orders WHERE id = 2');
  table(memo);
  check('a detector finds the e-mail address in a column that no rule names', showsNoSecret(JSON.stringify(memo)));
  await client.end();
}

export async function showBlocked(stage: Stage): Promise<void> {
  heading('A DROP is refused, and the connection lives on');
  const client = await connectAs(stage, stage.tokens.alice);
  const refused = await failureOf(client, 'DROP TABLE orders');
  check(
    'SQLSTATE 42501, naming policy and rule',
    refused?.code === '42501' && /shop-agents/.test(refused.message) && /no-drop/.test(refused.message),
  );
  const everything = await failureOf(client, `DELETE FROM orders`);
  check('so is a DELETE with no WHERE', everything?.code === '42501' && /no-change-without-where/.test(everything.message));
  const rows = await rowsOf(client, 'SELECT count(*) AS orders FROM orders');
  table(rows);
  check('the same connection goes on, and nothing was dropped', String(rows[0]?.['orders']) === '3');
  await client.end();
}

export async function showApproval(stage: Stage): Promise<void> {
  heading('An UPDATE waits for a second person');
  const client = await connectAs(stage, stage.tokens.alice);
  const noticed = new Promise<string>((resolve) => client.once('notice', (notice: { message?: string }) => resolve(notice.message ?? '')));
  const text = `UPDATE orders SET status = 'refunded' WHERE id = 2`;
  sql(text);
  const update = client.query(text).catch((error: unknown) => error as Error);
  const notice = await Promise.race([noticed, update.then((result) => (result instanceof Error ? result.message : 'it did not wait'))]);
  line(`NOTICE: ${notice}`);
  const name = /waiting for approval (\S+)/.exec(notice)?.[1] ?? 'none';
  check('the client is told the name of the request', name !== 'none');
  const listed = await chaperone(['approvals', 'ls', '--state', stage.state, '--token-file', stage.tokens.bob.file]);
  typed('chaperone approvals ls');
  block(listed.stdout);
  const own = await decide(stage, name, 'alice');
  check('alice, who asked, can not approve it', own.code !== 0 && (await stillHeld(stage)));
  const other = await decide(stage, name, 'bob');
  const result = await update;
  check('bob can', other.code === 0 && !(result instanceof Error) && result.rowCount === 1);
  const status = await stage.postgres.query('SELECT status FROM orders WHERE id = 2');
  check('then, and only then, the row changed', status[0]?.['status'] === 'refunded');
  await client.end();
}

async function stillHeld(stage: Stage): Promise<boolean> {
  const rows = await stage.postgres.query('SELECT status FROM orders WHERE id = 2');
  return rows[0]?.['status'] === 'paid';
}

async function decide(stage: Stage, name: string, who: 'alice' | 'bob') {
  const args = ['approvals', 'approve', name, '--state', stage.state, '--token-file', stage.tokens[who].file, '--reason', 'checked'];
  typed(`chaperone approvals approve ${name} --token-file ${who}.jwt`);
  const done = await chaperone(args);
  block(done.stdout + done.stderr);
  return done;
}

const FORBID = `
    - name: customers-closed
      action: Deny
      sql:
        relations: ["public.customers"]
`;

export async function showPolicyEdit(stage: Stage): Promise<void> {
  heading('A policy edit reaches the live connection');
  const client = await connectAs(stage, stage.tokens.alice);
  table(await rowsOf(client, 'SELECT count(*) AS customers FROM customers'));
  const file = join(stage.manifests, 'access-policies.yaml');
  const text = await readFile(file, 'utf8');
  line('A rule is added to access-policies.yaml:');
  block(FORBID.slice(1));
  await writeFile(file, text.replace('  limits:\n', `${FORBID.slice(1)}  limits:\n`));
  const startMs = Date.now();
  let denied: Error | null = null;
  while (denied === null && Date.now() - startMs < 5000) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    denied = await client.query('SELECT count(*) FROM customers').then(
      () => null,
      (error: unknown) => error as Error,
    );
  }
  const tookMs = Date.now() - startMs;
  line(denied?.message ?? 'still allowed');
  check(`enforced on the open connection after ${tookMs} ms`, denied !== null && /customers-closed/.test(denied.message) && tookMs < 1500);
  await client.end();
}

export async function showBilling(stage: Stage): Promise<void> {
  heading('The same sidecar before an HTTP service');
  const base = `http://127.0.0.1:${stage.ports.http}`;
  typed('curl http://billing/v1/invoices');
  const allowed = await fetch(`${base}/v1/invoices`);
  line(`${allowed.status} ${await allowed.text()}`);
  check(
    'allowed, with a credential that the agent never had',
    allowed.status === 200 && stage.billing.seen.includes('GET /v1/invoices authorised'),
  );
  typed('curl -X DELETE http://billing/v1/invoices/inv-1');
  const denied = await fetch(`${base}/v1/invoices/inv-1`, { method: 'DELETE' });
  line(`${denied.status} ${await denied.text()}`);
  check('denied, and the service never saw it', denied.status === 403 && !stage.billing.seen.some((seen) => seen.startsWith('DELETE')));
}
