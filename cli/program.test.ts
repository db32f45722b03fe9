import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { decodeJwt } from 'jose';
import { chaperone } from './testing.ts';

const root = mkdtempSync(join(tmpdir(), 'cli-'));
after(() => rmSync(root, { recursive: true }));
const quickstart = ['--manifests', 'examples/quickstart', '--workload', 'shop/agent'];
const simulate = (...args: string[]) => chaperone(['simulate', ...quickstart, ...args]);

test('--version tells version and commit', async () => {
  const { code, stdout } = await chaperone(['--version']);
  assert.equal(code, 0);
  assert.match(stdout, /^chaperone \d+\.\d+\.\d+ \(([0-9a-f]{12}\+?|dev)\)\n$/);
});

const commands = [
  'run',
  'token',
  'simulate',
  'validate',
  'compile',
  'doctor',
  'sessions ls',
  'sessions show',
  'sessions replay',
  'sessions verify',
  'approvals ls',
  'approvals approve',
  'approvals deny',
];
for (const command of commands) {
  test(`${command} --help has examples that its own options understand`, async () => {
    const { code, stdout } = await chaperone([...command.split(' '), '--help']);
    assert.equal(code, 0);
    assert.match(stdout, /Examples:\n {2}\$ chaperone /);
    assert.match(stdout, /-o, --output/);
    const used = [...(stdout.split('Examples:')[1] ?? '').matchAll(/ (--[a-z-]+)/g)].map(([, option]) => option);
    assert.deepEqual(
      used.filter((option) => !stdout.split('Examples:')[0]?.includes(option ?? '')),
      [],
    );
  });
}

const misuse: readonly (readonly string[])[] = [
  [],
  ['nonsense'],
  ['run'],
  ['run', '--manifests'],
  ['run', '--manifests', 'examples/quickstart', '--listen', 'shop-db'],
  ['run', '--manifests', 'examples/quickstart', '--listen', 'nobody=127.0.0.1:0'],
  ['run', '--manifests', 'examples/quickstart', '--listen', 'shop-db=127.0.0.1:0', '--listen', 'shop-db=127.0.0.1:1'],
  ['run', '--manifests', 'examples/quickstart', '--workload', 'agent'],
  ['run', '--manifests', 'examples/quickstart', '--tls-cert', 'x'],
  ['run', '--manifests', 'examples/quickstart', '--metrics-port', '70000'],
  ['run', '--manifests', 'examples/quickstart', '--issuers', '/none'],
  ['token', '--subject', 'a\u0007'],
  ['token', '--subject', 'a', '--ttl', '1y'],
  ['token', '--subject', 'a', '--ttl', '900d'],
  ['token', '--subject', 'a', '--claim', 'x'],
  ['validate'],
  ['validate', 'x', '-o', 'xml'],
  ['approvals', 'ls', '--token-file', '-', '--namespace', 'shop'],
  ['approvals', 'approve', '../status', '--token-file', '-'],
  ['simulate', ...quickstart, '--resource', 'none', '--sql', 'SELECT 1'],
  ['simulate', ...quickstart, '--resource', 'shop-db'],
  ['simulate', ...quickstart, '--resource', 'billing-api'],
  ['simulate', ...quickstart, '--resource', 'billing-api', '--path', '/a/../b'],
  ['simulate', ...quickstart, '--resource', 'shop-db', '--sql', 'SELECT 1', '--group', 'sre'],
  ['simulate', ...quickstart, '--resource', 'shop-db', '--sql', 'SELECT 1', '--at', 'noon'],
];
for (const args of misuse) {
  test(`wrong use ends with 2 and no stack trace: ${args.join(' ')}`, async () => {
    const { code, stdout, stderr } = await chaperone(args);
    assert.equal(code, 2, stderr);
    assert.equal(stdout, '');
    assert.ok(stderr.length > 0 && !/\n\s+at /.test(stderr), stderr);
  });
}

test('a token is for its subject, its groups and an hour, and the state folder makes its key', async () => {
  const state = join(root, 'token');
  const { code, stdout } = await chaperone([
    'token',
    '--subject',
    'alice',
    '--group',
    'sre',
    '--group',
    'dev',
    '--claim',
    'team=a=b',
    '--state',
    state,
  ]);
  assert.equal(code, 0);
  const { iss, aud, sub, groups, team, exp = 0, iat = 0 } = decodeJwt(stdout.trim());
  assert.deepEqual([iss, aud, sub, groups, team, exp - iat], ['chaperone-local', 'chaperone', 'alice', ['sre', 'dev'], 'a=b', 3600]);
  const json = JSON.parse((await chaperone(['token', '--subject', 'bob', '--ttl', '90s', '--state', state, '-o', 'json'])).stdout);
  assert.deepEqual([json.subject, decodeJwt(json.token).sub], ['bob', 'bob']);
});

test('a reserved claim is one line on stderr', async () => {
  const ran = await chaperone(['token', '--subject', 'alice', '--claim', 'sub=root', '--state', join(root, 'token')]);
  assert.deepEqual(ran, { code: 1, stdout: '', stderr: "the claim sub can't be set\n" });
});

