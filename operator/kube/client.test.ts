import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorOfStatus, KubeError } from './error.ts';
import { lines } from './lines.ts';
import { pathOf } from './resource.ts';
import { ofKind, PODS, TOKEN_REVIEWS } from './resources.ts';

test('where an object lies', () => {
  assert.equal(pathOf(PODS, { namespace: 'shop', name: 'agent', subresource: 'status' }), '/api/v1/namespaces/shop/pods/agent/status');
  assert.equal(pathOf(PODS, {}), '/api/v1/pods');
  assert.equal(pathOf(ofKind('AccessPolicy'), { namespace: 'shop' }), '/apis/chaperone.dev/v1alpha1/namespaces/shop/accesspolicies');
  assert.equal(pathOf(TOKEN_REVIEWS, { namespace: 'ignored' }), '/apis/authentication.k8s.io/v1/tokenreviews');
});

test('a name never leads to another place', () => {
  assert.equal(pathOf(PODS, { namespace: 'a/b', name: 'x?y#z' }), '/api/v1/namespaces/a%2Fb/pods/x%3Fy%23z');
  for (const name of ['', '.', '..']) assert.throws(() => pathOf(PODS, { namespace: 'shop', name }), TypeError);
});

test('a status is one of the codes', () => {
  const code = (http: number, reason?: string) => errorOfStatus('GET /x', http, { kind: 'Status', reason, message: 'no' }).code;
  assert.equal(code(404, 'NotFound'), 'NotFound');
  assert.equal(code(409, 'AlreadyExists'), 'AlreadyExists');
  assert.equal(code(409, 'Conflict'), 'Conflict');
  assert.equal(code(410, 'Expired'), 'Gone');
  assert.equal(code(422, 'Invalid'), 'Invalid');
  assert.equal(code(500, 'InternalError'), 'Unavailable');
  assert.equal(code(200), 'Unavailable');
  assert.equal(errorOfStatus('GET /x', 502, 'no JSON').message, 'GET /x: HTTP 502');
});

test('a token that somebody quoted is not in the message', () => {
  const token = `eyJhbGciOiJSUzI1NiIsImtpZCI6Ing${'A'.repeat(30)}.eyJhdWQiOlsi${'B'.repeat(30)}.c2lnbmF0dXJl`;
  const { message } = new KubeError('Invalid', `invalid bearer token ${token}: expired`);
  assert.equal(message, 'invalid bearer token [token]: expired');
});

test('lines, however the bytes are cut; a cut line is none', async () => {
  const bytes = Buffer.from('{"a":"é"}\n\n{"b":"\u{1f600}"}\n{"cut":');
  const read = async (chunks: readonly Buffer[]) => {
    const got: string[] = [];
    for await (const line of lines(
      (async function* () {
        yield* chunks;
      })(),
    ))
      got.push(line);
    return got;
  };
  for (let at = 0; at <= bytes.length; at++) {
    assert.deepEqual(await read([bytes.subarray(0, at), bytes.subarray(at)]), ['{"a":"é"}', '{"b":"\u{1f600}"}']);
  }
  assert.deepEqual(await read([...bytes].map((byte) => Buffer.from([byte]))), ['{"a":"é"}', '{"b":"\u{1f600}"}']);
});
