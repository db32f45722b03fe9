/** The corpora's database, anew for each case, and what can be seen of its state. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { hasPostgres, type Major, type Postgres, startPostgres } from '../postgres/server.ts';
import type { BlockingCase } from './blocking-client.ts';
import { open } from './databases.ts';

export const RULE_SETS_DATABASE = 'corpus';
const SCHEMA = 'pg-corpus-schema.sql';

/** Catalogs whose rows are part of the state, as they are or without what the server itself keeps up to date. */
const CATALOGS: { readonly [name: string]: string } = {
  pg_class:
    'oid, relname, relnamespace, relkind, relowner, relacl, relrowsecurity, relforcerowsecurity, reloptions, relispartition, relhasrules',
  pg_attribute: 'attrelid, attname, attnotnull, atthasdef, attisdropped, attacl, attoptions, attidentity, attgenerated, atttypid',
  pg_database: 'datname, datdba, datacl',
};
const WHOLE =
  `pg_proc pg_trigger pg_rewrite pg_policy pg_authid pg_auth_members pg_description pg_shdescription pg_default_acl pg_db_role_setting
  pg_largeobject_metadata pg_largeobject pg_extension pg_namespace pg_type pg_constraint pg_attrdef pg_foreign_server pg_user_mapping
  pg_foreign_data_wrapper pg_event_trigger pg_publication pg_subscription pg_language pg_cast pg_operator pg_index pg_inherits pg_seclabel
  pg_statistic_ext pg_enum pg_collation pg_tablespace pg_replication_slots pg_prepared_xacts`.trim();

export class BlockingDatabase {
  readonly server: Postgres;
  readonly #admin: pg.Client;

  private constructor(server: Postgres, admin: pg.Client) {
    this.server = server;
    this.#admin = admin;
  }

  /** Null where the machine has no PostgreSQL with the contributed modules that the schema uses. */
  static async start(cases: string, major: Major): Promise<BlockingDatabase | null> {
    if (!hasPostgres(major)) return null;
    const server = await startPostgres({ major, settings: { wal_level: 'logical', autovacuum: 'off' } });
    try {
      await server.query('CREATE DATABASE corpus_template');
      const client = await open(server, 'corpus_template');
      const schema = await readFile(join(cases, SCHEMA), 'utf8').catch(() => readFile(join(import.meta.dirname, SCHEMA), 'utf8'));
      await client.query(schema);
      await client.end();
      return new BlockingDatabase(server, await open(server, 'postgres'));
    } catch (error: unknown) {
      await server.stop();
      throw error;
    }
  }

  async fresh(each: BlockingCase): Promise<void> {
    await this.#admin.query(`DROP DATABASE IF EXISTS ${RULE_SETS_DATABASE} WITH (FORCE)`);
    await this.#admin.query(`CREATE DATABASE ${RULE_SETS_DATABASE} TEMPLATE corpus_template`);
    await this.#admin.query(`GRANT CREATE, TEMP ON DATABASE ${RULE_SETS_DATABASE} TO app`);
    if (each.setup === undefined) return;
    const client = await open(this.server, RULE_SETS_DATABASE);
    try {
      if (each.setupRole !== 'super') await client.query('SET SESSION AUTHORIZATION app');
      for (const sql of [each.setup].flat()) await client.query(sql);
    } finally {
      await client.end();
    }
  }

  /** After a case that may have changed more than its database. */
  async cleanUp(each: BlockingCase): Promise<void> {
    for (const sql of [each.cleanup ?? []].flat()) await this.#admin.query(sql).catch(() => undefined);
  }

  /** A digest of each catalog, and of the rows of every relation. */
  async state(): Promise<{ readonly [part: string]: string }> {
    const client = await open(this.server, RULE_SETS_DATABASE);
    try {
      const parts: { [part: string]: string } = { rows: await digestOfRows(client) };
      const catalogs = [...Object.entries(CATALOGS), ...WHOLE.split(/\s+/).map((name): [string, string] => [name, 't.*'])];
      for (const [name, columns] of catalogs) parts[name] = await digest(client, `SELECT ${columns} FROM pg_catalog.${name} t`);
      return parts;
    } finally {
      await client.end();
    }
  }

  async rows(): Promise<string> {
    const client = await open(this.server, RULE_SETS_DATABASE);
    try {
      return await digestOfRows(client);
    } finally {
      await client.end();
    }
  }

  async stop(): Promise<void> {
    await this.#admin.end();
    await this.server.stop();
  }
}

async function digestOfRows(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm', 'S') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY 1`,
  );
  let all = '';
  for (const { name } of rows) all += `${name}=${await digest(client, `SELECT * FROM ${name}`)} `;
  return all;
}

async function digest(client: pg.Client, sql: string): Promise<string> {
  const { rows } = await client.query<{ digest: string }>(
    `SELECT coalesce(md5(string_agg(t::text, chr(10) ORDER BY t::text)), '') AS digest FROM (${sql}) t`,
  );
  return rows[0]?.digest ?? '';
}
