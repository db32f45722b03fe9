import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { chaperone } from './testing.ts';

const MAIN = new URL('./main.ts', import.meta.url).pathname;
const root = mkdtempSync(join(tmpdir(), 'run-'));
const [manifests, state] = [mkdtempSync(join(root, 'm-')), join(root, 'state')];
const credential = randomBytes(16).toString('hex');
const seen: { method: string; url: string; authorization: string }[] = [];
let target: Server;
let child: ChildProcess;
let port = 0;
let metricsPort = 0;
let output = '';
let exited: Promise<number | null>;
const tokens = new Map<string, string>();

const policy = (deleteAction: string) => `apiVersion: chaperone.dev/v1alpha1
kind: AccessPolicy
metadata: {name: agents, namespace: shop}
spec:
  targetRefs: [{name: api}]
  subjects: [{serviceAccount: {namespace: shop, name: agent}}]
  rules:
    - name: read
      action: Allow
      http: {methods: [GET]}
    - name: refund
      action: RequireApproval
      http: {methods: [POST]}
      gateRefs: [{name: leads}]
    - name: delete
      action: ${deleteAction}
      http: {methods: [DELETE]}
`;
const rest = (targetPort: number) => `apiVersion: chaperone.dev/v1alpha1
kind: ProtectedResource
metadata: {name: api, namespace: shop}
spec:
  protocol: HTTP
  address: {host: 127.0.0.1, port: ${targetPort}}
  tls: {mode: Disable}
  http:
    credential: {prefix: "Bearer ", secretRef: {name: api-token, key: token}}
---
apiVersion: chaperone.dev/v1alpha1
kind: ApprovalGate
metadata: {name: leads, namespace: shop}
spec:
  approvers: [{group: leads}]
  quorum: 1
  timeoutSeconds: 60
---
apiVersion: v1
kind: Secret
metadata: {name: api-token, namespace: shop}
stringData: {token: "${credential}"}
`;

before(async () => {
  target = createServer((incoming, response) => {
    seen.push({ method: incoming.method ?? '', url: incoming.url ?? '', authorization: incoming.headers.authorization ?? '' });
    incoming.resume().on('end', () => response.end('done'));
  });
  await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
  writeFileSync(join(manifests, 'rest.yaml'), rest((target.address() as AddressInfo).port), { mode: 0o600 });
  writeFileSync(join(manifests, 'policy.yaml'), policy('Deny'));
  const args = [
    'run',
    '--manifests',
    manifests,
    '--state',
    state,
    '--workload',
    'shop/agent',
    '--listen',
    'api=127.0.0.1:0',
    '--metrics-port',
    '0',
  ];
  child = spawn(process.execPath, [MAIN, ...args, '-o', 'json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  exited = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ready = JSON.parse(await line(/^\{"ready":true/));
  port = Number(ready.addresses['shop/api'].split(':')[1]);
  metricsPort = ready.metricsPort;
  for (const [subject, group] of [
    ['alice', 'sre'],
    ['bob', 'leads'],
    ['mallory', 'dev'],
  ] as const) {
    tokens.set(subject, (await chaperone(['token', '--subject', subject, '--group', group, '--state', state])).stdout.trim());
  }
});
after(async () => {
  child.kill('SIGKILL');
  target.closeAllConnections();
  target.close();
  rmSync(root, { recursive: true });
});

/** The next line of output that fits, from the start or from `from`. Rejects when the process ends before, or with what it printed when it takes very long. */
async function line(pattern: RegExp, from = 0): Promise<string> {
  for (const end = Date.now() + 60_000; ; ) {
    const found = output
      .slice(from)
      .split('\n')
      .slice(0, -1)
      .find((text) => pattern.test(text));
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`nothing fits ${pattern}:\n${output}`);
    if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode}:\n${output}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function call(method: string, path: string, token?: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = token === undefined ? {} : { 'proxy-authorization': `Bearer ${token}` };
    const sent = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
    });
    sent.on('error', reject);
    sent.end();
  });
}
const approvals = (who: string, ...args: string[]) =>
  chaperone(['approvals', ...args, '--state', state, '--token-file', '-'], tokens.get(who));

