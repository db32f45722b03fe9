import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isForbidden } from './validate-rules.ts';

test('that the rules could not be deleted is believed only where the kernel forbade it', () => {
  for (const said of [
    'nft failed (1): Error: Could not process rule: Operation not permitted\ndelete table inet chaperone',
    'nft failed (1): netlink: Error: cache initialization failed: Operation not permitted (you must be root)',
    'nft failed (1): internal:0:0-0: Error: Permission denied',
  ])
    assert.equal(isForbidden(said), true, said);
  for (const said of [
    "nft can't be run: spawn nft ENOENT",
    'nft failed (SIGTERM): ',
    'nft failed (SIGKILL): Operation not permitted',
    'nft failed (1): Error: syntax error, unexpected table',
    'nft failed (1): Error: No such file or directory',
    'nft failed (127): ',
  ])
    assert.equal(isForbidden(said), false, said);
});
