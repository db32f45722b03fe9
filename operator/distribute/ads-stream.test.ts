import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as soon } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { status } from '@grpc/grpc-js';
import { TYPE_URL } from '#crds/control/names.ts';
import { type DiscoveryRequest, DiscoveryRequestSchema } from '#crds/gen/envoy/service/discovery/v3/discovery_pb.js';
import { createAdsStream } from './ads-stream.ts';
import type { CallError } from './rpc.ts';
import { currentOf, testSnapshot } from './testing.ts';

function setup() {
  const sent: Buffer[] = [];
  const ended: CallError[] = [];
  const heard: string[] = [];
  const state = { current: currentOf(testSnapshot(1)), proof: Promise.resolve(true), revisions: '' };
  const stream = createAdsStream({
    name: 'shop/agent',
    current: () => state.current,
    freshness: { prove: () => state.proof, revisions: () => state.revisions },
    send: (bytes) => sent.push(bytes),
    end: (error) => ended.push(error),
    ackTimeoutMs: 50,
    onSubscribed: (sidecarVersion, version) => heard.push(`subscribed ${sidecarVersion} ${version}`),
    onAck: (version) => heard.push(`ack ${version}`),
    onNack: (version, problems) => heard.push(`nack ${version} ${problems.join('|')}`),
    onForeignName: (names) => heard.push(`foreign ${names.join()}`),
  });
  const say = (request: Partial<Pick<DiscoveryRequest, 'resourceNames' | 'versionInfo' | 'responseNonce' | 'typeUrl'>>, problem?: string) =>
    stream.receive(
      create(DiscoveryRequestSchema, {
        typeUrl: TYPE_URL,
        resourceNames: ['shop/agent'],
        ...request,
        ...(problem === undefined ? {} : { errorDetail: { code: 9, message: problem } }),
      }),
    );
  return { sent, ended, heard, state, stream, say };
}

test('a slow reader has one response under way, then the newest, and the same bytes go to all', async () => {
  const { sent, state, stream, say, heard } = setup();
  say({});
  await soon();
  for (let generation = 2; generation < 50; generation++) {
    state.current = currentOf(testSnapshot(generation));
    stream.update();
    stream.heartbeat();
  }
  assert.equal(sent.length, 1);
  const first = currentOf(testSnapshot(1)).version;
  say({ responseNonce: 'another', versionInfo: first });
  assert.equal(sent.length, 1, 'a nonce that is not open is left aside');
  say({ responseNonce: first, versionInfo: first });
  assert.equal(sent.length, 2);
  assert.ok(sent[1]?.includes(state.current.version));
  say({ responseNonce: state.current.version });
  assert.deepEqual(heard.slice(1), [`ack ${first}`, `ack ${state.current.version}`]);
  const other = setup();
  other.state.current = state.current;
  other.say({});
  await soon();
  assert.equal(other.sent[0], sent[1]);
  stream.close();
  other.stream.close();
});

test('what was refused is not sent again; a heartbeat that was refused brings the snapshot', async () => {
  const { sent, state, stream, say, heard } = setup();
  const { version } = state.current;
  say({});
  await soon();
  say({ responseNonce: version }, 'OlderGeneration\nback from 3 to 1');
  stream.update();
  stream.heartbeat();
  assert.equal(sent.length, 1);
  assert.equal(heard.at(-1), `nack ${version} OlderGeneration|back from 3 to 1`);
  state.current = currentOf(testSnapshot(2));
  stream.update();
  say({ responseNonce: state.current.version });
  stream.heartbeat();
  say({ responseNonce: `heartbeat ${state.current.version}` }, 'NotInForce');
  assert.equal(sent.length, 4);
  assert.equal(sent[3], sent[1]);
  stream.close();
});

test('who has the current version hears at once that it holds, with how far this replica has come', async () => {
  const { sent, state, stream, say } = setup();
  state.revisions = 'revisions AccessPolicy=7';
  say({ versionInfo: state.current.version });
  await soon();
  assert.equal(sent.length, 1);
  assert.ok((sent[0]?.length ?? 1e9) < 500);
  assert.ok(sent[0]?.includes('revisions AccessPolicy=7'));
  state.revisions = 'revisions AccessPolicy=8';
  say({ responseNonce: `heartbeat ${state.current.version}` });
  stream.heartbeat();
  assert.ok(sent[1]?.includes('revisions AccessPolicy=8'));
  stream.close();
});

test('before this replica has proven that it is not behind nobody hears anything, and where it can not the stream ends', async () => {
  const { sent, ended, state, stream, say } = setup();
  let end: (proven: boolean) => void = () => {};
  state.proof = new Promise((resolve) => {
    end = resolve;
  });
  say({});
  stream.update();
  stream.heartbeat();
  await soon();
  assert.equal(sent.length, 0);
  end(true);
  await soon();
  assert.equal(sent.length, 1);
  stream.close();

  const behind = setup();
  behind.state.proof = Promise.resolve(false);
  behind.say({});
  await soon();
  behind.stream.update();
  assert.deepEqual([behind.sent.length, behind.ended[0]?.code, ended.length], [0, status.UNAVAILABLE, 0]);
  behind.stream.close();
});

test('another workload, another type, and silence end the stream', async () => {
  const foreign = setup();
  foreign.say({ resourceNames: ['shop/agent', 'shop/other'] });
  assert.deepEqual([foreign.ended[0]?.code, foreign.heard], [status.PERMISSION_DENIED, ['foreign shop/other']]);
  const type = setup();
  type.say({ typeUrl: 'type.googleapis.com/envoy.config.cluster.v3.Cluster' });
  assert.equal(type.ended[0]?.code, status.INVALID_ARGUMENT);
  const silent = setup();
  silent.say({});
  const keep = setInterval(() => {}, 10);
  await new Promise((resolve) => setTimeout(resolve, 100));
  clearInterval(keep);
  assert.equal(silent.ended[0]?.code, status.DEADLINE_EXCEEDED);
  for (const { sent } of [foreign, type]) assert.equal(sent.length, 0);
});
