/** A server with the corpora's two databases as templates: `a`, and `b`, its twin with other secrets. Each case has a fresh copy. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { hasPostgres, type Major, type Postgres, startPostgres } from '../postgres/server.ts';
import type { Account } from './connection.ts';
import type { MaskingCase } from './masking-case.ts';

export const DATABASE = 'corpus';
export type Template = 'a' | 'b';

/** What the roles of the schema log in with, as the schema has it. */
export const ACCOUNTS = {
  app: { user: 'app', password: 'apppw' },
  super: { user: 'appadm', password: 'admpw' },
  repl: { user: 'repl', password: 'replpw' },
} as const satisfies Readonly<Record<string, Account>>;

const SCHEMA = 'pg-corpus-schema.sql';
const TWIN = 'pg-corpus-twin.sql';
/** What makes assurance A: the application's role may not read the masked columns. */
const FLOOR = ['pg-corpus-floor.sql'];
const OURS = import.meta.dirname;

export class Databases {
  readonly server: Postgres;
  /** Owns what a case sets up. */
  readonly #owner: string;
  readonly #admin: pg.Client;
  /** The copy that is there, while nothing was written to it: the template and the next transaction's number. */
  #untouched: { readonly template: Template; readonly next: string } | null = null;

  private constructor(server: Postgres, owner: string, admin: pg.Client) {
    this.server = server;
    this.#owner = owner;
    this.#admin = admin;
  }

  /** Null where the machine has no PostgreSQL with the contributed modules that the schema uses. */
  static async start(cases: string, assurance: 'A' | 'B', major: Major): Promise<Databases | null> {
    if (!hasPostgres(major)) return null;
    const settings = { wal_level: 'logical', shared_preload_libraries: 'pg_stat_statements', autovacuum: 'off' };
    const server = await startPostgres({ major, settings });
    try {
      const floor = assurance === 'A' ? await texts(cases, FLOOR) : [];
      const schema = await texts(cases, [SCHEMA]);
      for (const [template, more] of [
        ['a', []],
        ['b', await texts(cases, [TWIN])],
      ] as const) {
        await server.query(`CREATE DATABASE corpus_tmpl_${template}`);
        const client = await open(server, `corpus_tmpl_${template}`);
        // A statement after the other: VACUUM runs in no transaction.
        for (const text of [...schema, ...more]) for (const statement of statementsOf(text)) await client.query(statement);
        for (const text of floor) for (const statement of statementsOf(text)) await client.query(statement);
        await client.end();
      }
      return new Databases(server, assurance === 'A' ? 'dba' : 'app', await open(server, 'postgres'));
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** The database as the template is, and what the case sets up in it. */
  async fresh(template: Template, item: MaskingCase): Promise<void> {
    if (this.#untouched?.template !== template || this.#untouched.next !== (await this.#nextTransaction())) await this.#copy(template);
    this.#untouched = item.setup === undefined ? { template, next: await this.#nextTransaction() } : null;
    if (item.setup === undefined) return;
    const client = await open(this.server, DATABASE);
    try {
      if (item.setupRole !== 'super') await client.query(`SET SESSION AUTHORIZATION ${this.#owner}`);
      for (const sql of [item.setup].flat()) await client.query(sql);
    } finally {
      await client.end();
    }
  }

  async #copy(template: Template): Promise<void> {
    await this.#admin.query(
      `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '${DATABASE}' AND NOT active`,
    );
    await this.#admin.query(`DROP DATABASE IF EXISTS ${DATABASE} WITH (FORCE)`);
    await this.#admin.query(`CREATE DATABASE ${DATABASE} TEMPLATE corpus_tmpl_${template}`);
    await this.#admin.query(`GRANT CREATE, TEMP ON DATABASE ${DATABASE} TO ${this.#owner}`);
  }

  /** Whoever writes to the server, in any database, takes a number. */
  async #nextTransaction(): Promise<string> {
    const { rows } = await this.#admin.query<{ next: string }>('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next');
    return rows[0]?.next ?? '';
  }

  /** After a case that changed more than its database. */
  async cleanUp(item: MaskingCase): Promise<void> {
    if (item.cleanup !== undefined) await this.#admin.query(item.cleanup);
  }

  /** SHA-256 of what a function of the schema is, for the rule that lists it. */
  async definitionOf(signature: string): Promise<string> {
    const client = await open(this.server, 'corpus_tmpl_a');
    try {
      const sql = "SELECT encode(sha256(convert_to(pg_get_functiondef($1::regprocedure), 'UTF8')), 'hex') AS hash";
      return (await client.query<{ hash: string }>(sql, [signature])).rows[0]?.hash ?? '';
    } finally {
      await client.end();
    }
  }

  async oidOf(signature: string): Promise<number> {
    const client = await open(this.server, DATABASE);
    try {
      const { rows } = await client.query<{ oid: number }>('SELECT $1::regprocedure::oid AS oid', [signature]);
      return rows[0]?.oid ?? 0;
    } finally {
      await client.end();
    }
  }

  async stop(): Promise<void> {
    await this.#admin.end();
    await this.server.stop();
  }
}

/** As the superuser. */
export async function open(server: Postgres, database: string): Promise<pg.Client> {
  const { host, port, superuser } = server;
  const client = new pg.Client({ host, port, ...superuser, database });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** The folder's own file of that name, else ours. */
function texts(cases: string, files: readonly string[]): Promise<string[]> {
  return Promise.all(files.map((file) => readFile(join(cases, file), 'utf8').catch(() => readFile(join(OURS, file), 'utf8'))));
}

/** Statements of a file of psql's: they end with a semicolon that is in no quotes and no comment. */
export function statementsOf(text: string): string[] {
  const statements: string[] = [];
  let start = 0;
  for (const { 0: found, index } of text.matchAll(/--[^\n]*|'(?:[^']|'')*'|(\$\w*\$)[\s\S]*?\1|;/g)) {
    if (found !== ';') continue;
    statements.push(text.slice(start, index));
    start = index + 1;
  }
  return [...statements, text.slice(start)].filter((statement) => statement.replace(/--[^\n]*/g, '').trim() !== '');
}
