/** Who sent a request, as a principal; and what is written of them into a decision. */
import { createHash } from 'node:crypto';
import type { Principal } from '#crds/policy/principal.ts';
import type { UserInfo } from './review.ts';

const ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;

/** The API server's word is the proof: it has authenticated them. */
export function principalOf({ username, groups, extra }: UserInfo): Principal {
  const account = ACCOUNT.exec(username);
  return {
    kind: account === null ? 'User' : 'ServiceAccount',
    issuer: 'cluster',
    subject: account === null ? username : `${account[1]}/${account[2]}`,
    groups,
    claims: Object.fromEntries(Object.entries(extra).map(([key, values]) => [key, [...values]])),
    proof: 'token',
  };
}

/** One name for each approver and request, so that the API server itself takes only one decision of each. */
export function decisionName(request: string, { kind, issuer, subject }: Pick<Principal, 'kind' | 'issuer' | 'subject'>): string {
  const who = createHash('sha256')
    .update(JSON.stringify([kind, issuer, subject]))
    .digest('hex')
    .slice(0, 16);
  return `${request}.${who}`;
}
