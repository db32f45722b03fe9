import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openLocalIssuer } from './local-issuer.ts';
import { createTokenVerifier } from './token.ts';

const made: string[] = [];
const folder = () => {
  const dir = mkdtempSync(join(tmpdir(), 'issuer-'));
  made.push(dir);
  return dir;
};
after(() => {
  for (const dir of made) rmSync(dir, { recursive: true });
});
const request = { subject: 'alice', groups: ['sre'], ttlSeconds: 60, claims: { team: 'shop' }, nowMs: Date.now() };

test('a token of the local issuer is checked like any other', async () => {
  const issuer = await openLocalIssuer(folder());
  const principal = await createTokenVerifier([issuer.verifier], Date.now)(await issuer.issue(request));
  assert.equal(principal.issuer, 'chaperone-local');
  assert.equal(principal.subject, 'alice');
  assert.deepEqual(principal.groups, ['sre']);
  assert.equal(principal.claims['team'], 'shop');
});

test('the key is private, made once, and leaves nothing beside it', async () => {
  const dir = folder();
  const opened = await Promise.all([openLocalIssuer(dir), openLocalIssuer(dir)]);
  const again = await openLocalIssuer(dir);
  assert.equal(statSync(join(dir, 'keys', 'issuer.key')).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(join(dir, 'keys')), ['issuer.key']);
  for (const issuer of opened) assert.deepEqual(issuer.verifier.keys, again.verifier.keys);
  assert.ok(!JSON.stringify(again.verifier).includes('"d"'));
});

test('a token of one state folder is worth nothing at another', async () => {
  const [here, there] = [await openLocalIssuer(folder()), await openLocalIssuer(folder())];
  await assert.rejects(createTokenVerifier([there.verifier], Date.now)(await here.issue(request)), { code: 'SignatureInvalid' });
});

test('a key that others can read is not used', async () => {
  const dir = folder();
  await openLocalIssuer(dir);
  chmodSync(join(dir, 'keys', 'issuer.key'), 0o640);
  await assert.rejects(openLocalIssuer(dir), { name: 'LocalIssuerError', message: /can be read by others/ });
});

for (const claim of ['sub', 'iss', 'exp', 'groups', 'act']) {
  test(`the claim ${claim} can't be set beside its own option`, async () => {
    const issuer = await openLocalIssuer(folder());
    await assert.rejects(issuer.issue({ ...request, claims: { [claim]: 'x' } }), { name: 'LocalIssuerError' });
  });
}
