import { randomBytes } from 'node:crypto';
import { Socket } from 'node:net';
import { Client } from 'pg';
import { generatePassword, startPostgres } from '#e2e/postgres/server.ts';
import { registerContract } from './contract.ts';
import { createPostgresDriver } from './postgres/driver.ts';
import { startRelay } from './testing/relay.ts';
import type { Answer, Ask, ContractClient, ContractTarget } from './testing/stage.ts';

const SQL: { readonly [ask in Ask]: string } = {
  allowed: 'SELECT 1 AS allowed_marker',
  denied: 'DROP TABLE IF EXISTS denied_marker',
  held: 'CREATE TABLE IF NOT EXISTS held_marker (id int)',
};

/** A real driver's client; what it gets is kept. */
class PgContractClient implements ContractClient {
  received = Buffer.alloc(0);
  readonly #client: Client;
  readonly #socket = new Socket();

  private constructor(port: number, token: string | null) {
    this.#socket.on('data', (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
    });
    this.#client = new Client({
      host: '127.0.0.1',
      port,
      user: 'app',
      database: 'shop',
      password: token ?? 'ignored',
      stream: () => this.#socket,
    });
    this.#client.on('error', () => {});
  }

  static async open(port: number, token: string | null): Promise<PgContractClient> {
    const client = new PgContractClient(port, token);
    await client.#client.connect();
    return client;
  }

  async ask(what: Ask): Promise<Answer> {
    try {
      await this.#client.query(SQL[what]);
      return { type: 'ok' };
    } catch (error: unknown) {
      const fields = error as { readonly severity?: string; readonly message: string };
      return fields.severity === 'ERROR' ? { type: 'refused', text: fields.message } : { type: 'closed' };
    }
  }

  vanish(): void {
    this.#socket.destroy();
  }
}

async function startPostgresTarget(): Promise<ContractTarget> {
  const credential = generatePassword();
  const server = await startPostgres({
    database: 'shop',
    roles: [{ name: 'shop_app', password: credential }],
    initSql: 'GRANT CREATE ON SCHEMA public TO shop_app',
  });
  const relay = await startRelay(server);
  return {
    relay,
    credential,
    secrets: new Map([
      ['shop/db/username', 'shop_app'],
      ['shop/db/password', credential],
    ]),
    resource: {
      name: 'shop-db',
      protocol: 'PostgreSQL',
      address: { host: '127.0.0.1', port: relay.port },
      requiredCapabilities: ['postgresql/1', 'approval/1'],
      postgresql: { database: 'shop', users: [{ name: 'app', secret: 'db', usernameKey: 'username', passwordKey: 'password' }] },
    },
    matches: {
      allowed: { sql: { statements: ['Select'] } },
      denied: { sql: { statements: ['Drop'] } },
      held: { sql: { statements: ['Create'] } },
    },
    markers: { allowed: 'allowed_marker', denied: 'denied_marker', held: 'held_marker' },
    garbage: [
      randomBytes(64),
      Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      Buffer.from([0, 0, 0, 7]),
      Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 3, 0, 0]),
      // Protocol 2.0.
      Buffer.from([0, 0, 0, 8, 0, 2, 0, 0]),
    ],
    driver: (context) => createPostgresDriver(context, { tls: null }),
    connect: (port, token) => PgContractClient.open(port, token),
    async close() {
      await relay.close();
      await server.stop();
    },
  };
}

registerContract('PostgreSQL', startPostgresTarget);
