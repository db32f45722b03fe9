/** The SQL that takes away each way to a masked column, and no more than that; where the role itself is the way, what another role needs. */
import type { Way } from '#sidecar/mask/postgres/access.ts';
import type { ColumnAssurance, DatabaseAssurance } from '#sidecar/mask/postgres/assurance.ts';
import type { Catalog, Relation } from '#sidecar/mask/postgres/catalog.ts';
import type { Grants } from './grants.ts';

export interface Remedy {
  /** Statements, each with its semicolon; run as a superuser, or as the owners, in their order. */
  readonly sql: readonly string[];
  /** What no statement does, and what a statement also does. */
  readonly notes: readonly string[];
  /** Set where the role can't be at A: the statements make this one. */
  readonly separateRole: string | null;
}

export function remedyFor(catalog: Catalog, { columns }: DatabaseAssurance, grants: Grants): Remedy {
  const { access } = catalog;
  const lowered = columns.filter(({ level }) => level !== 'A');
  const sql = new Set<string>();
  const notes = new Set<string>();
  const ways = lowered.flatMap((column) => column.ways.map((way) => ({ column, way })));
  const self = ways.filter(({ column, way }) => isTheRoleItself(way, column, access.session, grants));
  const separateRole = self.length === 0 ? null : `${access.session}_masked`;
  // Of another role only what everybody has needs to be taken away.
  const takenFrom = (grantee: string | null) => separateRole === null || grantee === null;
  for (const relation of new Set(lowered.map((column) => column.relation)))
    for (const line of narrowed(relation, columns, grants, takenFrom)) sql.add(line);
  for (const { way } of ways) {
    if (separateRole === null || way.type === 'function' || way.type === 'view')
      for (const line of closed(way, catalog, grants, takenFrom)) sql.add(line);
    if (way.type === 'function' && typeof way.function?.definitionSha256 === 'string')
      notes.add(
        `${way.name} may stay callable if it shows nothing that is masked: list it in every MaskingRule, definitionSha256 ${way.function.definitionSha256}`,
      );
    if (way.type === 'view' && catalog.relationsByOid.get(way.relation)?.kind === 'View')
      notes.add(
        `${quoted(catalog.relationsByOid.get(way.relation))} may stay readable from PostgreSQL 15 on with ALTER VIEW ... SET (security_invoker = true), where its readers have the other columns`,
      );
  }
  if (separateRole === null) return { sql: [...sql], notes: [...notes], separateRole };
  for (const { way } of self) notes.add(reasonOf(way, access.session));
  notes.add(`give ${separateRole} a password (\\password ${separateRole}), and put both into the Secret that the ProtectedResource names`);
  return { sql: [...newRole(separateRole, catalog, columns, grants), ...sql], notes: [...notes], separateRole };
}

/** No REVOKE from the role would last, or none is to be had: it owns the relation, or everything is open to it. */
function isTheRoleItself(way: Way, { relation, column }: ColumnAssurance, session: string, grants: Grants): boolean {
  switch (way.type) {
    case 'superuser':
    case 'owner':
    case 'code':
      return true;
    case 'select':
      // Through a grant that can be named, or as pg_read_all_data has it.
      return !(grants.relations.get(relation.oid) ?? []).some(
        (grant) =>
          grant.privilege === 'SELECT' &&
          (grant.column === null || grant.column === column.name) &&
          grant.grantee !== grants.owners.get(relation.oid),
      );
    case 'attribute':
      return way.role !== session;
    case 'serverRole':
    case 'trigger':
    case 'statistics':
    case 'serverFunction':
    case 'server':
    case 'function':
    case 'view':
      return false;
    default:
      return way satisfies never;
  }
}

function reasonOf(way: Way, session: string): string {
  const role = 'role' in way ? way.role : session;
  const as = role === session ? session : `${session}, which may become ${role},`;
  const why =
    way.type === 'owner' || way.type === 'code'
      ? 'owns what holds the columns, or code that sees them, and may give itself every privilege'
      : way.type === 'superuser'
        ? 'is a superuser'
        : 'may read all of it by a role of the server';
  return `${as} ${why}: a role of its own is needed for the sidecar`;
}

/** The other columns in place of the whole relation, for everybody who has it; a grant on the column itself is taken back. */
function narrowed(
  relation: Relation,
  columns: readonly ColumnAssurance[],
  grants: Grants,
  from: (grantee: string | null) => boolean,
): readonly string[] {
  const name = quoted(relation);
  const masked = columns.filter((one) => one.relation === relation);
  const given = (grants.relations.get(relation.oid) ?? []).filter(
    ({ grantee }) => grantee !== grants.owners.get(relation.oid) && from(grantee),
  );
  const lines: string[] = [];
  const others = othersOf(relation, columns);
  for (const { grantee } of given.filter(({ privilege, column }) => privilege === 'SELECT' && column === null)) {
    lines.push(`REVOKE SELECT ON ${name} FROM ${granteeText(grantee)};`);
    if (others !== '') lines.push(`GRANT SELECT (${others}) ON ${name} TO ${granteeText(grantee)};`);
  }
  for (const { grantee, column } of given)
    if (
      column !== null &&
      masked.some((one) => one.column.name === column) &&
      given.some((one) => one.grantee === grantee && one.column === column && one.privilege === 'SELECT')
    )
      lines.push(`REVOKE SELECT (${identifier(column)}) ON ${name} FROM ${granteeText(grantee)};`);
  for (const { grantee } of given.filter(({ privilege }) => privilege === 'TRIGGER'))
    lines.push(`REVOKE TRIGGER ON ${name} FROM ${granteeText(grantee)};`);
  return lines;
}

