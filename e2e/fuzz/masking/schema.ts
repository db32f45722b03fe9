/** The corpora's schema, and beside it a relation with masked columns of many types and views of many forms. */

/** Run as `app` in both twins. */
export const MORE_SCHEMA = `
UPDATE orders SET memo = 'call at noon' WHERE id = 11;
CREATE TYPE mood AS ENUM ('calm', 'loud', 'odd');
CREATE TYPE pair AS (x int, y text);
CREATE DOMAIN code AS varchar(12) CHECK (length(VALUE) > 2);
CREATE TABLE vault (id int PRIMARY KEY, label text NOT NULL, born date, at timestamptz, flag bool, level mood, n int, big bigint, f float8,
  money numeric(12, 2), tags text[], nums int[], span int4range, addr inet, doc json, note varchar(20), fixed char(8), pin code, pair pair, kv hstore,
  ci citext, uid uuid, bits bit(4), geo point, dur interval);
INSERT INTO vault VALUES
  (1, 'one', '1961-02-03', '2001-02-03 04:05:06+00', true, 'calm', 41111, 8111111111, 0.5111, 4111.25, '{VAULT-TAG-A,x}', '{71111,2}', '[51111,51120)',
   '10.61.1.11', '{"k":"VAULT-DOC-A"}', 'VAULT-NOTE-A', 'VAULTFXA', 'VAULT-PIN-A', '(31111,VAULT-PAIR-A)', 'k=>VAULT-KV-A', 'VAULT-CI-A',
   'aaaaaaaa-1111-4111-8111-111111111111', '1010', '(61,11)', '41 days'),
  (2, 'two', NULL, '2002-02-03 04:05:06+00', false, 'loud', NULL, 8222222222, 1.5222, 4222.25, '{VAULT-TAG-B}', '{72222}', '[52222,52230)',
   '10.62.2.22', '{"k":"VAULT-DOC-B"}', 'VAULT-NOTE-B', 'VAULTFXB', 'VAULT-PIN-B', '(32222,VAULT-PAIR-B)', 'k=>VAULT-KV-B', 'VAULT-CI-B',
   'bbbbbbbb-2222-4222-8222-222222222222', '0101', '(62,22)', '42 days');
CREATE TABLE vault_old (extra int) INHERITS (vault);
INSERT INTO vault_old (id, label, n, note, extra) VALUES (3, 'old', 43333, 'VAULT-NOTE-C', 9);
CREATE VIEW v_join AS SELECT c.id, c.full_name, o.memo, c.email AS reach, e.salary FROM customers c JOIN orders o ON o.customer_id = c.id LEFT JOIN employees e ON e.id = c.id;
CREATE VIEW v_union AS SELECT id, ssn AS a FROM customers UNION ALL SELECT id, card_number FROM payments;
CREATE VIEW v_group AS SELECT dept, sum(salary) AS total, count(*) AS n FROM employees GROUP BY dept;
CREATE VIEW v_nested AS SELECT v.id, v.tax_ref || '?' AS quoted, (SELECT max(w.reach) FROM v_contact w WHERE w.id <= v.id) AS best FROM v_contact v;
CREATE VIEW v_cte AS WITH RECURSIVE r(n, t) AS (SELECT 1, min(ssn) FROM customers UNION ALL SELECT n + 1, t FROM r WHERE n < 3) SELECT * FROM r;
CREATE VIEW v_window AS SELECT id, row_number() OVER (ORDER BY salary) AS place, lag(salary) OVER (ORDER BY id) AS other FROM employees;
CREATE VIEW v_vault AS SELECT v.id, v.label, (v.pair).y AS why, v.tags[1] AS tag, v.doc ->> 'k' AS k, v AS whole FROM vault v;
CREATE VIEW v_orders AS SELECT o.id, upper(o.memo) AS memo, p.amount FROM orders o LEFT JOIN payments p ON p.id = o.id;
`;

/** Other secrets, of other lengths, other repetitions and other NULLs; nothing else differs between the twins. */
export const OTHER_SECRETS = `
UPDATE customers SET email = CASE id WHEN 1 THEN 'e@corpus.example' WHEN 2 THEN 'otto.falcon.the.second@corpus.example' ELSE 'maë@corpus.example' END,
  ssn = CASE id WHEN 1 THEN '9-536-22-8726' WHEN 2 THEN '1408' ELSE '662-41-7075' END,
  card_number = CASE id WHEN 1 THEN '6011111111111117' WHEN 2 THEN '6011111111111117' ELSE '4012888888881881' END,
  notes = CASE id WHEN 1 THEN '["PIN-2287-HB"]' WHEN 2 THEN '{"pin":"PIN-6650-WJ-LONG","tear":"blue"}' ELSE '"PIN-3141-TC"' END::jsonb,
  avatar = CASE id WHEN 1 THEN 'HIDDEN-AVATAR-UNO-WITH-MORE' WHEN 2 THEN '' ELSE 'HIDDEN' END::bytea;
UPDATE employees SET salary = CASE id WHEN 1 THEN 7 WHEN 2 THEN 916420833 ELSE 916420833 END;
UPDATE payments SET card_number = CASE id WHEN 100 THEN 'HIDDEN-CARD' ELSE 'HIDDEN-CARD' END;
UPDATE vault SET born = CASE id WHEN 1 THEN NULL ELSE '1999-09-09'::date END, at = '2020-12-12', flag = NOT flag, level = 'odd', n = 7, big = -9, f = 'NaN', money = 0.01,
  tags = '{HIDDEN,HIDDEN,HIDDEN}', nums = '{}', span = 'empty', addr = 'fe80::1', doc = '["HIDDEN-DOC"]', note = NULL, fixed = 'H', pin = 'HIDDEN', pair = NULL, kv = 'z=>HIDDEN',
  ci = 'hidden', uid = 'cccccccc-3333-4333-8333-333333333333', bits = '0000', geo = '(-1,-1)', dur = '-3 years';
REFRESH MATERIALIZED VIEW mv_cards;
VACUUM FULL customers; VACUUM FULL employees; VACUUM FULL payments_2024; VACUUM FULL payments_2025; VACUUM FULL vault; VACUUM FULL vault_old;
ANALYZE;
`;

