import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { approvalName } from './approvals.ts';

test('an id always gives the same name, and another id another', () => {
  const id = '0b5c1c52-3a2c-4c7e-9d0b-0f2f6a2f1a11';
  assert.equal(approvalName(id), approvalName(id));
  const names = new Set(Array.from({ length: 2000 }, () => approvalName(randomUUID())));
  assert.equal(names.size, 2000);
  for (const name of names) assert.match(name, /^apr-[2-9b-df-hj-km-np-tv-xz]{10}$/);
});

test('what is not a UUID has no name', () => {
  for (const id of ['', 'x', '0B5C1C52-3A2C-4C7E-9D0B-0F2F6A2F1A11', '../../etc']) assert.throws(() => approvalName(id), TypeError);
});
