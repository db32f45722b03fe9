import assert from 'node:assert/strict';
import { test } from 'node:test';
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { ReportRequestSchema } from '#crds/gen/chaperone/v1/sidecar_pb.js';
import { createEgressReport } from './egress-report.ts';

const peer = { namespace: 'shop', serviceAccount: 'agent', pod: 'agent-1', podUid: 'u1', node: 'n1', certificateSerial: '01' };

function setup() {
  const state = { nowMs: 0, events: [] as string[], counts: new Map<string, number>() };
  const report = createEgressReport({
    events: { emit: (reason, pod, note) => void state.events.push(`${reason} ${pod.name}: ${note}`) },
    count: (verdict, count) => void state.counts.set(verdict, (state.counts.get(verdict) ?? 0) + count),
    now: () => state.nowMs,
  });
  const say = (...egress: NonNullable<MessageInitShape<typeof ReportRequestSchema>['egress']>) =>
    report(peer, create(ReportRequestSchema, { egress }));
  return { state, say };
}
const to = (destination: string, verdict: string, count = 1n, port = 443) => ({ destination, port, verdict, count });

test('all is counted, and each destination is told once in half an hour', () => {
  const { state, say } = setup();
  say(to('10.0.0.1', 'denied', 3n), to('fd00::1', 'audited'), to('10.0.0.2', 'allowed', 7n));
  say(to('10.0.0.1', 'denied', 2n), to('10.0.0.3', 'ambiguous'));
  assert.deepEqual(Object.fromEntries(state.counts), { denied: 5, audited: 1, allowed: 7, ambiguous: 1 });
  assert.deepEqual(state.events, [
    'UnmonitoredEgress agent-1: The agent was refused a connection to 10.0.0.1:443, which no ProtectedResource names.',
    'UnmonitoredEgress agent-1: The agent connected, unmonitored, to [fd00::1]:443, which no ProtectedResource names.',
    'UnmonitoredEgress agent-1: The agent was refused a connection to 10.0.0.3:443, which several ProtectedResources name.',
  ]);
  state.nowMs = 31 * 60_000;
  say(to('10.0.0.1', 'denied'));
  assert.equal(state.events.length, 4);
});

test('what a sidecar makes up becomes no label, no text, and no flood', () => {
  const { state, say } = setup();
  say(to('not an address', 'denied'), to('10.0.0.1', 'a label'), to('10.0.0.1', 'denied', 0n), to('10.0.0.1', 'denied', 1n, 70_000));
  assert.deepEqual([state.events, state.counts.size], [[], 0]);
  say(to('10.0.0.1', 'denied', 10n ** 15n));
  assert.equal(state.counts.get('denied'), 1_000_000);
  say(...Array.from({ length: 100 }, (_, i) => to(`10.0.1.${i}`, 'denied')));
  assert.equal(state.events.length, 20);
});