const verdicts: readonly [number, string, readonly string[]][] = [
  [0, 'Allow', ['--resource', 'shop-db', '--sql', 'SELECT id FROM customers']],
  [0, 'Allow', ['--resource', 'shop/shop-db', '--as', 'alice', '--group', 'sre', '--sql', 'select lower(email) from public.customers']],
  [3, 'Deny', ['--resource', 'shop-db', '--sql', 'DROP TABLE customers']],
  [3, 'Deny', ['--resource', 'shop-db', '--sql', 'SELECT 1; DROP TABLE customers']],
  [3, 'Deny', ['--resource', 'shop-db', '--sql', 'SELECT id FROM customers FOR UPDATE']],
  [3, 'Deny', ['--resource', 'shop-db', '--sql', 'SELECT * FROM audit.log']],
  [4, 'Hold', ['--resource', 'shop-db', '--sql', "UPDATE orders SET status = 'x' WHERE id = 1"]],
  [3, 'Deny', ['--resource', 'shop-db', '--sql', 'UPDATE orders SET status = 1']],
  [0, 'Allow', ['--resource', 'billing-api', '--path', '/v1/invoices/7?page=2']],
  [4, 'Hold', ['--resource', 'billing-api', '--method', 'post', '--path', '/v1/refunds']],
  [3, 'Deny', ['--resource', 'billing-api', '--method', 'DELETE', '--path', '/v1/invoices/7']],
];
for (const [code, decision, args] of verdicts) {
  test(`simulate: ${args.join(' ')}: ${decision}`, async () => {
    const ran = await simulate(...args, '-o', 'json');
    const simulation = JSON.parse(ran.stdout);
    assert.deepEqual([ran.code, simulation.verdict.decision], [code, decision]);
    assert.ok(simulation.trace.length >= 3);
    const text = await simulate(...args);
    assert.equal(text.code, code);
    assert.ok(text.stdout.includes(`${decision} (${simulation.verdict.code})`));
  });
}

test('simulate: what Chaperone itself refuses is told, and denied', async () => {
  const ran = await simulate('--resource', 'shop-db', '--sql', 'SELEC 1');
  assert.equal(ran.code, 3);
  assert.match(ran.stdout, /Deny \(Unparsable\)/);
});

test('simulate names the masks that apply', async () => {
  const { stdout } = await simulate('--resource', 'shop-db', '--sql', 'SELECT 1');
  assert.match(stdout, /mask +public\.customers\.ssn: Redact \(shop\/customer-data\)/);
});

test('validate: a problem is file, line, field, message, and ends with 1', async () => {
  const dir = join(root, 'invalid');
  mkdirSync(dir);
  writeFileSync(
    join(dir, 'a.yaml'),
    'apiVersion: chaperone.dev/v1alpha1\nkind: ApprovalGate\nmetadata:\n  name: g\nspec:\n  quorum: many\n',
  );
  const text = await chaperone(['validate', dir]);
  assert.equal(text.code, 1);
  assert.match(text.stdout, /a\.yaml:6: spec\.quorum: /);
  const json = await chaperone(['validate', dir, '-o', 'json']);
  assert.equal(json.code, 1);
  assert.equal(JSON.parse(json.stdout).problems.find((problem: { field: string }) => problem.field === 'spec.quorum').line, 6);
  for (const args of [
    ['compile', dir],
    ['run', '--manifests', dir, '--state', join(root, 'never')],
  ]) {
    const ran = await chaperone(args);
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /a\.yaml:6: spec\.quorum: /);
  }
});

test('validate: the quickstart is valid', async () => {
  assert.deepEqual(await chaperone(['validate', 'examples/quickstart']), { code: 0, stdout: '6 objects, all valid\n', stderr: '' });
});

test('compile prints a snapshot whose version is its hash, the same each time', async () => {
  const once = await chaperone(['compile', 'examples/quickstart', '--workload', 'shop/agent']);
  const again = await chaperone(['compile', 'examples/quickstart', '--workload', 'shop/agent', '-o', 'json']);
  assert.match(once.stderr, /^sha256:[0-9a-f]{64}\n$/);
  assert.equal(JSON.parse(again.stdout).version, once.stderr.trim());
  assert.deepEqual(JSON.parse(again.stdout).snapshot, JSON.parse(once.stdout));
  assert.equal(JSON.parse(once.stdout).workload.serviceAccount, 'agent');
});

test('approvals where no sidecar runs', async () => {
  const ran = await chaperone(['approvals', 'ls', '--state', join(root, 'none'), '--token-file', '-'], 'a.b.c\n');
  assert.equal(ran.code, 1);
  assert.match(ran.stderr, /^no sidecar runs with this state folder .*: check --state\n$/);
});

test('a token file that holds none, or is not there', async () => {
  for (const [file, stdin] of [
    ['-', 'hunter2'],
    [join(root, 'none'), ''],
  ] as const) {
    const ran = await chaperone(['approvals', 'ls', '--state', root, '--token-file', file], stdin);
    assert.equal(ran.code, 1);
    assert.ok(!ran.stderr.includes('hunter2'));
  }
});
