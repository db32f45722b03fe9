import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SnapshotPolicy } from '../policy/snapshot.ts';
import { isReachable } from './reachable.ts';

test('a pod has an address for what is of its namespace, or what a policy lets its workload ask for, and for nothing else', () => {
  const policies = [{} as SnapshotPolicy];
  assert.equal(isReachable({ namespace: 'shop', policies: [] }, 'shop'), true);
  assert.equal(isReachable({ namespace: 'shop', policies }, 'ci'), true);
  assert.equal(isReachable({ namespace: 'shop', policies: [] }, 'ci'), false);
});
