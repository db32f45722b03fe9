import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import { exportJWK, type JWTPayload, SignJWT } from 'jose';
import { IdentityError, type IdentityErrorCode } from './error.ts';
import type { TokenIssuer } from './issuers.ts';
import { createTokenVerifier } from './token.ts';

const NOW = Date.UTC(2026, 0, 2);
const seconds = NOW / 1000;
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const other = generateKeyPairSync('ed25519');
const ISSUER = 'https://idp.example';

const issuerOf = async (key: KeyObject, name = ISSUER): Promise<TokenIssuer> => ({
  issuer: name,
  audience: 'chaperone',
  keys: { type: 'jwks', jwks: { keys: [{ ...(await exportJWK(key)) }] } },
  algorithms: ['EdDSA'],
  groupsClaim: 'roles',
  clockToleranceSeconds: 5,
});
const verify = createTokenVerifier([await issuerOf(publicKey), await issuerOf(other.publicKey, 'https://other.example')], () => NOW);

const claims = { iss: ISSUER, aud: 'chaperone', sub: 'alice', iat: seconds, exp: seconds + 60, roles: ['sre', 'dev'], team: { id: 7 } };
const sign = (payload: JWTPayload, key = privateKey, alg = 'EdDSA') => new SignJWT(payload).setProtectedHeader({ alg }).sign(key);
const b64 = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const without = (name: string) => Object.fromEntries(Object.entries(claims).filter(([claim]) => claim !== name));

/** RFC 8725 2.1: the public key as an HMAC secret, in each form that a careless verifier might feed to HMAC. */
const confused = (secret: string | Buffer) => {
  const input = `${b64({ alg: 'HS256', typ: 'JWT' })}.${b64(claims)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
};
const flipped = (jwt: string) => {
  const [header, payload, signature = ''] = jwt.split('.');
  return `${header}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`;
};

test('a good token gives its principal', async () => {
  assert.deepEqual(await verify(await sign(claims)), {
    kind: 'User',
    issuer: ISSUER,
    subject: 'alice',
    groups: ['sre', 'dev'],
    claims,
    proof: 'token',
  });
});

test('the actor of a delegated token is kept', async () => {
  const principal = await verify(await sign({ ...claims, act: { sub: 'bot-7' } }));
  assert.equal(principal.subject, 'alice');
  assert.equal(principal.actor, 'bot-7');
});

test('one group as a plain text counts as a list of one', async () => {
  assert.deepEqual((await verify(await sign({ ...claims, roles: 'sre' }))).groups, ['sre']);
});

test('the clock tolerance is kept to', async () => {
  await verify(await sign({ ...claims, exp: seconds - 4 }));
  await verify(await sign({ ...claims, nbf: seconds + 4 }));
});

const refusals: readonly [string, IdentityErrorCode, () => string | Promise<string>][] = [
  ['alg none with an empty signature', 'Malformed', () => `${b64({ alg: 'none' })}.${b64(claims)}.`],
  ['alg none with a signature', 'AlgorithmRefused', () => `${b64({ alg: 'none' })}.${b64(claims)}.AAAA`],
  ['alg nOnE', 'AlgorithmRefused', () => `${b64({ alg: 'nOnE' })}.${b64(claims)}.AAAA`],
  ['HS256 with the public key in PEM', 'AlgorithmRefused', () => confused(publicKey.export({ type: 'spki', format: 'pem' }).toString())],
  ['HS256 with the public key in DER', 'AlgorithmRefused', () => confused(publicKey.export({ type: 'spki', format: 'der' }))],
  [
    'an algorithm that is not on the list',
    'AlgorithmRefused',
    async () => sign(claims, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, 'ES256'),
  ],
  ['a signature of another key', 'SignatureInvalid', () => sign(claims, other.privateKey)],
  ['a changed signature', 'SignatureInvalid', async () => flipped(await sign(claims))],
  ['a changed payload', 'SignatureInvalid', async () => (await sign(claims)).replace(b64(claims), b64({ ...claims, sub: 'root' }))],
  ['an own issuer but the key of another', 'SignatureInvalid', () => sign({ ...claims, iss: 'https://other.example' })],
  ['an unknown issuer', 'UnknownIssuer', () => sign({ ...claims, iss: 'https://evil.example' })],
  ['no issuer', 'UnknownIssuer', () => sign(without('iss'))],
  ['another audience', 'WrongAudience', () => sign({ ...claims, aud: 'other' })],
  ['no audience', 'WrongAudience', () => sign(without('aud'))],
  ['expired', 'Expired', () => sign({ ...claims, exp: seconds - 6 })],
  ['no expiry', 'Expired', () => sign(without('exp'))],
  ['not valid yet', 'NotYetValid', () => sign({ ...claims, nbf: seconds + 60 })],
  ['no subject', 'SubjectMissing', () => sign(without('sub'))],
  ['an empty subject', 'SubjectMissing', () => sign({ ...claims, sub: ' ' })],
  ['a subject with a newline', 'ClaimInvalid', () => sign({ ...claims, sub: 'alice\nroot' })],
  ['a subject that turns the terminal around', 'ClaimInvalid', () => sign({ ...claims, sub: 'alice\u202e' })],
  ['groups that are an object', 'ClaimInvalid', () => sign({ ...claims, roles: { sre: true } })],
  ['groups that are not all texts', 'ClaimInvalid', () => sign({ ...claims, roles: ['sre', 7] })],
  ['an act claim that names nobody', 'SubjectMissing', () => sign({ ...claims, act: { sub: 7 } })],
  ['empty', 'Malformed', () => ''],
  ['a password', 'Malformed', () => 'hunter2'],
  ['three words', 'Malformed', () => 'a.b.c'],
  ['very long', 'TooLong', () => `${'a'.repeat(20_000)}.b.c`],
];

for (const [name, code, make] of refusals) {
  test(`refused: ${name}`, async () => {
    const jwt = await make();
    await assert.rejects(verify(jwt), (error) => {
      assert.ok(error instanceof IdentityError);
      assert.equal(error.code, code);
      assert.ok(jwt === '' || !error.message.includes(jwt));
      return true;
    });
  });
}

test('keys that can not be had are an error of their own', async () => {
  const away = createTokenVerifier(
    [{ ...(await issuerOf(createPublicKey(privateKey))), keys: { type: 'url', url: 'http://127.0.0.1:1/jwks' } }],
    () => NOW,
  );
  await assert.rejects(away(await sign(claims)), { code: 'KeyUnavailable' });
});
