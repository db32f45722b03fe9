import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { readFacts, type StatementFacts } from './facts.ts';
import { loadParser, parseSql } from './parse.ts';

before(loadParser);

function factsOf(sql: string): StatementFacts {
  const parsed = parseSql(sql);
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.message);
  return readFacts(parsed.statements[0]?.stmt ?? {});
}

/** Relations as `role:schema.name`, in the order of the walk. */
const relations: readonly (readonly [string, readonly string[]])[] = [
  ['SELECT * FROM a, b.c', ['From:a', 'From:b.c']],
  ['SELECT * FROM (a JOIN b USING (x)) LEFT JOIN LATERAL (SELECT * FROM c) d ON true', ['From:a', 'From:b', 'From:c']],
  ['SELECT (SELECT 1 FROM a), EXISTS (SELECT FROM b), x IN (SELECT y FROM c) FROM d', ['From:a', 'From:b', 'From:c', 'From:d']],
  ['SELECT 1 FROM a ORDER BY (SELECT 1 FROM b) LIMIT (SELECT 1 FROM c)', ['From:a', 'From:b', 'From:c']],
  ['SELECT * FROM a UNION SELECT * FROM b EXCEPT TABLE c', ['From:a', 'From:b', 'From:c']],
  // A CTE hides a table of its name, but only where it can be seen.
  ['WITH a AS (SELECT 1) SELECT * FROM a', []],
  ['WITH a AS (SELECT 1) SELECT * FROM public.a', ['From:public.a']],
  ['WITH a AS (SELECT * FROM a) SELECT * FROM a', ['From:a']],
  ['WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT * FROM a) SELECT * FROM a', []],
  ['WITH x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x, y', ['From:y']],
  ['WITH RECURSIVE x AS (SELECT * FROM y), y AS (SELECT 1) SELECT * FROM x', []],
  ['(WITH a AS (SELECT 1) SELECT * FROM a) UNION SELECT * FROM a', ['From:a']],
  ['SELECT * FROM (WITH a AS (SELECT 1) SELECT * FROM a) s, a', ['From:a']],
  ['WITH a AS (WITH b AS (SELECT 1) SELECT * FROM b, c) SELECT * FROM a, b', ['From:c', 'From:b']],
  ['WITH a AS (SELECT 1) SELECT (SELECT count(*) FROM a), (WITH a AS (SELECT 2) SELECT 1 FROM a)', []],
  // The target of a change is never a CTE.
  ['WITH a AS (SELECT 1) INSERT INTO a SELECT * FROM a', ['Target:a']],
  ['WITH a AS (SELECT 1) UPDATE a SET x = 1 FROM a AS b', ['Target:a']],
  ['WITH a AS (DELETE FROM b RETURNING *) SELECT * FROM a', ['Target:b']],
  ['UPDATE a SET x = (SELECT y FROM b) FROM c WHERE EXISTS (SELECT FROM d)', ['Target:a', 'From:b', 'From:d', 'From:c']],
  ['DELETE FROM a USING b', ['Target:a', 'From:b']],
  ['MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE', ['Target:a', 'From:b']],
  ['INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET x = (SELECT 1 FROM b)', ['Target:a', 'From:b']],
  ['SELECT * FROM a FOR UPDATE OF a', ['From:a']],
  ['SELECT * INTO b FROM a', ['From:a', 'Create:b']],
  ['CREATE TABLE b AS SELECT * FROM a', ['From:a', 'Create:b']],
  ['CREATE TABLE b (x int REFERENCES c, LIKE d) INHERITS (e)', ['Create:b', 'Write:c', 'Write:d', 'Write:e']],
  ['CREATE VIEW v AS SELECT * FROM a', ['Create:v', 'From:a']],
  ['CREATE RULE r AS ON INSERT TO a DO ALSO DELETE FROM b', ['Write:a', 'Target:b']],
  ['EXPLAIN ANALYZE DELETE FROM a', ['Target:a']],
  ['PREPARE p AS SELECT * FROM a', ['From:a']],
  ['DECLARE c CURSOR FOR SELECT * FROM a', ['From:a']],
  ['COPY a TO STDOUT', ['CopyTo:a']],
  ['COPY a FROM STDIN', ['CopyFrom:a']],
  ['COPY (SELECT * FROM a) TO STDOUT', ['From:a']],
  ['TRUNCATE a, b', ['Write:a', 'Write:b']],
  ['LOCK TABLE a', ['Read:a']],
  ['ALTER TABLE a ATTACH PARTITION b DEFAULT', ['Write:a', 'Write:b']],
  ['GRANT SELECT ON a TO x', ['Write:a']],
];

for (const [sql, expected] of relations) {
  test(`relations of ${sql}`, () => {
    const found = factsOf(sql).relations.map((fact) => `${fact.role}:${fact.schema === '' ? '' : `${fact.schema}.`}${fact.name}`);
    assert.deepEqual([...found].sort(), [...expected].sort());
  });
}

