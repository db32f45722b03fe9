import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { NewEvent, RecordedAction } from '#crds/record/event.ts';
import { ActionMembers } from './action-members.ts';
import { actionJson, eventMembers } from './members.ts';
import { TimeText } from './time-text.ts';

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

test('an action’s members are what JSON.stringify writes, whatever came before', () => {
  const verdicts = ['one', 'two'].map(
    (message) => ({ decision: 'Allow', code: 'AllowedByRule', message, authors: [], gates: [], audit: [] }) as const,
  );
  const kinds = [['Select'], ['Select', 'Insert']] as const;
  const event = fc.record({
    action: fc.oneof(
      action,
      fc.tuple(action, fc.constantFrom(...kinds)).map(([one, shared]) => ({ ...one, kinds: shared })),
    ),
    verdict: fc.constantFrom(...verdicts),
    version: fc.constantFrom('a', 'b"'),
    phase: fc.constantFrom('first' as const, 'again' as const),
    approval: fc.option(text, { nil: undefined }),
  });
  fc.assert(
    fc.property(fc.array(event, { minLength: 1, maxLength: 8 }), (events) => {
      const members = new ActionMembers(1 << 20);
      for (const { action: one, verdict, version, phase, approval } of events) {
        const { gates: _gates, audit: _audit, ...judged } = verdict;
        const used = approval === undefined ? {} : { approval };
        const expected = { channel: 0, type: 'action', phase, action: one, ...judged, snapshot: version, ...used };
        const written = JSON.parse(`{"channel":${members.of(verdict, one, phase, version, approval)}}`) as object;
        assert.deepEqual(written, JSON.parse(JSON.stringify(expected)));
        assert.deepEqual(Object.keys(written), Object.keys(expected));
      }
    }),
  );
});

test('a text that is too long is cut, also where the one before was not', () => {
  const members = new ActionMembers(30);
  const verdict = { decision: 'Allow', code: 'AllowedByRule', message: '', authors: [], gates: [], audit: [] } as const;
  const kinds = ['Select'];
  const received = (length: number) => {
    const one = { type: 'sql', step: 'Query', received: 'é'.repeat(length), digest: '', tokenised: false, kinds } as const;
    const written = JSON.parse(`{"channel":${members.of(verdict, one, 'first', 'v')}}`) as {
      action: { received: string; truncated?: boolean };
    };
    return [written.action.received.length, written.action.truncated];
  };
  assert.deepEqual([10, 11, 15, 16].map(received), [
    [10, undefined],
    [11, undefined],
    [15, undefined],
    [15, true],
  ]);
});

test('a time is what toISOString writes, whatever came before', () => {
  const times = new TimeText();
  const time = fc.oneof(
    fc.integer({ min: 0, max: 4e12 }),
    fc.integer({ min: 1.7e12, max: 1.7e12 + 3000 }),
    fc.double({ min: 0, max: 4e12, noNaN: true }),
  );
  fc.assert(
    fc.property(fc.array(time), (all) => {
      for (const one of all) assert.equal(times.of(one), new Date(one).toISOString());
    }),
  );
});
