import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Postgres } from '../postgres/server.ts';
import { chaperone } from './chaperone.ts';
import { heading, line, typed } from './say.ts';
import type { BillingService } from './stage.ts';

export interface Stage {
  readonly folder: string;
  readonly manifests: string;
  readonly state: string;
  readonly ports: { readonly postgres: number; readonly http: number };
  readonly postgres: Postgres;
  readonly billing: BillingService;
  /** Files that hold a JWT each. */
  readonly tokens: { readonly alice: Token; readonly bob: Token };
  readonly secrets: { readonly password: string; readonly token: string };
}

export interface Token {
  readonly file: string;
  readonly jwt: string;
}

/** Alice works with the database (group sre); Bob approves (group leads). */
export async function makeTokens(folder: string, state: string): Promise<Stage['tokens']> {
  const make = async (subject: string, group: string): Promise<Token> => {
    const made = await chaperone(['token', '--state', state, '--subject', subject, '--group', group]);
    if (made.code !== 0) throw new Error(`no token for ${subject}: ${made.stderr}`);
    const jwt = made.stdout.trim();
    const file = join(folder, `${subject}.jwt`);
    await writeFile(file, jwt, { mode: 0o600 });
    return { file, jwt };
  };
  return { alice: await make('alice', 'sre'), bob: await make('bob', 'leads') };
}

/** Keeps all up until Ctrl-C, and says what to type. */
export async function stayUp(stage: Stage): Promise<number> {
  const { folder, manifests, state, ports, tokens } = stage;
  const passwords = join(folder, 'pgpass');
  await writeFile(passwords, `127.0.0.1:${ports.postgres}:shop:app:${tokens.alice.jwt}\n`, { mode: 0o600 });
  heading('Yours to try (Ctrl-C ends it and leaves nothing behind)');
  typed(`PGPASSFILE=${passwords} psql -h 127.0.0.1 -p ${ports.postgres} -U app shop`);
  line("In it: SELECT * FROM customers;   DROP TABLE orders;   UPDATE orders SET status = 'refunded' WHERE id = 2;");
  line('The last one waits. Meanwhile, in another terminal (bob may approve, alice may not):');
  typed(`npm run chaperone -- approvals ls --state ${state} --token-file ${tokens.bob.file}`);
  typed(`npm run chaperone -- approvals approve NAME --state ${state} --token-file ${tokens.bob.file}`);
  line(`Edit the policy: ${manifests}/access-policies.yaml; it is live within a second.`);
  typed(`curl -s http://127.0.0.1:${ports.http}/v1/invoices`);
  typed(`npm run chaperone -- sessions ls --state ${state}`);
  await new Promise(() => setInterval(() => {}, 60_000));
  return 0;
}
