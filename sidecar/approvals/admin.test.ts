import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ApprovalError } from '#crds/policy/approval-error.ts';
import type { Principal } from '#crds/policy/principal.ts';
import { openLocalIssuer } from '../identity/local-issuer.ts';
import { createTokenVerifier } from '../identity/token.ts';
import { type AdminServer, serveAdmin } from './admin.ts';
import type { ApprovalBroker } from './broker.ts';

const dir = mkdtempSync(join(tmpdir(), 'adm-'));
const path = join(dir, 'run', 'chaperone.sock');
const decided: unknown[] = [];
const broker = {
  list: (viewer: Principal) => [{ name: viewer.subject }],
  decide(name: string, approver: Principal, decision: unknown) {
    if (name === 'apr-self22') throw new ApprovalError('SelfApproval', 'another person must decide');
    decided.push([name, approver.subject, decision]);
    return { name, state: 'approved' };
  },
} as unknown as ApprovalBroker;
const lines: string[] = [];
const note = (fields: object, message: string) => void lines.push(JSON.stringify(fields) + message);
const log = { info: note, warn: note, error: note };
let admin: AdminServer;
let token: string;
let stale: string;
const options = { path, broker, verify: () => Promise.reject(new Error('not set')), status: () => ({ pending: 1 }), log };

before(async () => {
  const issuer = await openLocalIssuer(dir);
  const ask = { subject: 'bob', groups: ['leads'], ttlSeconds: 60, claims: {}, nowMs: Date.now() };
  token = await issuer.issue(ask);
  stale = await issuer.issue({ ...ask, nowMs: Date.now() - 3_600_000 });
  admin = await serveAdmin({ ...options, verify: createTokenVerifier([issuer.verifier], Date.now) });
});
after(async () => {
  await admin.close();
  rmSync(dir, { recursive: true });
});

async function call(method: string, url: string, authorization?: string, body?: string): Promise<{ status: number; json: unknown }> {
  return new Promise((resolve, reject) => {
    const sent = request(
      { socketPath: path, method, path: url, headers: authorization === undefined ? {} : { authorization } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, json: JSON.parse(Buffer.concat(chunks).toString()) }));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}
const bearer = () => `Bearer ${token}`;

test('the socket is for its owner alone', () => {
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(dir, 'run')).mode & 0o777, 0o700);
});

test('the approver is the principal of the token', async () => {
  const { status } = await call('POST', '/approvals/apr-7f3k2m', bearer(), '{"decision":"approve","reason":"ok"}');
  assert.equal(status, 200);
  assert.deepEqual(decided.at(-1), ['apr-7f3k2m', 'bob', { decision: 'approve', reason: 'ok' }]);
});

test('reading calls answer for the caller', async () => {
  assert.deepEqual(await call('GET', '/approvals', bearer()), { status: 200, json: { approvals: [{ name: 'bob' }] } });
  assert.deepEqual(await call('GET', '/status', bearer()), { status: 200, json: { pending: 1 } });
});

test('no call works without a valid token, and the answer does not say why', async () => {
  for (const header of [undefined, 'Bearer x', 'Basic Ym9i', `Bearer ${stale}`, token]) {
    for (const [method, url] of [
      ['GET', '/status'],
      ['GET', '/approvals'],
      ['POST', '/approvals/apr-7f3k2m'],
    ] as const) {
      const { status, json } = await call(method, url, header, method === 'POST' ? '{"decision":"approve"}' : undefined);
      assert.equal(status, 401);
      assert.equal((json as { error: { message: string } }).error.message, 'a valid token is needed: Authorization: Bearer JWT');
    }
  }
});

const bodies: readonly [string, number][] = [
  ['', 400],
  ['[]', 400],
  ['{"decision":"maybe"}', 400],
  ['{"decision":"approve","approver":"alice"}', 400],
  ['{"decision":"approve","reason":7}', 400],
  [`{"decision":"approve","reason":"${'x'.repeat(9000)}"}`, 413],
];
for (const [body, status] of bodies) {
  test(`a body is refused: ${body.slice(0, 50)}`, async () => {
    const before = decided.length;
    assert.equal((await call('POST', '/approvals/apr-7f3k2m', bearer(), body)).status, status);
    assert.equal(decided.length, before);
  });
}

test('an error of the broker keeps its code', async () => {
  assert.deepEqual(await call('POST', '/approvals/apr-self22', bearer(), '{"decision":"approve"}'), {
    status: 403,
    json: { error: { code: 'SelfApproval', message: 'another person must decide' } },
  });
});

test('paths are exact', async () => {
  for (const url of ['/approvals/', '/approvals/../status', '/approvals/apr-7f3k2m?x', '//status']) {
    assert.equal((await call('POST', url, bearer(), '{"decision":"approve"}')).status, 404);
  }
});

test('the log has no token', () => {
  assert.ok(lines.length > 0);
  assert.ok(!lines.some((line) => line.includes(token) || line.includes('eyJ')));
});

test('a state folder that is in use is told', async () => {
  await assert.rejects(serveAdmin(options), { name: 'SocketError', message: /another chaperone runs/ });
});

test('what a dead process left is replaced, what is no socket is not', async () => {
  const left = join(dir, 'left.sock');
  const dead = createServer().listen(left);
  await new Promise((resolve) => dead.once('listening', resolve));
  await new Promise((resolve) => dead.close(resolve));
  await (await serveAdmin({ ...options, path: left })).close();
  writeFileSync(left, 'precious');
  await assert.rejects(serveAdmin({ ...options, path: left }), { name: 'SocketError', message: /is not a socket/ });
});

test('a path that is too long is told before anything is made', async () => {
  const long = join(dir, 'x'.repeat(120), 'chaperone.sock');
  await assert.rejects(serveAdmin({ ...options, path: long }), { name: 'SocketError', message: /choose a shorter --state folder/ });
});
