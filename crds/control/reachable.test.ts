import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SnapshotPolicy } from '../policy/snapshot.ts';
import { isReachable } from './reachable.ts';

test('a pod has an address for what is of its namespace, or has a policy for its ServiceAccount, and for nothing else', () => {
  const of = (subject: SnapshotPolicy['subjects'][number]) => [{ subjects: [subject] } as unknown as SnapshotPolicy];
  const policies = of({ serviceAccount: { namespace: 'ci', name: 'agent' } });
  assert.equal(isReachable({ namespace: 'shop', policies: [] }, 'shop'), true);
  assert.equal(isReachable({ namespace: 'shop', policies }, 'ci'), true);
  assert.equal(isReachable({ namespace: 'shop', policies: [] }, 'ci'), false);
  assert.equal(isReachable({ namespace: 'shop', policies: of({ group: 'everybody' }) }, 'ci'), false);
});
