import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { readIssuers, readJwks } from './read-issuers.ts';

const one = (entry: object) =>
  JSON.stringify({ issuers: [{ issuer: 'https://idp.example', jwksUrl: 'https://idp.example/jwks', ...entry }] });

test('defaults are filled in', () => {
  assert.deepEqual(readIssuers(one({}), '/'), [
    {
      issuer: 'https://idp.example',
      audience: 'chaperone',
      keys: { type: 'url', url: 'https://idp.example/jwks' },
      algorithms: ['EdDSA', 'Ed25519', 'ES256', 'RS256'],
      groupsClaim: 'groups',
      clockToleranceSeconds: 5,
    },
  ]);
});

const invalid: readonly [string, string, RegExp][] = [
  ['not JSON', '{', /not JSON/],
  ['no list', '{}', /a list "issuers"/],
  ['a misspelt member', one({ audiance: 'x' }), /issuers\[0\]: unknown member "audiance"/],
  ['HMAC', one({ algorithms: ['HS256'] }), /issuers\[0\].algorithms/],
  ['none', one({ algorithms: ['none'] }), /issuers\[0\].algorithms/],
  ['no algorithm', one({ algorithms: [] }), /issuers\[0\].algorithms/],
  ['keys over plain HTTP', one({ jwksUrl: 'http://idp.example/jwks' }), /must be an https URL/],
  ['both kinds of keys', one({ jwksFile: 'x' }), /one of jwksFile and jwksUrl/],
  ['a file that is not there', one({ jwksUrl: undefined, jwksFile: 'none.json' }), /can't be read/],
  ['a large tolerance', one({ clockToleranceSeconds: 4000 }), /0 to 300/],
];
for (const [name, text, message] of invalid) {
  test(`refused: ${name}`, () => assert.throws(() => readIssuers(text, '/nowhere'), { name: 'IssuersError', message }));
}

test('a JWKS with a shared secret or a private key is refused', () => {
  const jwk = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  assert.throws(() => readJwks(JSON.stringify({ keys: [jwk] }), 'keys'), /not a public key/);
  assert.throws(() => readJwks(JSON.stringify({ keys: [{ kty: 'oct', k: 'AAAA' }] }), 'keys'), /not a public key/);
});