function closed(way: Way, catalog: Catalog, grants: Grants, from: (grantee: string | null) => boolean): readonly string[] {
  switch (way.type) {
    case 'attribute':
      return [`ALTER ROLE ${identifier(way.role)} NO${way.attribute};`];
    case 'serverRole':
      return [`REVOKE ${identifier(way.role)} FROM ${identifier(catalog.access.session)};`];
    case 'statistics':
      return [`REVOKE SELECT ON ${way.name} FROM ${identifier(way.role)}, PUBLIC;`];
    case 'serverFunction':
      return [`REVOKE EXECUTE ON FUNCTION ${way.name} FROM ${identifier(way.role)}, PUBLIC;`];
    case 'server':
      return [`REVOKE USAGE ON FOREIGN SERVER ${identifier(way.name)} FROM ${identifier(way.role)}, PUBLIC;`];
    case 'function':
      return (grants.functions.get(way.function?.oid ?? 0) ?? [])
        .filter(from)
        .map((grantee) => `REVOKE EXECUTE ON FUNCTION ${way.name} FROM ${granteeText(grantee)};`);
    case 'view': {
      const given = (grants.relations.get(way.relation) ?? []).filter(
        ({ grantee }) => grantee !== grants.owners.get(way.relation) && from(grantee),
      );
      const name = quoted(catalog.relationsByOid.get(way.relation));
      const kind = catalog.relationsByOid.get(way.relation)?.kind;
      // A rule of a table is set off by writing to it; dropping it is for its owner to decide.
      const privileges = kind === 'View' || kind === 'MaterializedView' ? ['SELECT', 'TRIGGER'] : ['INSERT', 'UPDATE', 'DELETE'];
      return [
        ...new Set(
          given
            .filter(({ privilege }) => privileges.includes(privilege))
            .map(({ privilege, grantee }) => `REVOKE ${privilege} ON ${name} FROM ${granteeText(grantee)};`),
        ),
      ];
    }
    default:
      // Grants on the relation: `narrowed`. The role itself: another one.
      return [];
  }
}

/** What the old role may do, but for what is masked and what would show it. */
function newRole(role: string, catalog: Catalog, columns: readonly ColumnAssurance[], grants: Grants): readonly string[] {
  const name = identifier(role);
  const lines = [`CREATE ROLE ${name} LOGIN;`, `GRANT CONNECT ON DATABASE ${grants.database} TO ${name};`];
  for (const schema of grants.schemas) lines.push(`GRANT USAGE ON SCHEMA ${schema} TO ${name};`);
  const reading = readersOfMasked(catalog, columns);
  for (const relation of catalog.relationsByOid.values()) {
    if (!KINDS.has(relation.kind) || relation.temporary || relation.oid < FIRST_USER_OID || reading.has(relation.oid)) continue;
    const masked = columns.some((one) => one.relation === relation);
    const others = masked ? othersOf(relation, columns) : null;
    const readable = relation.columns.some(({ readable }) => readable);
    if (readable && others !== '') lines.push(`GRANT SELECT${others === null ? '' : ` (${others})`} ON ${quoted(relation)} TO ${name};`);
    const writes = grants.writes.get(relation.oid) ?? [];
    if (writes.length > 0) lines.push(`GRANT ${writes.join(', ')} ON ${quoted(relation)} TO ${name};`);
  }
  for (const sequence of grants.sequences) lines.push(`GRANT ${sequence.privileges.join(', ')} ON SEQUENCE ${sequence.name} TO ${name};`);
  return lines;
}

const FIRST_USER_OID = 16384;
const KINDS: ReadonlySet<string> = new Set(['Table', 'Partitioned', 'View', 'MaterializedView', 'Foreign']);

/** Views, and relations with rules, that read a masked column with the rights of their owner, through others too. */
function readersOfMasked({ access }: Catalog, columns: readonly ColumnAssurance[]): ReadonlySet<number> {
  const reading = new Set<number>();
  for (const rule of access.ruleReads)
    if (columns.some(({ relation, column }) => relation.oid === rule.reads && (rule.wholeRow || rule.attnum === column.attnum)))
      reading.add(rule.relation);
  for (const oid of reading) for (const rule of access.ruleReads) if (rule.reads === oid) reading.add(rule.relation);
  return reading;
}

function othersOf(relation: Relation, columns: readonly ColumnAssurance[]): string {
  const masked = new Set(columns.filter((one) => one.relation === relation).map(({ column }) => column.name));
  return relation.columns
    .filter(({ name }) => !masked.has(name))
    .map(({ name }) => identifier(name))
    .join(', ');
}

function quoted(relation: Relation | undefined): string {
  return relation === undefined ? '' : `${identifier(relation.schema)}.${identifier(relation.name)}`;
}

function granteeText(grantee: string | null): string {
  return grantee === null ? 'PUBLIC' : identifier(grantee);
}

/** Words that can't stand for a name without quotes (PostgreSQL's appendix C, `reserved`, in any version). */
const RESERVED = new Set(
  `all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation column concurrently constraint create cross
  current_catalog current_date current_role current_schema current_time current_timestamp current_user default deferrable desc distinct do else end except false
  fetch for foreign freeze from full grant group having ilike in initially inner intersect into is isnull join lateral leading left like limit localtime
  localtimestamp natural not notnull null offset on only or order outer overlaps placing primary references returning right select session_user similar some
  symmetric system_user table tablesample then to trailing true union unique user using variadic verbose when where window with`.split(
    /\s+/,
  ),
);

export function identifier(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) && !RESERVED.has(name) ? name : `"${name.replaceAll('"', '""')}"`;
}
