import { randomBytes, randomUUID } from 'node:crypto';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { stringify } from 'yaml';

const QUICKSTART = new URL('../../examples/quickstart/', import.meta.url).pathname;

/** The values that must never come through the sidecar, nor lie in its state folder. */
export const CUSTOMERS = [
  { id: 1, name: 'Ada Kestrel', email: 'ada.kestrel@shop.example', card: '4111111111111111', ssn: '078-05-1120' },
  { id: 2, name: 'Bram Osprey', email: 'bram.osprey@shop.example', card: '5500005555555559', ssn: '219-09-9999' },
  { id: 3, name: 'Cleo Wren', email: 'cleo.wren@shop.example', card: '6011000990139424', ssn: '457-55-5462' },
] as const;

export const SAMPLE_SQL = `
CREATE TABLE customers (id int PRIMARY KEY, full_name text NOT NULL, email text NOT NULL, card text NOT NULL, ssn text NOT NULL);
CREATE TABLE orders (id int PRIMARY KEY, customer_id int REFERENCES customers, total numeric(10,2) NOT NULL, status text NOT NULL, memo text);
INSERT INTO customers VALUES ${CUSTOMERS.map((c) => `(${c.id}, '${c.name}', '${c.email}', '${c.card}', '${c.ssn}')`).join(', ')};
INSERT INTO orders VALUES (1, 1, 19.90, 'paid', 'gift'), (2, 2, 250.00, 'paid', 'call ${CUSTOMERS[1].email}'), (3, 3, 5.00, 'open', NULL);
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop_app;
`;

/** A folder of manifests as a user would have it: the quickstart's, with the addresses of this run and Secrets made for it. */
export async function writeManifests(
  folder: string,
  run: { readonly postgresPort: number; readonly httpPort: number; readonly password: string; readonly token: string },
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await cp(QUICKSTART, folder, { recursive: true });
  const file = join(folder, 'protected-resources.yaml');
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replace('port: 5432', `port: ${run.postgresPort}`).replace('port: 8080', `port: ${run.httpPort}`));
  const secret = (name: string, stringData: Record<string, string>) =>
    stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: 'shop' }, stringData });
  const secrets = [
    secret('shop-db-app', { username: 'shop_app', password: run.password }),
    secret('billing-api-token', { token: run.token }),
  ];
  await writeFile(join(folder, 'secrets.yaml'), secrets.join('---\n'), { mode: 0o600 });
}

export function makeSecrets(): { readonly password: string; readonly token: string } {
  return { password: randomBytes(18).toString('base64url'), token: randomUUID() };
}

export interface BillingService {
  readonly port: number;
  /** Requests that arrived, as `METHOD /path authorised`. */
  readonly seen: string[];
  stop(): Promise<void>;
}

/** A small service behind the sidecar: answers only who brings its token. */
export async function startBilling(token: string): Promise<BillingService> {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    const authorised = request.headers.authorization === `Bearer ${token}`;
    seen.push(`${request.method} ${request.url} ${authorised ? 'authorised' : 'not authorised'}`);
    response.writeHead(authorised ? 200 : 401, { 'content-type': 'application/json' });
    response.end(JSON.stringify(authorised ? { invoices: [{ id: 'inv-1', total: '19.90' }] } : { error: 'no token' }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { port, seen, stop: () => new Promise((resolve) => server.close(() => resolve())) };
}
