import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Notified } from './notified.ts';

test('a notification comes back as often as it was said', () => {
  const notified = new Notified();
  notified.add('a', 'x');
  notified.add('a', 'x');
  assert.deepEqual(
    [notified.take('a', 'y'), notified.take('b', 'x'), notified.take('a', 'x'), notified.take('a', 'x'), notified.take('a', 'x')],
    [false, false, true, true, false],
  );
});

test('what nobody listens to is forgotten, the oldest first', () => {
  const notified = new Notified();
  for (let i = 0; i < 10_000; i++) notified.add('a', String(i));
  assert.equal(notified.take('a', '0'), false);
  assert.equal(notified.take('a', '9999'), true);
});
