import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import type { AdmissionAnswer } from './review.ts';
import { requestFor } from './testing.ts';
import { validateHandler } from './validate.ts';

const INVALID = new URL('../../crds/testdata/invalid/', import.meta.url);
const free = { namespaceAnnotations: async () => ({}), mayProtect: async () => true };
const nothing = validateHandler({ ...free, exists: async () => false });
const everything = validateHandler({ ...free, exists: async () => true });

const policy = (spec: object, metadata: object = {}) => ({
  apiVersion: 'chaperone.dev/v1alpha1',
  kind: 'AccessPolicy',
  metadata: { name: 'agents', namespace: 'shop', ...metadata },
  spec: { targetRefs: [{ name: 'shop-db' }], subjects: [{ group: 'sre' }], ...spec },
});
const DENY = { rules: [{ name: 'no', action: 'Deny', sql: { statements: ['Delete'] } }] };
const ALLOW = { rules: [{ name: 'read', action: 'Allow', sql: { access: 'Read' } }] };

test('each manifest of the examples of invalid ones is refused with its message', async () => {
  for (const name of readdirSync(INVALID).filter((file) => file.endsWith('.yaml'))) {
    const text = readFileSync(new URL(name, INVALID), 'utf8');
    const expected = text.split('\n').flatMap((line) => (line.startsWith('# expect: ') ? [line.slice('# expect: '.length)] : []));
    const answer = await everything(requestFor({ object: parse(text) as { [member: string]: unknown } }));
    assert.ok(!answer.allowed, name);
    assert.deepEqual(answer.message.split('\n'), expected, name);
  }
});

test('a name that means nothing is a warning where it would have restricted', async () => {
  const warnings = (answer: AdmissionAnswer) => (answer.allowed ? answer.warnings : assert.fail(answer.message));
  assert.deepEqual(warnings(await nothing(requestFor({ object: policy(DENY) }))), [
    'spec.targetRefs[0]: the ProtectedResource shop/shop-db does not exist: until it does, this AccessPolicy restricts nothing there',
  ]);
  assert.deepEqual(warnings(await nothing(requestFor({ object: policy(ALLOW) }))), []);
  assert.deepEqual(warnings(await everything(requestFor({ object: policy(DENY) }))), []);
  const held = { rules: [{ name: 'held', action: 'RequireApproval', gateRefs: [{ name: 'leads' }], sql: { statements: ['Update'] } }] };
  assert.match(
    warnings(await nothing(requestFor({ object: policy(held) })))?.[1] ?? '',
    /gateRefs\[0\]: the ApprovalGate shop\/leads does not exist: .*denies/,
  );
});

test('a lookup that fails hinders nobody', async () => {
  const failing = validateHandler({ ...free, exists: () => Promise.reject(new Error('away')) });
  assert.deepEqual(await failing(requestFor({ object: policy(DENY) })), { allowed: true, warnings: [] });
});

test('an object that an older version took may be labelled and may go, and not be changed', async () => {
  const old = policy({ ...DENY, unknown: 1 });
  const update = (object: object) =>
    everything(requestFor({ operation: 'UPDATE', oldObject: old, object: object as { [member: string]: unknown } }));
  assert.equal((await update(policy({ ...DENY, unknown: 1 }, { labels: { team: 'a' } }))).allowed, true);
  assert.equal((await update(policy({ ...ALLOW, unknown: 1 }))).allowed, false);
  assert.equal((await update(policy({ ...ALLOW, unknown: 1 }, { deletionTimestamp: '2026-01-01T00:00:00Z' }))).allowed, true);
});
