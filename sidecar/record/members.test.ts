import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NewEvent, RecordedAction } from '#crds/record/event.ts';
import { actionJson, eventMembers } from './members.ts';

const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('"', '\\', '\n', '\u2028', '\ud800', 'é'));
const number = fc.oneof(fc.nat(), fc.double({ min: 0, noNaN: true }));

const action = fc.record<RecordedAction & { type: 'sql' }>(
  {
    type: fc.constant('sql'),
    step: fc.constantFrom('Query', 'Parse', 'Execute'),
    received: text,
    sent: text,
    digest: text,
    tokenised: fc.boolean(),
    kinds: fc.array(text),
    parameters: fc.array(fc.option(text)),
    truncated: fc.boolean(),
  },
  { requiredKeys: ['type', 'step', 'received', 'digest', 'tokenised', 'kinds'] },
);

const result = fc.record<Extract<NewEvent, { type: 'result' }>>(
  {
    type: fc.constant('result'),
    parent: fc.nat(),
    status: fc.constantFrom('ok', 'error', 'aborted'),
    rows: number,
    bytesOut: number,
    bytesIn: number,
    tag: text,
    error: text,
    durationMs: number,
  },
  { requiredKeys: ['type', 'parent', 'status', 'durationMs'] },
);

test('an action is what JSON.stringify writes', () => {
  fc.assert(fc.property(action, (one) => assert.deepEqual(JSON.parse(actionJson(one)), JSON.parse(JSON.stringify(one)))));
});

test('an event is what JSON.stringify writes, in the same order', () => {
  fc.assert(fc.property(result, (one) => assert.equal(`{${eventMembers(one)}}`, JSON.stringify(one))));
  const plain = { type: 'result', parent: 1, status: 'ok', rows: 1, bytesOut: 20, tag: 'SELECT 1', durationMs: 0 } as const;
  assert.equal(`{${eventMembers(plain)}}`, JSON.stringify(plain));
});
