import type { JWTPayload } from 'jose';
import type { JsonValue } from '#crds/policy/json.ts';
import type { Principal } from '#crds/policy/principal.ts';
import { IdentityError } from './error.ts';
import type { TokenIssuer } from './issuers.ts';

const MAX_SUBJECT = 256;
/** As many as a condition may look at. */
const MAX_GROUPS = 256;
const MAX_DEPTH = 8;

/** The principal that a verified token stands for. Throws IdentityError where a claim that counts is not what it should be. */
export function principalOf(payload: JWTPayload, issuer: TokenIssuer): Principal {
  const actor = actorOf(payload['act']);
  return {
    kind: 'User',
    issuer: issuer.issuer,
    subject: subjectOf(payload.sub),
    groups: groupsOf(payload[issuer.groupsClaim]),
    claims: claimsOf(payload),
    proof: 'token',
    ...(actor === undefined ? {} : { actor }),
  };
}

/** Control characters are refused: a subject is printed in logs, errors and on terminals. */
function subjectOf(sub: unknown): string {
  if (typeof sub !== 'string' || sub.trim() === '') throw new IdentityError('SubjectMissing', 'the token has no subject');
  if (sub.length > MAX_SUBJECT || UNPRINTABLE.test(sub)) throw new IdentityError('ClaimInvalid', 'the subject is not a plain name');
  return sub;
}

const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

/** A single string counts as one group (some providers send it so); anything else but a list of strings is refused, not skipped. */
function groupsOf(claim: unknown): readonly string[] {
  if (claim === undefined) return [];
  const groups: unknown = typeof claim === 'string' ? [claim] : claim;
  if (!isNames(groups) || groups.length > MAX_GROUPS)
    throw new IdentityError('ClaimInvalid', 'the groups claim is not a list of plain names');
  return groups;
}

const isNames = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((name) => typeof name === 'string' && !UNPRINTABLE.test(name));

/** RFC 8693 4.1: `sub` is the one acted for, `act.sub` the one who acts. */
function actorOf(act: unknown): string | undefined {
  if (act === undefined) return undefined;
  if (typeof act !== 'object' || act === null || !('sub' in act)) throw new IdentityError('ClaimInvalid', 'the act claim names no actor');
  return subjectOf(act.sub);
}

function claimsOf(payload: JWTPayload): { readonly [claim: string]: JsonValue } {
  const claims: [string, JsonValue][] = [];
  for (const [name, value] of Object.entries(payload)) {
    if (!isJson(value, 0)) throw new IdentityError('ClaimInvalid', 'a claim is nested too deeply');
    claims.push([name, value]);
  }
  return Object.fromEntries(claims);
}

function isJson(value: unknown, depth: number): value is JsonValue {
  if (value === null || typeof value !== 'object') return typeof value !== 'undefined';
  if (depth >= MAX_DEPTH) return false;
  return Object.values(value).every((member) => isJson(member, depth + 1));
}