/** What no answer may hold: the secrets of the one and of the other twin. */
export const SECRETS: readonly string[] = [
  ...[
    '078-05-1120',
    '219-09-9999',
    '457-55-5462',
    '4111111111111111',
    '5500005555555559',
    '6011000990139424',
    'kestrel@',
    'osprey@',
    'wren@',
  ],
  ...['PIN-7731', 'PIN-4402', 'PIN-9915', 'DX-ALPHA', 'DX-BRAVO', 'DX-DELTA', 'SECRET-AVATAR', '187345.67', '93210.45', '141592.65'],
  ...[
    '536-22-8726',
    '662-41-7075',
    '6011111111111117',
    '4012888888881881',
    'e@corpus',
    'falcon',
    'maë@',
    'PIN-2287',
    'PIN-6650',
    'PIN-3141',
  ],
  ...[
    'HIDDEN',
    '916420833',
    'VAULT-',
    'VAULTFX',
    '8111111111',
    '8222222222',
    '4111.25',
    '4222.25',
    '10.61.1.11',
    'aaaaaaaa-1111',
    'cccccccc-3333',
  ],
];
export const SECRETS_HEX: readonly string[] = ['SECRET-AVATAR', 'HIDDEN', 'VAULT-', '078-05-1120'].map((text) =>
  Buffer.from(Buffer.from(text).toString('hex')).toString('hex'),
);

const VAULT = 'born at flag level n big f money tags nums span addr doc note fixed pin pair kv ci uid bits geo dur'.split(' ');
/** Of the policy: the reference policy's, and the vault's. */
export const MASKED_COLUMNS: readonly string[] = [
  ...['email', 'ssn', 'card_number', 'notes', 'avatar'].map((name) => `public.customers.${name}`),
  'public.employees.salary',
  'public.payments.card_number',
  ...VAULT.map((name) => `public.vault.${name}`),
];

export type Kind = 'int' | 'text' | 'numeric' | 'json' | 'bytes' | 'time' | 'bool' | 'row' | 'list' | 'other';
export interface GrammarColumn {
  readonly name: string;
  readonly kind: Kind;
}
export interface GrammarRelation {
  readonly name: string;
  readonly columns: readonly GrammarColumn[];
}

const relation = (name: string, columns: string): GrammarRelation => ({
  name,
  columns: columns.split(' ').map((column) => {
    const [of = '', kind = 'text'] = column.split(':');
    return { name: of, kind: kind as Kind };
  }),
});

const VAULT_COLUMNS =
  'id:int label born:time at:time flag:bool level n:int big:int f:numeric money:numeric tags:list nums:list span:other addr:other doc:json note fixed pin pair:row kv:other ci uid bits:other geo:other dur:time';

export const RELATIONS: readonly GrammarRelation[] = [
  relation('customers', 'id:int full_name email ssn card_number notes:json avatar:bytes created_at:time'),
  relation('public.customers', 'id:int full_name email ssn card_number notes:json avatar:bytes created_at:time'),
  relation('orders', 'id:int customer_id:int total:numeric memo placed_at:time'),
  relation('employees', 'id:int name dept salary:numeric'),
  relation('payments', 'id:int customer_id:int card_number amount:numeric paid_on:time'),
  relation('payments_2024', 'id:int customer_id:int card_number amount:numeric paid_on:time'),
  relation('vault', VAULT_COLUMNS),
  relation('vault_old', `${VAULT_COLUMNS} extra:int`),
  relation('v_contact', 'id:int label tax_ref reach'),
  relation('v_whole', 'id:int rec:row'),
  relation('v_safe', 'id:int full_name'),
  relation('mv_cards', 'customer_id:int pan'),
  relation('v_join', 'id:int full_name memo reach salary:numeric'),
  relation('v_union', 'id:int a'),
  relation('v_group', 'dept total:numeric n:int'),
  relation('v_nested', 'id:int quoted best'),
  relation('v_cte', 'n:int t'),
  relation('v_window', 'id:int place:int other:numeric'),
  relation('v_vault', 'id:int label why tag k whole:row'),
  relation('v_contact', 'id:int label tax_ref reach'),
  relation('customers', 'id:int full_name email ssn card_number notes:json avatar:bytes created_at:time'),
  relation('v_vault', 'id:int label why tag k whole:row'),
  relation('v_orders', 'id:int memo amount:numeric'),
];
