/** What is asked of the server to know by which ways the session's role gets at a column. As in catalog-queries.ts: names in full, results as text. */
import { FIRST_USER_OID } from './catalog-queries.ts';

/**
 * Roles that the session is or may become: SET ROLE needs no inheritance, and whoever may grant a membership may grant it to themselves. The owner of
 * the database is a member of pg_database_owner without being listed.
 */
const REACHED = `WITH RECURSIVE reached (role) AS (
  SELECT a.oid FROM pg_catalog.pg_roles a WHERE a.rolname = SESSION_USER
  UNION SELECT m.roleid FROM reached r JOIN (
    SELECT g.member, g.roleid FROM pg_catalog.pg_auth_members g
    UNION ALL SELECT d.datdba, o.oid FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles o ON o.rolname = 'pg_database_owner'
      WHERE d.datname = pg_catalog.current_database()) m ON m.member = r.role)`;

/** Roles of the server that reach its files or run programs on it. */
const SERVER_ROLES = "('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')";
/** Functions that read files or open connections without a password, which nobody but a superuser may call unless somebody allowed it. */
const SERVER_FUNCTIONS = `('pg_read_file', 'pg_read_binary_file', 'pg_file_read', 'lo_import', 'lo_export', 'dblink_connect_u',
  'pg_get_wal_record_info', 'pg_get_wal_records_info', 'pg_get_wal_records_info_till_end_of_wal', 'pg_get_wal_fpi_info', 'pg_get_wal_block_info')`;

/** The session's role; then kind, role, detail of what holds for every column. Of a superuser nothing else is told. */
export const ROLE_WAYS = `${REACHED}, plain AS (SELECT a.oid AS role, a.rolname FROM reached r JOIN pg_catalog.pg_roles a ON a.oid = r.role WHERE NOT a.rolsuper)
  SELECT 'session', SESSION_USER::pg_catalog.text, NULL
  UNION ALL SELECT 'superuser', a.rolname, NULL FROM reached r JOIN pg_catalog.pg_roles a ON a.oid = r.role WHERE a.rolsuper
  UNION ALL SELECT 'attribute', a.rolname, 'REPLICATION' FROM reached r JOIN pg_catalog.pg_roles a ON a.oid = r.role WHERE a.rolreplication AND NOT a.rolsuper
  UNION ALL SELECT 'attribute', a.rolname, 'CREATEROLE' FROM reached r JOIN pg_catalog.pg_roles a ON a.oid = r.role
    WHERE a.rolcreaterole AND NOT a.rolsuper AND pg_catalog.current_setting('server_version_num')::pg_catalog.int4 < 160000
  UNION ALL SELECT 'serverRole', p.rolname, NULL FROM plain p WHERE p.rolname IN ${SERVER_ROLES}
  UNION ALL SELECT 'statistics', p.rolname, s.name FROM plain p, (VALUES ('pg_catalog.pg_statistic'), ('pg_catalog.pg_statistic_ext_data')) s (name)
    WHERE pg_catalog.has_any_column_privilege(p.role, s.name, 'SELECT')
  UNION ALL SELECT 'server', p.rolname, f.srvname FROM plain p JOIN pg_catalog.pg_foreign_server f ON pg_catalog.has_server_privilege(p.role, f.oid, 'USAGE')
    WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_user_mappings u WHERE u.srvid = f.oid AND (u.umuser = 0 OR u.umuser IN (SELECT role FROM reached)))
  UNION ALL SELECT 'serverFunction', p.rolname, f.oid::pg_catalog.regprocedure::pg_catalog.text FROM plain p JOIN pg_catalog.pg_proc f
    ON f.proname IN ${SERVER_FUNCTIONS} AND pg_catalog.has_function_privilege(p.role, f.oid, 'EXECUTE')`;

/** OID of functions that run with the rights of another role, or beside all rights, and that the session may call; with the role that may. */
export const FOREIGN_CODE = `${REACHED} SELECT f.oid, a.rolname, f.oid::pg_catalog.regprocedure::pg_catalog.text, o.rolname FROM reached r JOIN pg_catalog.pg_roles a ON a.oid = r.role AND NOT a.rolsuper
  JOIN pg_catalog.pg_proc f ON f.oid >= ${FIRST_USER_OID} AND pg_catalog.has_function_privilege(a.oid, f.oid, 'EXECUTE')
  JOIN pg_catalog.pg_language l ON l.oid = f.prolang JOIN pg_catalog.pg_roles o ON o.oid = f.proowner
  WHERE f.proowner NOT IN (SELECT role FROM reached) AND (f.prosecdef OR (NOT l.lanpltrusted AND NOT EXISTS (
    SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = f.oid AND d.deptype = 'e')))`;

/**
 * Relation, attribute number (0: all of them), kind, role. Column privileges only where the whole relation can't be read anyway. Whoever may make a
 * trigger sees whole rows in it.
 */
