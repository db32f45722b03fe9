import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createAckBoard } from './board.ts';

const PEER = { namespace: 'ci', serviceAccount: 'agent', pod: 'agent-1', podUid: 'p-1', node: 'n-1', certificateSerial: '01' };

test('what one sidecar reports can not keep the slice from being written: only names of resources are kept', () => {
  const board = createAckBoard();
  board.opened(PEER, '0.1.0', 0, null);
  const reported = (names: readonly string[]) => {
    board.reported('p-1', names);
    return board.get('p-1')?.restartRequiredFor;
  };
  assert.deepEqual(reported(['shop/orders', 'shop/api.v2', 'shop/orders']), ['shop/api.v2', 'shop/orders']);
  const bad = ['', 'orders', 'shop/', '/orders', 'shop/a/b', 'Shop/orders', `shop/${'x'.repeat(300)}`, 'x'.repeat(1_000_000), 'shop/a\n'];
  assert.deepEqual(reported([...bad, 'shop/orders']), ['shop/orders']);
  assert.equal(reported(Array.from({ length: 100 }, (_, i) => `shop/r-${i}`))?.length, 20);
});

test('what sidecars say of assurance is kept of resources that their snapshot has, in known levels and in one line', () => {
  const board = createAckBoard();
  board.opened(PEER, '0.1.0', 0, null);
  const db = { resource: 'shop/db', level: 'B', loweredBy: ['public.t.ssn: app owns it'] };
  board.assured(
    'p-1',
    [db, { ...db, resource: 'shop/other' }, { ...db, level: 'D' }, { ...db, resource: 'no name' }],
    (name) => name !== 'shop/other',
  );
  assert.deepEqual(board.get('p-1')?.assurances, [db]);
  let changes = 0;
  board.onChange(() => changes++);
  board.assured('p-1', [db], () => true);
  assert.equal(changes, 0, 'the same again is no change');
  board.assured('p-1', [{ ...db, loweredBy: ['', 'a\nb\u0000', 'x'.repeat(5000), '1', '2', '3', '4'] }], () => true);
  assert.deepEqual(board.get('p-1')?.assurances[0]?.loweredBy, ['a?b?', 'x'.repeat(256), '1', '2']);
});
