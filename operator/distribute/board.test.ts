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
