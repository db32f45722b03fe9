/** Every example of our kinds is valid, and means what its README says. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Io } from '#cli/io.ts';
import { runCli } from '#cli/program.ts';

const folder = (name: string) => fileURLToPath(new URL(name, import.meta.url));
const HELD = 4;
const DENIED = 3;

async function chaperone(...args: string[]): Promise<{ code: number; said: string }> {
  const out = new PassThrough();
  const io: Io = {
    stdin: new PassThrough(),
    stdout: out,
    stderr: out,
    color: { stdout: false, stderr: false },
    now: Date.now,
    onStop() {},
  };
  const code = await runCli(args, io);
  return { code, said: String(out.read() ?? '') };
}

for (const name of [...readdirSync(folder('.'), { withFileTypes: true })]
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)) {
  it(`${name} is valid`, async () => {
    const { code, said } = await chaperone('validate', folder(name === 'gitops' ? 'gitops/policies' : name));
    assert.equal(code, 0, said);
    assert.match(said, /[1-9]\d* objects, all valid\n$/);
  });
}

const WEEKDAY = '2026-11-25T10:00:00Z';
const NIGHT = '2026-11-25T23:00:00Z';

const CASES: readonly (readonly [example: string, workload: string, resource: string, ...action: readonly string[]])[] = [
  ['kubernetes-quickstart', 'shop/agent', 'shop/shop-db'],
  ['gitops/policies', 'reports/nightly', 'warehouse/warehouse-db'],
  ['ai-agent-with-approval', 'assistants/support-assistant', 'crm/crm-db'],
  ['tokens-for-analytics', 'analytics/analyst-agent', 'analytics/warehouse'],
];
const SQL: readonly (readonly [example: number, sql: string, code: number])[] = [
  [0, 'SELECT id, full_name, email FROM customers', 0],
  [0, "UPDATE orders SET status = 'refunded' WHERE id = 2", HELD],
  [0, 'DROP TABLE orders', DENIED],
  [0, 'INSERT INTO orders VALUES (3, 1)', DENIED],
  [1, 'SELECT count(*) FROM stock', 0],
  [1, 'UPDATE stock SET count = 4 WHERE id = 1', HELD],
  [1, 'UPDATE suppliers SET name = name WHERE id = 1', DENIED],
  [2, 'SELECT name, email FROM contacts WHERE id = 7', 0],
  [2, "UPDATE tickets SET state = 'closed' WHERE id = 7", HELD],
  [2, "UPDATE contacts SET name = 'x' WHERE id = 7", DENIED],
  [2, 'DELETE FROM tickets WHERE id = 7', DENIED],
  [3, 'SELECT email, count(*) FROM customers GROUP BY email', 0],
  [3, "UPDATE customers SET email = 'x'", DENIED],
];

describe('what the examples let through', () => {
  for (const [index, sql, code] of SQL) {
    const [example = '', workload = '', resource = ''] = CASES[index] ?? [];
    it(`${example}: ${sql}`, async () => {
      const args = ['--manifests', folder(example), '--workload', workload, '--resource', resource, '--sql', sql];
      const result = await chaperone('simulate', ...args);
      assert.equal(result.code, code, result.said);
    });
  }

  const ci = ['--manifests', folder('least-privilege-ci-agent'), '--workload', 'ci/migrate'];
  for (const [what, code, ...action] of [
    ['a table', 0, '--sql', 'CREATE TABLE app.shelves (id int PRIMARY KEY)', '--at', WEEKDAY],
    ['a table, at night', DENIED, '--sql', 'CREATE TABLE app.shelves (id int PRIMARY KEY)', '--at', NIGHT],
    ['a table in another schema', DENIED, '--sql', 'CREATE TABLE public.shelves (id int PRIMARY KEY)', '--at', WEEKDAY],
    ['a table made of rows', DENIED, '--sql', 'CREATE TABLE app.copy AS SELECT * FROM app.items', '--at', WEEKDAY],
    ['what was migrated', 0, '--sql', 'SELECT version FROM app.schema_migrations', '--at', WEEKDAY],
    ['other rows', DENIED, '--sql', 'SELECT * FROM app.items', '--at', WEEKDAY],
    ['a drop', HELD, '--sql', 'DROP TABLE app.shelves', '--at', WEEKDAY],
    ['a grant', DENIED, '--sql', 'GRANT SELECT ON app.items TO public', '--at', WEEKDAY],
  ] as const) {
    it(`least-privilege-ci-agent: ${what}`, async () => {
      const result = await chaperone('simulate', ...ci, '--resource', 'inventory/inventory-db', ...action);
      assert.equal(result.code, code, result.said);
    });
  }
  for (const [method, path, code] of [
    ['POST', '/v1/deployments/inventory', 0],
    ['GET', '/v1/deployments/inventory/41', 0],
    ['POST', '/v1/deployments/billing', DENIED],
    ['DELETE', '/v1/deployments/inventory', DENIED],
  ] as const) {
    it(`least-privilege-ci-agent: ${method} ${path}`, async () => {
      const result = await chaperone('simulate', ...ci, '--resource', 'deployments/deploy-api', '--method', method, '--path', path);
      assert.equal(result.code, code, result.said);
    });
  }
});