test('an allowed request reaches the target with its credential, and is a line', async () => {
  assert.deepEqual(await call('GET', '/v1/x'), { status: 200, text: 'done' });
  assert.deepEqual(seen.at(-1), { method: 'GET', url: '/v1/x', authorization: `Bearer ${credential}` });
  const verdict = JSON.parse(await line(/"decision":"Allow".*AllowedByRule/));
  assert.deepEqual(verdict.resource, { namespace: 'shop', name: 'api' });
});

test('a denied request does not', async () => {
  const before = seen.length;
  const { status, text } = await call('DELETE', '/v1/x');
  assert.equal(status, 403);
  assert.match(text, /agents/);
  assert.equal(seen.length, before);
});

test('a request that needs approval says so to who is nobody', async () => {
  const { status, text } = await call('POST', '/v1/refunds');
  assert.equal(status, 403);
  assert.match(text, /token/);
});

test('a held request waits for another person, and the asker is refused', async () => {
  const before = seen.length;
  const waiting = call('POST', '/v1/refunds', tokens.get('alice'));
  let name = '';
  while (name === '') name = JSON.parse((await approvals('bob', 'ls', '-o', 'json')).stdout)[0]?.name ?? '';
  assert.match((await approvals('bob', 'ls')).stdout, /^NAME +STATE[^\n]*\napr-\w{6} +pending +shop\/api +alice +leads 0\/1 \(Statement\)/);
  assert.equal((await approvals('mallory', 'ls')).stdout, 'no requests wait\n');
  const own = await approvals('alice', 'approve', name);
  assert.equal(own.code, 3);
  assert.match(own.stderr, /^SelfApproval: /);
  assert.equal((await approvals('mallory', 'approve', name)).code, 3);
  assert.equal(seen.length, before);
  assert.deepEqual(await approvals('bob', 'approve', name), { code: 0, stdout: `${name} approved\n`, stderr: '' });
  assert.equal((await waiting).status, 200);
  assert.equal(seen.length, before + 1);
  assert.equal((await approvals('bob', 'approve', name)).code, 1);
});

test('a broken edit changes nothing and is told; a good one is live', async () => {
  const from = output.length;
  writeFileSync(join(manifests, 'policy.yaml'), policy('Alow'));
  assert.match(await line(/policy\.yaml/, from), /policy\.yaml:16: spec\.rules\[2\]\.action: /);
  await line(/the last good policy stays/, from);
  assert.equal((await call('DELETE', '/v1/x')).status, 403);
  writeFileSync(join(manifests, 'policy.yaml'), policy('Allow'));
  await line(/policy in force/, from);
  assert.equal((await call('DELETE', '/v1/x')).status, 200);
});

test('metrics name policy and rule', async () => {
  const text = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  assert.match(
    text,
    /chaperone_verdicts_total\{namespace="shop",resource="api",decision="Deny",code="DeniedByRule",policy="shop\/agents",rule="delete"\} \d/,
  );
  assert.match(text, /chaperone_approvals_total\{namespace="shop",resource="api",state="approved"\} 1/);
  assert.equal((await fetch(`http://127.0.0.1:${metricsPort}/readyz`)).status, 200);
});

test('a second sidecar on the same state folder is refused', async () => {
  const ran = await chaperone([
    'run',
    '--manifests',
    manifests,
    '--state',
    state,
    '--workload',
    'shop/agent',
    '--listen',
    'api=127.0.0.1:0',
  ]);
  assert.equal(ran.code, 1);
  assert.ok(!/\n\s+at /.test(ran.stderr) && ran.stderr.length > 0, ran.stderr);
});

test('SIGTERM drains and ends with 0; the recording verifies; no secret is anywhere', async () => {
  child.kill('SIGTERM');
  assert.equal(await exited, 0, output);
  const verified = await chaperone(['sessions', 'verify', '--state', state]);
  assert.equal(verified.code, 0, verified.stdout + verified.stderr);
  assert.ok(JSON.parse((await chaperone(['sessions', 'ls', '--state', state, '-o', 'json'])).stdout));
  const secrets = [credential, ...tokens.values()];
  const files = readdirSync(state, { recursive: true, encoding: 'utf8' })
    .map((name) => join(state, name))
    .filter((path) => statSync(path).isFile());
  assert.ok(files.length > 3);
  for (const text of [output, ...files.map((path) => readFileSync(path, 'latin1'))])
    for (const secret of secrets) assert.ok(!text.includes(secret));
});
