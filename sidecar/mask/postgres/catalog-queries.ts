/** What is read of a database. Every name is qualified, every result is text; run under search_path = pg_catalog in a read-only transaction. */

/** Objects below this OID come with the server. */
export const FIRST_USER_OID = 16384;

// What is read once is read sooner than it is compiled.
export const SETUP =
  "SET search_path = pg_catalog; SET default_transaction_read_only = on; SET jit = off; SET application_name = 'chaperone catalog'";
export const BEGIN = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY';
export const COMMIT = 'COMMIT';

/**
 * Changes with every committed change of what the catalog holds, other sessions' temporary objects left out.
 * Row versions (xmin) and counts, so an object that is dropped shows too.
 */
const digest = (table: string, where: string): string =>
  `(SELECT pg_catalog.count(*) || '.' || coalesce(pg_catalog.md5(pg_catalog.string_agg(x.h, '' ORDER BY x.h)), '')
    FROM (SELECT x.oid::text || ':' || x.xmin::text || ';' AS h FROM pg_catalog.${table} x WHERE ${where}) x)`;
const NOT_TEMPORARY = "NOT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace n WHERE n.oid = x.NS AND n.nspname ~ '^pg_(toast_)?temp_')";
const user = (namespace: string): string => `x.oid >= ${FIRST_USER_OID} AND ${NOT_TEMPORARY.replace('NS', namespace)}`;

export const FINGERPRINT = `SELECT ${[
  digest('pg_class', `${user('relnamespace')} AND x.relkind <> 't'`),
  digest('pg_proc', 'true'),
  digest('pg_rewrite', `x.ev_class >= ${FIRST_USER_OID}`),
  digest('pg_namespace', "x.nspname !~ '^pg_(toast_)?temp_'"),
  digest('pg_type', user('typnamespace')),
  digest('pg_operator', `x.oid >= ${FIRST_USER_OID}`),
  digest('pg_cast', `x.oid >= ${FIRST_USER_OID}`),
  digest('pg_trigger', `NOT x.tgisinternal`),
  digest('pg_attrdef', 'true'),
  digest('pg_policy', 'true'),
  digest('pg_constraint', `x.contypid <> 0 OR x.contype = 'f'`),
  `(SELECT pg_catalog.count(*) || '.' || coalesce(pg_catalog.md5(pg_catalog.string_agg(x.h, '' ORDER BY x.h)), '')
     FROM (SELECT a.attrelid::text || '.' || a.attnum::text || ':' || a.xmin::text || ';' AS h FROM pg_catalog.pg_attribute a
           JOIN pg_catalog.pg_class x ON x.oid = a.attrelid WHERE x.relkind <> 't' AND ${user('relnamespace')}) x)`,
  `(SELECT pg_catalog.count(*) || '.' || coalesce(pg_catalog.md5(pg_catalog.string_agg(x.h, '' ORDER BY x.h)), '')
     FROM (SELECT i.inhrelid::text || '.' || i.inhparent::text || ':' || i.xmin::text || ';' AS h FROM pg_catalog.pg_inherits i) x)`,
].join(" || '/' || ")}`;

export const RELATIONS = `SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence,
  CASE WHEN c.relkind IN ('v', 'm') AND c.oid >= ${FIRST_USER_OID} THEN pg_catalog.pg_get_viewdef(c.oid) END,
  EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN'),
  EXISTS (SELECT 1 FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal),
  EXISTS (SELECT 1 FROM pg_catalog.pg_attrdef f WHERE f.adrelid = c.oid AND (
    pg_catalog.pg_get_expr(f.adbin, f.adrelid) ~ 'set_config' OR EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = f.oid
    AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refobjid >= ${FIRST_USER_OID}))),
  (SELECT pg_catalog.string_agg(DISTINCT k.conrelid::text, ',') FROM pg_catalog.pg_constraint k WHERE k.confrelid = c.oid AND k.contype = 'f')
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind <> 't'`;

export const COLUMNS = `SELECT a.attrelid, a.attname, a.attnum, a.atttypid,
  coalesce(pg_catalog.substring(pg_catalog.format_type(a.atttypid, a.atttypmod), '[(][0-9, -]*[)]'), ''),
  pg_catalog.has_column_privilege(a.attrelid, a.attnum, 'SELECT'), a.attgenerated <> ''
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid >= ${FIRST_USER_OID} AND c.relkind <> 't' ORDER BY a.attrelid, a.attnum`;

export const DEPENDENCIES = `SELECT DISTINCT r.ev_class, d.refobjid FROM pg_catalog.pg_rewrite r
  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid = r.oid
  WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid <> r.ev_class AND r.ev_class >= ${FIRST_USER_OID}`;

export const INHERITANCE = 'SELECT i.inhrelid, i.inhparent FROM pg_catalog.pg_inherits i';

export const FUNCTIONS = `SELECT p.oid, n.nspname, p.proname, p.prokind, p.provolatile, l.lanname, p.prosecdef,
  EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'),
  CASE WHEN p.oid >= ${FIRST_USER_OID} AND p.prokind <> 'a'
    THEN pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.pg_get_functiondef(p.oid), 'UTF8')), 'hex') END,
  CASE WHEN l.lanname = 'sql' AND p.oid >= ${FIRST_USER_OID} AND p.prosqlbody IS NULL AND p.proconfig IS NULL AND NOT p.prosecdef THEN p.prosrc END
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_language l ON l.oid = p.prolang`;

/** Functions that run when a relation is written (triggers, defaults, checks, indexes) or touched at all (row security), with why. */
export const RELATION_CODE = `SELECT t.tgrelid, t.tgfoid, 'trigger' FROM pg_catalog.pg_trigger t WHERE NOT t.tgisinternal
  UNION SELECT x.relation, d.refobjid, x.why FROM (
    SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass AS class, f.oid AS object, f.adrelid AS relation, 'default' AS why FROM pg_catalog.pg_attrdef f
    UNION ALL SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, k.conrelid, 'check' FROM pg_catalog.pg_constraint k WHERE k.conrelid <> 0
    UNION ALL SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid, p.polrelid, 'policy' FROM pg_catalog.pg_policy p
    UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, i.indrelid, 'index' FROM pg_catalog.pg_index i) x
  JOIN pg_catalog.pg_depend d ON d.classid = x.class AND d.objid = x.object AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass`;

export const OPERATORS = `SELECT o.oid, n.nspname, o.oprname, o.oprcode::pg_catalog.oid FROM pg_catalog.pg_operator o
  JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace WHERE o.oid >= ${FIRST_USER_OID} OR n.nspname <> 'pg_catalog'`;

export const TYPES = `SELECT t.oid, n.nspname, t.typname, t.typtype, t.typbasetype,
  CASE WHEN t.typcategory = 'A' THEN t.typelem ELSE 0 END, t.typrelid,
  t.typtype = 'd' AND EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_depend d
    ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = k.oid
    AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass WHERE k.contypid = t.oid AND d.refobjid >= ${FIRST_USER_OID})
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace`;

export const CAST_TYPES = `SELECT k.castsource, k.casttarget FROM pg_catalog.pg_cast k JOIN pg_catalog.pg_proc p ON p.oid = k.castfunc
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang WHERE p.oid >= ${FIRST_USER_OID} AND l.lanname NOT IN ('c', 'internal')`;

export const SEQUENCE_OWNERS = `SELECT d.objid, d.refobjid, a.attname FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
  JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')`;

export const ENCODING =
  'SELECT pg_catalog.pg_encoding_to_char(d.encoding) FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()';
