/** Who was given what, as the server's access lists say: what a REVOKE must name. */
import type { Query } from '#sidecar/mask/postgres/catalog.ts';

export interface Grants {
  /** By OID of the relation: privileges on all of it, and on single columns. `grantee` null is PUBLIC. */
  readonly relations: ReadonlyMap<
    number,
    readonly { readonly grantee: string | null; readonly privilege: string; readonly column: string | null }[]
  >;
  /** By OID of the function: who may call it. */
  readonly functions: ReadonlyMap<number, readonly (string | null)[]>;
  readonly owners: ReadonlyMap<number, string>;
  /** What the session's role may do with a relation, beside reading: INSERT, UPDATE, DELETE. */
  readonly writes: ReadonlyMap<number, readonly string[]>;
  readonly sequences: readonly { readonly name: string; readonly privileges: readonly string[] }[];
  /** Schemas that the role may use. */
  readonly schemas: readonly string[];
  readonly database: string;
}

const NAME = (grantee: string): string =>
  `CASE WHEN ${grantee} = 0 THEN NULL ELSE (SELECT r.rolname FROM pg_catalog.pg_roles r WHERE r.oid = ${grantee}) END`;
const USER_RELATIONS = "c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'";

const RELATION_GRANTS = `SELECT c.oid, ${NAME('a.grantee')}, a.privilege_type, NULL FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a WHERE ${USER_RELATIONS}
  UNION ALL SELECT c.oid, ${NAME('a.grantee')}, a.privilege_type, t.attname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid AND t.attnum > 0 AND NOT t.attisdropped,
    pg_catalog.aclexplode(t.attacl) a WHERE ${USER_RELATIONS}`;
const FUNCTION_GRANTS = `SELECT f.oid, ${NAME('a.grantee')} FROM pg_catalog.pg_proc f, pg_catalog.aclexplode(coalesce(f.proacl, pg_catalog.acldefault('f', f.proowner))) a
  WHERE f.oid >= 16384 AND a.privilege_type = 'EXECUTE' AND a.grantee <> f.proowner`;
const OWNERS = `SELECT c.oid, r.rolname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_roles r ON r.oid = c.relowner WHERE ${USER_RELATIONS}`;
const WRITES = `SELECT c.oid, p.name FROM pg_catalog.pg_class c, (VALUES ('INSERT'), ('UPDATE'), ('DELETE')) p (name)
  WHERE ${USER_RELATIONS} AND c.relkind <> 'm' AND pg_catalog.has_table_privilege(c.oid, p.name)`;
const SEQUENCES = `SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), p.name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,
  (VALUES ('USAGE'), ('SELECT')) p (name) WHERE c.relkind = 'S' AND c.oid >= 16384 AND c.relpersistence <> 't' AND pg_catalog.has_sequence_privilege(c.oid, p.name)`;
const SCHEMAS = `SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^(pg_|information_schema$)' AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') ORDER BY 1`;

export async function readGrants(query: Query): Promise<Grants> {
  const relations = grouped(await query(RELATION_GRANTS), ([, grantee, privilege, column]) => {
    return { grantee: grantee ?? null, privilege: privilege ?? '', column: column ?? null };
  });
  const functions = grouped(await query(FUNCTION_GRANTS), ([, grantee]) => grantee ?? null);
  const owners = new Map((await query(OWNERS)).map(([oid, owner]) => [Number(oid), owner ?? '']));
  const writes = grouped(await query(WRITES), ([, privilege]) => privilege ?? '');
  const sequences = new Map<string, string[]>();
  for (const [name, privilege] of await query(SEQUENCES))
    sequences.set(name ?? '', [...(sequences.get(name ?? '') ?? []), privilege ?? '']);
  const [[database] = []] = await query('SELECT pg_catalog.quote_ident(pg_catalog.current_database())');
  return {
    relations,
    functions,
    owners,
    writes,
    sequences: [...sequences].map(([name, privileges]) => ({ name, privileges })),
    schemas: (await query(SCHEMAS)).map(([name]) => name ?? ''),
    database: database ?? '',
  };
}

function grouped<T>(rows: Awaited<ReturnType<Query>>, valueOf: (row: readonly (string | null)[]) => T): Map<number, T[]> {
  const groups = new Map<number, T[]>();
  for (const row of rows) {
    const key = Number(row[0]);
    groups.set(key, [...(groups.get(key) ?? []), valueOf(row)]);
  }
  return groups;
}
