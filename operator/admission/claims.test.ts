import assert from 'node:assert/strict';
import { test } from 'node:test';
import { claimProblems } from './claims.ts';
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
  namespaceAnnotations: async (name) =>
    name === 'com' ? null : name === 'team' ? { 'chaperone.dev/external-hosts': 'db.corp.example, *.given.example' } : {},
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
  const lookup = { namespaceAnnotations: async () => ({}), mayProtect: async () => false };
  const object = resource('db', ['x', 'db.shop']) as unknown as Parameters<typeof claimProblems>[0];
  const problems = await claimProblems(object, null, requestFor({}).user, lookup);
  assert.match(problems.join('\n'), /^spec\.aliases\[1\]\.host: db\.shop is a Service of the namespace shop, and bob [^\n]*$/);
});

test('who can not be asked is no yes', async () => {
  const failing = validateHandler({
    exists: async () => true,
    namespaceAnnotations: async () => ({}),
    mayProtect: () => Promise.reject(new Error('away')),
  });
  await assert.rejects(async () => failing(requestFor({ object: resource('db.shop') })), /away/);
});

test('a host outside of the cluster is taken, with a warning where its namespace was not given it', async () => {
  const warningsOf = async (host: string) => {
    const answer = await handler(requestFor({ namespace: 'team', object: resource(host) }));
    return answer.allowed ? (answer.warnings ?? []).map((warning) => warning.split(' is outside')[0]) : assert.fail(answer.message);
  };
  for (const host of ['db', 'db.team.svc', 'db.corp.example', 'DB.corp.example.', 'a.b.given.example', 'api.friends']) {
    assert.deepEqual(await warningsOf(host), [], host);
  }
  for (const host of ['api.example.com', 'given.example.org', 'example.com', '10.0.0.1', 'xdb.corp.example']) {
    assert.deepEqual(await warningsOf(host), [`spec.address.host: ${host}`], host);
  }
});
