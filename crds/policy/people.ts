import type { Principal } from './principal.ts';

/** The names of an identity: all that tells whether two are one person. */
export type Named = Pick<Principal, 'subject' | 'onBehalfOf' | 'actor'>;

/** Who asked, for caps and grants: every proved identity of the session, in a stable order. A listener proves nothing. */
export function askerKey(principals: readonly Principal[]): string {
  return JSON.stringify(principals.filter(isProved).map(personKey).sort());
}

/** All identities, the listener's workload included: a Window grant is for exactly these. */
export function principalsKey(principals: readonly Principal[]): string {
  return JSON.stringify(principals.map((p) => `${p.proof} ${personKey(p)}`).sort());
}

/** One identity, as its issuer knows it. */
export function personKey(principal: Principal): string {
  return JSON.stringify([principal.kind, principal.issuer, principal.subject, principal.actor ?? null, principal.onBehalfOf ?? null]);
}

/** A `listener` principal is the same for whoever connects: it tells no asker from an approver. */
export const isProved = (principal: Principal): boolean => principal.proof !== 'listener';

/**
 * True where the approver may be the asker under any of their names: the subject, the one acted for, or the one who acts, whatever the issuer.
 * Two issuers that use one name for two people make this too strict, never too lax. Letters' case does not count.
 */
export function sharesAName(approver: Named, askers: readonly Named[]): boolean {
  const names = new Set(askers.flatMap(namesOf));
  return namesOf(approver).some((name) => names.has(name));
}

/** How many people these are, where two identities that share a name are one person, whatever their issuers. */
export function distinctPeople(people: readonly Named[]): number {
  const counted: Named[] = [];
  for (const person of people) if (!sharesAName(person, counted)) counted.push(person);
  return counted.length;
}

function namesOf(principal: Named): string[] {
  return [principal.subject, principal.onBehalfOf, principal.actor]
    .filter((name) => name !== undefined)
    .map((name) => name.normalize('NFKC').trim().toLowerCase())
    .flatMap((name) => [name, ...otherNames(name)]);
}

const ACCOUNT = /^system:serviceaccount:([^:]+):([^:]+)$/;

/**
 * The same person without what an API server puts before a name (`oidc:alice`, `https://idp.example#alice`), and a service account in our own form.
 * Where this is wrong it makes two people one: too strict, never too lax.
 */
function otherNames(name: string): string[] {
  const account = ACCOUNT.exec(name);
  if (account !== null) return [`${account[1]}/${account[2]}`];
  const bare = name.slice(Math.max(name.lastIndexOf('#'), name.lastIndexOf(':')) + 1);
  return bare === '' || bare === name ? [] : [bare];
}

/** A token that somebody uses in another's name (RFC 8693): good for asking, not for the decision of a second person. */
export const isDelegated = (principal: Principal): boolean => principal.actor !== undefined || principal.onBehalfOf !== undefined;
