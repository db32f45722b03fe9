import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IdentityError } from './error.ts';
import { createIdentityVerifier } from './verifier.ts';

test('with no issuer no token is asked for, and none holds', async () => {
  const identity = createIdentityVerifier({ issuers: [], now: Date.now, workloadProof: 'certificate' });
  assert.equal(identity.takesTokens, false);
  await assert.rejects(identity.token('e30.e30.e30'), IdentityError);
});