/** Kind of the outermost, then all kinds, then what else is true. */
const kinds: readonly (readonly [string, string, string])[] = [
  ['SELECT 1', 'Select', ''],
  ['VALUES (1)', 'Select', ''],
  ['INSERT INTO a VALUES (1)', 'Insert', ''],
  ['INSERT INTO a SELECT 1', 'Insert Select', ''],
  ['WITH x AS (DELETE FROM a RETURNING 1) SELECT * FROM x', 'Select Delete', 'missingWhere'],
  ['COPY (DELETE FROM a RETURNING 1) TO STDOUT', 'CopyTo Delete', 'missingWhere'],
  ['EXPLAIN UPDATE a SET x = 1', 'Explain Update', 'missingWhere'],
  ['UPDATE a SET x = 1 WHERE y = 2', 'Update', ''],
  ['UPDATE a SET x = 1 WHERE true', 'Update', 'missingWhere'],
  ['DELETE FROM a WHERE 1 = 1', 'Delete', 'missingWhere'],
  ['DELETE FROM a WHERE n = n', 'Delete', 'missingWhere'],
  ['DELETE FROM a WHERE n = 1 OR true', 'Delete', 'missingWhere'],
  ['DELETE FROM a WHERE n = 1 AND true', 'Delete', ''],
  ['DELETE FROM a WHERE CURRENT OF c', 'Delete', ''],
  ['MERGE INTO a USING b ON true WHEN MATCHED THEN DELETE', 'Merge', 'missingWhere'],
  ['MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DELETE', 'Merge', ''],
  ['TRUNCATE a', 'Truncate', 'missingWhere'],
  ['TRUNCATE a CASCADE', 'Truncate', 'missingWhere opaque'],
  ['SELECT * FROM a FOR SHARE', 'Select', 'locking'],
  ['SELECT * INTO b FROM a', 'Create', ''],
  ['CREATE TABLE b AS SELECT 1', 'Create Select', ''],
  ['DROP TABLE a', 'Drop', ''],
  ['DROP TABLE a CASCADE', 'Drop', 'opaque'],
  ['DROP SCHEMA a', 'Drop', 'opaque'],
  ['DROP FUNCTION f', 'Drop', 'opaque'],
  ['GRANT SELECT ON a TO x', 'Grant', ''],
  ['REVOKE x FROM y', 'Revoke', 'opaque'],
  ['ALTER TABLE a ADD b int', 'Alter', ''],
  ['ALTER TABLE a RENAME TO b', 'Alter', ''],
  ['ALTER ROLE x SUPERUSER', 'Alter', 'opaque'],
  ['COMMENT ON TABLE a IS NULL', 'Comment', 'opaque'],
  ["COPY a TO '/tmp/x'", 'CopyTo Other', 'serverFile opaque'],
  ["COPY a FROM PROGRAM 'x'", 'CopyFrom Other', 'serverFile opaque'],
  ['DO $$ BEGIN END $$', 'Do', 'opaque'],
  ['CALL f()', 'Call', 'opaque'],
  ['LISTEN x', 'Listen', 'opaque'],
  ["LOAD 'x'", 'Other', 'opaque'],
  ['VACUUM', 'Maintenance', 'opaque'],
  ['VACUUM a', 'Maintenance', ''],
  ['BEGIN', 'Transaction', ''],
  ['SET x.y = 1', 'Set', ''],
  ['SHOW ALL', 'Show', ''],
  ['FETCH 1 FROM c', 'Cursor', ''],
  ['DEALLOCATE ALL', 'Deallocate', ''],
  ['LOCK TABLE a', 'Lock', ''],
  [
    "SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS (a int PATH '$.a' DEFAULT 1 ON ERROR, NESTED PATH '$.b' COLUMNS (c text))) j",
    'Select',
    '',
  ],
  [
    "SELECT JSON_OBJECT('a': 1 ABSENT ON NULL RETURNING jsonb), JSON_ARRAYAGG(x ORDER BY y) FILTER (WHERE z) OVER w FROM a WINDOW w AS ()",
    'Select',
    '',
  ],
  [
    'SELECT XMLELEMENT(NAME a, XMLATTRIBUTES(b AS c)), x IS JSON, (y).z[1:2], ARRAY[1], ROW(1, 2) FROM a GROUP BY CUBE (b, (c, d))',
    'Select',
    '',
  ],
  [
    "SELECT * FROM XMLTABLE('/a' PASSING x COLUMNS b int PATH 'b'), ROWS FROM (f(1), g(2)) WITH ORDINALITY, a TABLESAMPLE system (1)",
    'Select',
    '',
  ],
];

for (const [sql, expected, flags] of kinds) {
  test(`kinds of ${sql}`, () => {
    const facts = factsOf(sql);
    const found = [
      facts.missingWhere && 'missingWhere',
      facts.locking && 'locking',
      facts.serverFile && 'serverFile',
      facts.opaque.length > 0 && 'opaque',
    ];
    assert.equal(facts.kinds.join(' '), expected);
    assert.equal(facts.kind, expected.split(' ')[0]);
    assert.equal(found.filter((flag) => flag !== false).join(' '), flags);
    assert.deepEqual(facts.unknown, []);
  });
}

test('functions, operators and types are named as written', () => {
  const facts = factsOf(
    "SELECT lower(a), s.f(b), x OPERATOR(s.+) y, a BETWEEN 1 AND 2, c::s.t, d::int[], JSON_VALUE(e, '$'), x = ANY (SELECT 1) FROM g(1) ORDER BY a USING <",
  );
  assert.deepEqual(
    facts.functions.map((item) => [item.schema, item.name, item.syntax]),
    [
      ['', 'lower', false],
      ['s', 'f', false],
      ['', 'json_value', true],
      ['', 'g', false],
    ],
  );
  assert.deepEqual(new Set(facts.operators.map((item) => `${item.schema}.${item.name}`)), new Set(['s.+', '.<', '.<=', '.>=', '.>', '.=']));
  assert.deepEqual(
    facts.types.map((item) => `${item.schema}.${item.name}`),
    ['s.t', 'pg_catalog.int4'],
  );
});

test('a node that is not known is named, and makes the statement Other', () => {
  const facts = readFacts({ SelectStmt: { targetList: [{ FutureExpr: { arg: 1 } }], futureClause: { some: 'thing' } } });
  assert.deepEqual(facts.unknown, ['FutureExpr', 'SelectStmt.futureClause']);
  assert.ok(facts.kinds.includes('Other'));
});
