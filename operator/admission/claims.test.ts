import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claimProblems, serviceNamespaceOf } from './claims.ts';
import { requestFor } from './testing.ts';
import { validateHandler } from './validate.ts';

const resource = (host: string, aliases: readonly string[] = [], more: object = {}) => ({
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'ProtectedResource',
  metadata: { name: 'api', namespace: 'team' },
  spec: {
    protocol: 'HTTP',
    address: { host, port: 443 },
    ...(aliases.length > 0 && { aliases: aliases.map((alias) => ({ host: alias, port: 443 })) }),
    ...more,
  },
});
const handler = validateHandler({
  exists: async () => true,
  namespaceExists: async (name) => name !== 'com',
  mayProtect: async ({ username }, namespace) => username === 'root' || namespace === 'friends',
});
async function refusalOf(over: Parameters<typeof requestFor>[0]): Promise<string> {
  const answer = await handler(requestFor({ namespace: 'team', ...over }));
  return answer.allowed ? '' : answer.message;
}

test('a Service of another namespace is claimed by who may protect it there, and by nobody else', async () => {
  for (const host of ['kubernetes.default', 'kubernetes.default.svc', 'DB.shop.svc.cluster.local', 'pod-0.db.shop.svc', 'db.shop.']) {
    assert.match(
      await refusalOf({ object: resource(host) }),
      /^spec\.address\.host: .* is a Service of the namespace (default|shop), and bob/,
    );
  }
  for (const host of ['db', 'db.team', 'db.team.svc', 'api.friends', 'example.com', 'api.example.com', 'api.example.shop', '10.0.0.1']) {
    assert.equal(await refusalOf({ object: resource(host) }), '', host);
  }
  assert.equal(await refusalOf({ object: resource('db.shop'), user: { username: 'root', groups: [], extra: {} } }), '');
});

test('at an update only what is newly claimed is asked', async () => {
  const update = (object: ReturnType<typeof resource>) => refusalOf({ operation: 'UPDATE', oldObject: resource('db.shop'), object });
  assert.equal(await update(resource('db.shop', [], { agentToken: 'Ignore' })), '');
  assert.match(await update(resource('other.shop')), /^spec\.address\.host/);
});

test('an alias is a claim like the address', async () => {
  const lookup = { namespaceExists: async () => true, mayProtect: async () => false };
  const object = resource('db', ['x', 'db.shop']) as unknown as Parameters<typeof claimProblems>[0];
  const problems = await claimProblems(object, null, requestFor({}).user, lookup);
  assert.match(problems.join('\n'), /^spec\.aliases\[1\]\.host: db\.shop is a Service of the namespace shop, and bob [^\n]*$/);
});

test('who can not be asked is no yes', async () => {
  const failing = validateHandler({
    exists: async () => true,
    namespaceExists: async () => true,
    mayProtect: () => Promise.reject(new Error('away')),
  });
  await assert.rejects(async () => failing(requestFor({ object: resource('db.shop') })), /away/);
});

test('names are read as they are looked up', () => {
  assert.equal(serviceNamespaceOf('db.svc'), null);
  assert.equal(serviceNamespaceOf('fd00::1'), null);
  assert.equal(serviceNamespaceOf('a.b.svc.cluster.local.'), 'b');
});
