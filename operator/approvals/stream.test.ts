import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import type { ApprovalStateMessage } from '#crds/control/approvals.ts';
import type { ApprovalController } from './controller.ts';
import { openApprovalStream } from './stream.ts';
import { NOW_MS } from './testing.ts';

const PEER = { namespace: 'ci', serviceAccount: 'agent', pod: 'agent-1', podUid: 'p-1' };

test('one stream has a bounded number of calls under way; what comes beyond is refused at once', async () => {
  // An API server that does not answer yet.
  const controller = { synced: new Promise<void>(() => {}), onChange: () => () => {} } as unknown as ApprovalController;
  const said: ApprovalStateMessage[] = [];
  const log = { warn: () => {} };
  const stream = openApprovalStream({ controller, gatesOf: () => [], now: () => NOW_MS, log }, PEER, (state) => said.push(state));
  const ids = Array.from({ length: 300 }, () => randomUUID());
  for (const id of ids) {
    stream.call({
      call: {
        case: 'raise',
        value: {
          id,
          session: 's',
          resourceNamespace: 'shop',
          resourceName: 'orders',
          principalsJson: Buffer.from('[]'),
          gates: [],
          authorsJson: Buffer.from('[]'),
          summary: '',
          binding: '',
        },
      },
    });
  }
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(
    said.map(({ id, message }) => [id, message]),
    ids.slice(256).map((id) => [id, 'too many requests at once']),
  );
  stream.end();
});
