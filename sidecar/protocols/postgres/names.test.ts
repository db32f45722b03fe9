import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Change, NameTable } from './names.ts';

type Message =
  | { readonly type: 'parse'; readonly name: string; readonly fails: boolean }
  | { readonly type: 'close'; readonly name: string }
  | { readonly type: 'use'; readonly name: string }
  | { readonly type: 'sync' };

const name = fc.constantFrom('', 'a', 'b');
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ type: fc.constant('parse' as const), name, fails: fc.boolean() }),
  fc.record({ type: fc.constant('close' as const), name }),
  fc.record({ type: fc.constant('use' as const), name }),
  fc.record({ type: fc.constant('sync' as const) }),
);

/** Answers of the server to message `i`: what it has under each name when it handles it, and whether it skips it. */
function serve(messages: readonly Message[]) {
  const names = new Map<string, number>();
  let skipping = false;
  return messages.map((item, index) => {
    if (item.type === 'sync') {
      skipping = false;
      return { skipped: false, failed: false, has: undefined };
    }
    if (skipping) return { skipped: true, failed: false, has: undefined };
    const has = names.get(item.name);
    switch (item.type) {
      case 'parse':
        // As PostgreSQL does: the unnamed statement goes before its successor is parsed.
        if (item.name === '') names.delete('');
        if (item.fails || (item.name !== '' && has !== undefined)) {
          skipping = true;
          return { skipped: false, failed: true, has };
        }
        names.set(item.name, index);
        return { skipped: false, failed: false, has };
      case 'close':
        names.delete(item.name);
        return { skipped: false, failed: false, has };
      case 'use':
        if (has === undefined) skipping = true;
        return { skipped: false, failed: has === undefined, has };
      default:
        throw item satisfies never;
    }
  });
}

test('where a look-up knows a statement, the server has that one or none, however the answers are delayed', () => {
  fc.assert(
    fc.property(fc.array(message, { maxLength: 40 }), fc.infiniteStream(fc.nat(3)), (messages, delays) => {
      const answers = serve(messages);
      const table = new NameTable<number>();
      const owed: { index: number; segment: number; change: Change<number> | null }[] = [];
      let segment = 1;
      let skipping = false;
      const answerOne = (): void => {
        const next = owed.shift();
        if (next === undefined) return;
        const answer = answers[next.index];
        const item = messages[next.index];
        if (answer === undefined || item === undefined || item.type === 'sync') return;
        if (!answer.failed) {
          if (next.change !== null) table.confirm(next.change);
          return;
        }
        table.rollback(next.segment);
        while (owed[0] !== undefined && messages[owed[0].index]?.type !== 'sync') table.rollback(owed.shift()?.segment ?? 0);
        if (owed.length === 0) skipping = true;
      };
      for (const [index, item] of messages.entries()) {
        for (let n = delays.next().value ?? 0; n > 0; n--) answerOne();
        if (item.type === 'sync') {
          skipping = false;
          owed.push({ index, segment: segment++, change: null });
          continue;
        }
        if (skipping) continue;
        let found = table.lookup('statement', item.name, segment);
        while (found.type === 'wait') {
          assert.ok(owed.length > 0, 'a look-up waits only for answers that are owed');
          answerOne();
          found = table.lookup('statement', item.name, segment);
        }
        const answer = answers[index];
        if (item.type === 'use') {
          // The server may have nothing there (a failed Parse drops the unnamed statement): it then refuses by itself. Another it may not have.
          if (found.type === 'known' && answer?.skipped === false) assert.ok(answer.has === undefined || answer.has === found.value);
          owed.push({ index, segment, change: null });
          continue;
        }
        // The driver refuses such a Parse itself, and takes nothing more up to the Sync; the server would fail it there as well.
        if (item.type === 'parse' && item.name !== '' && found.type === 'known') {
          skipping = true;
          continue;
        }
        const value = item.type === 'parse' ? index : null;
        owed.push({ index, segment, change: table.propose({ kind: 'statement', name: item.name, segment, value }) });
      }
    }),
    { numRuns: 5000 },
  );
});

test('a name of an earlier segment waits until the server has answered for it', () => {
  const table = new NameTable<string>();
  table.confirm(table.propose({ kind: 'statement', name: '', segment: 1, value: 'approved only with a gate' }));
  const pending = table.propose({ kind: 'statement', name: '', segment: 2, value: 'harmless' });
  assert.deepEqual(table.lookup('statement', '', 2), { type: 'known', value: 'harmless' });
  assert.deepEqual(table.lookup('statement', '', 3), { type: 'wait' });
  table.rollback(2);
  assert.deepEqual(table.lookup('statement', '', 3), { type: 'known', value: 'approved only with a gate' });
  table.confirm(pending);
  assert.deepEqual(table.lookup('statement', '', 3), { type: 'known', value: 'approved only with a gate' });
});

test('portals end with the transaction, statements do not', () => {
  const table = new NameTable<string>();
  table.confirm(table.propose({ kind: 'portal', name: 'p', segment: 1, value: 'x' }));
  table.confirm(table.propose({ kind: 'statement', name: 's', segment: 1, value: 'y' }));
  table.transactionEnded();
  assert.equal(table.lookup('portal', 'p', 2).type, 'unknown');
  assert.equal(table.lookup('statement', 's', 2).type, 'known');
});

test('a name counts once, however often it is used, and a close that is on its way counts', () => {
  const table = new NameTable<string>();
  const propose = (name: string, value: string | null, segment = 1) => table.propose({ kind: 'statement', name, segment, value });
  const again = Array.from({ length: 50 }, () => propose('', 'x'));
  assert.equal(table.size('statement'), 1);
  for (const change of again) table.confirm(change);
  assert.equal(table.size('statement'), 1);
  const a = propose('a', 'x');
  assert.deepEqual([table.size('statement'), table.size('portal')], [2, 0]);
  table.confirm(a);
  const closed = propose('a', null, 2);
  assert.equal(table.size('statement'), 1);
  propose('b', 'x', 2);
  propose('c', 'x', 3);
  assert.equal(table.size('statement'), 3);
  table.rollback(2);
  assert.equal(table.size('statement'), 3, 'a is there still, and c comes');
  table.rollback(3);
  table.confirm(closed);
  assert.equal(table.size('statement'), 2);
});
