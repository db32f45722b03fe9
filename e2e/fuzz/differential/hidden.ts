/** What writes by ways that a text does not show, and every way to it that we thought of; chance makes more of these. */
export const HIDDEN_WRITES = `
CREATE SEQUENCE counter;
CREATE FUNCTION writes() RETURNS int LANGUAGE sql VOLATILE AS 'INSERT INTO public.scratch VALUES (1, NULL) RETURNING 1';
CREATE FUNCTION counts(int) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT nextval(''public.counter'') + $1';
CREATE FUNCTION counts_of(int, int) RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT public.counts($1 + $2)';
CREATE OPERATOR ### (LEFTARG = int, RIGHTARG = int, FUNCTION = counts_of);
CREATE FUNCTION adds_of(int, int) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT public.counts($1)::int + $2';
CREATE AGGREGATE adds(int) (SFUNC = adds_of, STYPE = int, INITCOND = '0');
CREATE VIEW v_writes AS SELECT public.writes() AS w;
CREATE VIEW v_behind AS SELECT w + 1 AS w FROM v_writes;
CREATE VIEW v_counts AS SELECT nextval('public.counter') AS n;
CREATE VIEW v_operator AS SELECT 1 OPERATOR(public.###) 2 AS n;
CREATE VIEW v_locks AS SELECT * FROM orders FOR UPDATE;
CREATE TYPE odd AS (x int);
CREATE FUNCTION to_odd(int) RETURNS odd LANGUAGE sql VOLATILE AS 'SELECT ROW(public.writes())::public.odd';
CREATE CAST (int AS odd) WITH FUNCTION to_odd(int);
CREATE FUNCTION is_counted(int) RETURNS bool LANGUAGE sql VOLATILE AS 'SELECT public.writes() > $1 - 1';
CREATE DOMAIN counted AS int CHECK (public.is_counted(VALUE));
CREATE FUNCTION lower(varchar) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT public.writes()::text';
CREATE DOMAIN deeper AS counted;
CREATE TYPE holder AS (x int, y deeper);
CREATE TABLE holders (x int, y deeper);
CREATE TABLE odds (o odd, n int);
CREATE FUNCTION of_odd(odd) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT public.writes()';
CREATE CAST (odd AS int) WITH FUNCTION of_odd(odd) AS IMPLICIT;
CREATE VIEW v_cast AS SELECT o + 1 AS n FROM odds;
CREATE FUNCTION computed(orders) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT public.writes()';
CREATE TABLE guarded (n int);
INSERT INTO guarded VALUES (1);
INSERT INTO odds VALUES (ROW(1), 1);
CREATE POLICY looks ON guarded USING (public.writes() > 0);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
CREATE VIEW v_guarded WITH (security_invoker = true) AS SELECT n FROM guarded;
CREATE FUNCTION total(orders) RETURNS int LANGUAGE sql VOLATILE AS 'SELECT public.writes()';
CREATE RULE also AS ON UPDATE TO employees DO ALSO DELETE FROM scratch;
CREATE RULE looks AS ON INSERT TO employees DO INSTEAD SELECT 1;
`;

