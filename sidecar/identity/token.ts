import { createLocalJWKSet, createRemoteJWKSet, decodeJwt, decodeProtectedHeader, errors, type JWTVerifyGetKey, jwtVerify } from 'jose';
import type { Principal } from '#crds/policy/principal.ts';
import { principalOf } from './claims.ts';
import { IdentityError } from './error.ts';
import type { TokenIssuer } from './issuers.ts';

/** Longer than any token that is sent as a password or a header. */
export const MAX_TOKEN_BYTES = 16 * 1024;
const COMPACT_JWS = /^[\w-]+\.[\w-]+\.[\w-]+$/;

export type TokenVerifier = (jwt: string) => Promise<Principal>;

/**
 * Checks a JWT (RFC 7519, RFC 8725) against the configured issuers. The issuer is chosen by the unverified `iss`, and then
 * everything is checked by that issuer's configuration alone: algorithm, key, audience, times.
 */
export function createTokenVerifier(issuers: readonly TokenIssuer[], now: () => number): TokenVerifier {
  const known = new Map(issuers.map((issuer) => [issuer.issuer, { issuer, keys: keysOf(issuer) }]));
  return async (jwt) => {
    const claimed = unverified(jwt);
    const entry = known.get(claimed.issuer);
    if (entry === undefined) throw new IdentityError('UnknownIssuer', 'the token is from an issuer that is not configured');
    const { issuer, keys } = entry;
    if (!issuer.algorithms.some((algorithm) => algorithm === claimed.algorithm)) {
      throw new IdentityError('AlgorithmRefused', 'the token is signed with an algorithm that is not allowed');
    }
    try {
      const { payload } = await jwtVerify(jwt, keys, {
        issuer: issuer.issuer,
        audience: issuer.audience,
        algorithms: [...issuer.algorithms],
        clockTolerance: issuer.clockToleranceSeconds,
        requiredClaims: ['exp'],
        currentDate: new Date(now()),
      });
      return principalOf(payload, issuer);
    } catch (error) {
      throw identityErrorOf(error);
    }
  };
}

function keysOf(issuer: TokenIssuer): JWTVerifyGetKey {
  switch (issuer.keys.type) {
    case 'jwks':
      return createLocalJWKSet({ keys: issuer.keys.jwks.keys.map((key) => ({ ...key })) });
    case 'url':
      return createRemoteJWKSet(new URL(issuer.keys.url), { timeoutDuration: 3000 });
    default:
      throw issuer.keys satisfies never;
  }
}

function unverified(jwt: string): { readonly issuer: string; readonly algorithm: string } {
  if (jwt.length > MAX_TOKEN_BYTES) throw new IdentityError('TooLong', 'the token is too long');
  // `alg: none` has an empty signature: refused here, before anything looks at its header.
  if (!COMPACT_JWS.test(jwt)) throw new IdentityError('Malformed', 'not a signed token');
  try {
    const { iss } = decodeJwt(jwt);
    const { alg } = decodeProtectedHeader(jwt);
    return { issuer: typeof iss === 'string' ? iss : '', algorithm: typeof alg === 'string' ? alg : '' };
  } catch {
    throw new IdentityError('Malformed', 'not a token');
  }
}

function identityErrorOf(error: unknown): IdentityError {
  if (error instanceof IdentityError) return error;
  if (error instanceof errors.JWTExpired) return new IdentityError('Expired', 'the token has expired');
  if (error instanceof errors.JWTClaimValidationFailed) return claimError(error.claim);
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return new IdentityError('SignatureInvalid', "the token's signature is not the issuer's");
  if (error instanceof errors.JWKSNoMatchingKey)
    return new IdentityError('SignatureInvalid', 'the token is signed with a key that the issuer does not have');
  if (error instanceof errors.JOSEAlgNotAllowed)
    return new IdentityError('AlgorithmRefused', 'the token is signed with an algorithm that is not allowed');
  if (error instanceof errors.JWTInvalid || error instanceof errors.JWSInvalid) return new IdentityError('Malformed', 'not a token');
  return new IdentityError('KeyUnavailable', "the issuer's keys could not be had");
}

function claimError(claim: string): IdentityError {
  switch (claim) {
    case 'aud':
      return new IdentityError('WrongAudience', 'the token is for another audience');
    case 'nbf':
      return new IdentityError('NotYetValid', 'the token is not valid yet');
    case 'exp':
      return new IdentityError('Expired', 'the token has no expiry');
    default:
      return new IdentityError('ClaimInvalid', 'a claim of the token is not what it should be');
  }
}
