import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SnapshotMasking, SnapshotResource } from '#crds/policy/snapshot.ts';
import { secretsOf } from './secrets.ts';

const masking: SnapshotMasking = {
  namespace: 'shop',
  name: 'm',
  uid: 'u',
  generation: 1,
  columns: [
    { column: 'a.b.c', strategy: { type: 'Token', keySecret: { name: 'masking', key: 'key' }, domain: 'd' } },
    { column: 'a.b.d', strategy: { type: 'Redact' } },
  ],
  detectors: [
    { type: 'Card', name: 'c', strategy: { type: 'FormatPreserving', keySecret: { name: 'masking', key: 'other' }, domain: 'd' } },
  ],
  exemptSubjects: [],
};

function needed(users: NonNullable<SnapshotResource['postgresql']>['users'], rules: readonly SnapshotMasking[]) {
  const resource: SnapshotResource = {
    namespace: 'shop',
    name: 'db',
    generation: 1,
    requiredCapabilities: [],
    protocol: 'PostgreSQL',
    address: { host: 'db', port: 5432 },
    aliases: [],
    tls: { mode: 'VerifyFull' },
    agentToken: 'Ignore',
    postgresql: { database: 'shop', users },
    recording: { results: 'None', sampleRows: 0, fsync: 'Never' },
    policies: [],
    masking: rules,
    gates: [],
  };
  const workload = { namespace: 'shop', serviceAccount: 'agent' };
  return [...secretsOf({ schemaVersion: 1, workload, sources: [], resources: [resource] })].map(
    ([id, keys]) => `${id}: ${[...keys].join()}`,
  );
}

test('a sidecar gets the keys of the masking rules of the targets that it can open a session to, and of no other', () => {
  const users = [{ name: 'app', secret: 'creds', usernameKey: 'u', passwordKey: 'p' }];
  assert.deepEqual(needed(users, [masking]), ['shop/creds: u,p', 'shop/masking: key,other']);
  assert.deepEqual(needed(users, []), ['shop/creds: u,p']);
  assert.deepEqual(needed([], [masking]), []);
});