export const RELATION_WAYS = `${REACHED}, roles AS (SELECT a.oid AS role, a.rolname FROM reached r JOIN pg_catalog.pg_roles a ON a.oid = r.role),
  relations AS (SELECT c.oid, c.relowner, c.relkind FROM pg_catalog.pg_class c WHERE c.oid >= ${FIRST_USER_OID} AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't')
  SELECT c.oid, 0, 'owner', o.rolname FROM relations c JOIN roles o ON o.role = c.relowner
  UNION ALL SELECT c.oid, 0, 'select', o.rolname FROM relations c, roles o WHERE pg_catalog.has_table_privilege(o.role, c.oid, 'SELECT')
  UNION ALL SELECT c.oid, 0, 'trigger', o.rolname FROM relations c, roles o WHERE c.relkind <> 'm' AND pg_catalog.has_table_privilege(o.role, c.oid, 'TRIGGER')
  UNION ALL SELECT c.oid, a.attnum, 'select', o.rolname FROM relations c JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attacl IS NOT NULL, roles o
    WHERE pg_catalog.has_column_privilege(o.role, c.oid, a.attnum, 'SELECT') AND NOT pg_catalog.has_table_privilege(o.role, c.oid, 'SELECT')`;

/**
 * Functions that the session may replace, and that see rows of a relation when somebody else uses it: relation, function. Views count with the
 * functions in them.
 */
export const REPLACEABLE_CODE = (
  relationCode: string,
): string => `${REACHED} SELECT x.relation, f.oid::pg_catalog.regprocedure::pg_catalog.text
  FROM (SELECT y.relation, y.function FROM (${relationCode}) y (relation, function, why)
    UNION SELECT r.ev_class, d.refobjid FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass) x (relation, function)
  JOIN pg_catalog.pg_proc f ON f.oid = x.function WHERE f.proowner IN (SELECT role FROM reached) AND f.oid >= ${FIRST_USER_OID}`;

/**
 * What rules read with the rights of the owner of their relation: relation with the rule, relation that is read, attribute number, whether it is the
 * rule of a view, whether whole rows are read (of which the columns are not listed), whether the session's roles own the relation, whether a
 * view runs with the rights of who asks.
 */
export const RULE_READS = `${REACHED} SELECT DISTINCT r.ev_class, d.refobjid, d.refobjsubid, r.rulename = '_RETURN', r.ev_action::pg_catalog.text ~ ':varattno 0 ',
  c.relowner IN (SELECT role FROM reached), coalesce('security_invoker=true' = ANY (c.reloptions) OR 'security_invoker=on' = ANY (c.reloptions) OR 'security_invoker=1' = ANY (c.reloptions), false)
  FROM pg_catalog.pg_rewrite r JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
  WHERE r.ev_class >= ${FIRST_USER_OID} AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class`;

/** Other privileges by which a rule that is no view's is set off: relation. */
export const WRITABLE = `${REACHED} SELECT DISTINCT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_rewrite w ON w.ev_class = c.oid AND w.rulename <> '_RETURN', reached r
  WHERE c.oid >= ${FIRST_USER_OID} AND (pg_catalog.has_table_privilege(r.role, c.oid, 'INSERT, UPDATE, DELETE') OR pg_catalog.has_any_column_privilege(r.role, c.oid, 'INSERT, UPDATE'))`;

/** Part of the catalog's fingerprint: what is granted to whom is not all in the rows of the objects themselves. */
export const ACCESS_FINGERPRINT = [
  `(SELECT coalesce(pg_catalog.md5(pg_catalog.string_agg(m.roleid::text || '.' || m.member::text || ';', '' ORDER BY m.roleid, m.member)), '') FROM pg_catalog.pg_auth_members m)`,
  `(SELECT coalesce(pg_catalog.md5(pg_catalog.string_agg(a.oid::text || a.rolsuper::text || a.rolreplication::text || a.rolcreaterole::text, '' ORDER BY a.oid)), '') FROM pg_catalog.pg_roles a)`,
  `(SELECT coalesce(pg_catalog.md5(pg_catalog.string_agg(f.oid::text || f.xmin::text, '' ORDER BY f.oid)), '') FROM pg_catalog.pg_foreign_server f)`,
  `(SELECT coalesce(pg_catalog.md5(pg_catalog.string_agg(u.umid::text || u.umuser::text, '' ORDER BY u.umid)), '') FROM pg_catalog.pg_user_mappings u)`,
  `(SELECT d.datdba::text FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())`,
  `(SELECT pg_catalog.string_agg(coalesce(c.relacl::text, ''), ';' ORDER BY c.oid) FROM pg_catalog.pg_class c WHERE c.relname IN ('pg_statistic', 'pg_statistic_ext_data') AND c.relnamespace = 'pg_catalog'::pg_catalog.regnamespace)`,
  `(SELECT pg_catalog.string_agg(a.attrelid::text || '.' || a.attnum::text || a.attacl::text, ';' ORDER BY a.attrelid, a.attnum) FROM pg_catalog.pg_attribute a
    WHERE a.attacl IS NOT NULL AND a.attrelid IN ('pg_catalog.pg_statistic'::pg_catalog.regclass, 'pg_catalog.pg_statistic_ext_data'::pg_catalog.regclass))`,
];
