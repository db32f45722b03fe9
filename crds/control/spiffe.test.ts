import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRecordingAuthorityId, parseSpiffeId, recordingAuthorityId, spiffeId } from './spiffe.ts';

const IDENTITY = {
  trustDomain: 'cluster.local',
  namespace: 'shop',
  serviceAccount: 'agent.v2',
  podUid: '0b5c1c52-3a2c-4c7e-9d0b-0f2f6a2f1a11',
};

test('an identity survives its text', () => {
  assert.deepEqual(parseSpiffeId(spiffeId(IDENTITY)), IDENTITY);
});

test('what is not such an identity is none', () => {
  const good = spiffeId(IDENTITY);
  for (const bad of [
    '',
    `${good}/x`,
    `${good}\n`,
    good.replace('/ns/', '/NS/'),
    good.replace('shop', 'sh/op'),
    good.replace('spiffe', 'https'),
  ]) {
    assert.equal(parseSpiffeId(bad), null, bad);
  }
});

test('the recording authority is no sidecar, and no sidecar is the authority', () => {
  const authority = recordingAuthorityId('cluster.local');
  assert.equal(isRecordingAuthorityId(authority), true);
  assert.equal(parseSpiffeId(authority), null);
  assert.equal(isRecordingAuthorityId(spiffeId(IDENTITY)), false);
});