/** A line each. */
export const WAYS: readonly string[] = String.raw`
SELECT writes()
SELECT * FROM writes()
SELECT counts(1)
SELECT 1 ### 2
SELECT 1 OPERATOR(public.###) 2
SELECT adds(id) FROM orders
SELECT adds(id) OVER () FROM orders
TABLE v_writes
SELECT * FROM v_behind
SELECT n FROM v_counts
TABLE v_operator
SELECT * FROM v_locks
SELECT 1::odd
SELECT CAST(1 AS odd)
SELECT 1::counted
SELECT 1::deeper
SELECT '{1}'::counted[]
SELECT ROW(1, 2)::holder
SELECT '(1,2)'::holder
SELECT o + 1 FROM odds
SELECT o::int FROM odds
SELECT * FROM odds WHERE o = 1
SELECT n FROM v_cast
SELECT jsonb_populate_record(NULL::holder, '{"y":1}')
SELECT * FROM jsonb_to_record('{"y":1}') AS x(y counted)
SELECT * FROM json_to_recordset('[{"y":1}]') AS x(y deeper)
SELECT jsonb_populate_record(h, '{"y":1}') FROM holders h
SELECT lower(full_name::varchar) FROM customers
SELECT o.computed FROM orders o
SELECT (o).computed FROM orders o
SELECT (o.*).computed FROM orders o
SELECT computed(o) FROM orders o
SELECT computed FROM orders
SELECT * FROM guarded
SELECT count(*) FROM guarded
SELECT count(*) FROM v_guarded
SELECT nextval('counter')
SELECT setval('counter', 5)
SELECT lo_create(0)
SELECT lo_from_bytea(0, 'x')
SELECT query_to_xml('SELECT writes()', true, true, '')
SELECT table_to_xml('v_writes', true, true, '')
SELECT * FROM ts_stat('SELECT to_tsvector(writes()::text)')
SELECT * FROM orders FOR UPDATE
SELECT * FROM orders FOR KEY SHARE
SELECT * FROM (SELECT * FROM orders FOR SHARE) o
WITH o AS (SELECT * FROM orders FOR NO KEY UPDATE) SELECT * FROM o
EXPLAIN ANALYZE SELECT writes()
EXPLAIN SELECT writes()
EXPLAIN ANALYZE DELETE FROM orders
EXPLAIN (ANALYZE on) CREATE TABLE made AS SELECT 1
DECLARE c CURSOR FOR SELECT writes()
DECLARE c CURSOR WITH HOLD FOR SELECT writes()
PREPARE p AS SELECT writes()
CREATE TEMP TABLE t AS SELECT 1
SELECT 1 INTO t
COPY (SELECT writes()) TO STDOUT
COPY (DELETE FROM orders RETURNING 1) TO STDOUT
COPY odds TO STDOUT
VALUES (writes())
WITH w AS (DELETE FROM orders RETURNING 1) SELECT 1
SELECT CASE WHEN writes() > 0 THEN 1 END
SELECT COALESCE(NULL, writes())
SELECT (SELECT writes())
SELECT ARRAY(SELECT writes())
SELECT 1 LIMIT writes()
SELECT 1 OFFSET writes()
SELECT count(*) FILTER (WHERE writes() = 1) FROM orders
SELECT string_agg('x', ',' ORDER BY writes())
SELECT 1 ORDER BY writes()
SELECT 1 GROUP BY writes()
SELECT 1 HAVING writes() > 0
SELECT DISTINCT ON (writes()) 1
SELECT sum(1) OVER (ORDER BY writes())
SELECT sum(1) OVER w FROM orders WINDOW w AS (PARTITION BY writes())
SELECT sum(1) OVER (ORDER BY 1 ROWS writes() PRECEDING)
SELECT * FROM orders TABLESAMPLE BERNOULLI (writes())
SELECT * FROM orders o JOIN LATERAL (SELECT writes()) w ON true
SELECT * FROM orders o JOIN orders p ON writes() > 0
SELECT * FROM ROWS FROM (writes(), counts(1))
SELECT * FROM xmltable('/a' PASSING xmlelement(name a, writes()) COLUMNS b text PATH '.')
SELECT XMLFOREST(writes() AS w)
SELECT '{1}'::int[] = ARRAY[writes()]
SELECT ROW(writes()) IS NULL
SELECT (ARRAY[1])[writes()]
SELECT 1 WHERE 1 IN (writes())
SELECT 1 WHERE 1 BETWEEN 0 AND writes()
SELECT 1 UNION SELECT writes()
WITH RECURSIVE r(n) AS (SELECT writes() UNION ALL SELECT n + 1 FROM r WHERE n < 2) SELECT * FROM r
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + writes() FROM r WHERE n < 2) CYCLE n SET c USING p SELECT * FROM r
INSERT INTO employees VALUES (1)
INSERT INTO holders VALUES (1, 1)
LISTEN c
NOTIFY c, 'x'
SELECT pg_notify('c', 'x')
LOCK TABLE orders
DISCARD TEMP
SET CONSTRAINTS ALL DEFERRED
REFRESH MATERIALIZED VIEW mv_cards
ANALYZE orders
SELECT pg_current_xact_id()
SELECT txid_current()
`
  .trim()
  .split('\n');
