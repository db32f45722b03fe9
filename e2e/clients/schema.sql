CREATE TABLE customers (
  id int PRIMARY KEY, name text NOT NULL, email text, card text, ssn text, born date, credit numeric(12, 2), tags text[], extra jsonb, photo bytea, since timestamptz
);
INSERT INTO customers VALUES
  (1, 'Ada Lovelace', 'ada@example.com', '4111111111111111', '078-05-1120', '1815-12-10', 1234.50, '{math,"first, of all"}', '{"a": [1, 2, null]}', '\x00ff5c27', '2024-02-29 12:34:56.789+00'),
  (2, 'Zoë Ängström', 'zoe@example.org', '5500005555555559', '219-09-9999', NULL, -0.01, '{}', 'null', '\x', 'infinity'),
  (3, 'O''Hara; -- DROP', NULL, NULL, NULL, '2000-01-01', NULL, NULL, NULL, NULL, NULL);
CREATE TABLE orders (id serial PRIMARY KEY, customer int REFERENCES customers, amount int CHECK (amount > 0), note text);
INSERT INTO orders (customer, amount, note) SELECT 1 + i % 3, i, repeat('x', i % 50) FROM generate_series(1, 200) AS i;
CREATE VIEW totals AS SELECT c.id, c.name, sum(o.amount) AS total FROM customers c JOIN orders o ON o.customer = c.id GROUP BY c.id;
