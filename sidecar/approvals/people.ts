import type { Principal } from '#crds/policy/principal.ts';

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
export function sharesAName(approver: Principal, askers: readonly Principal[]): boolean {
  const names = new Set(askers.flatMap(namesOf));
  return namesOf(approver).some((name) => names.has(name));
}

/** How many people these are, where two identities that share a name are one person, whatever their issuers. */
export function distinctPeople(people: readonly Principal[]): number {
  const counted: Principal[] = [];
  for (const person of people) if (!sharesAName(person, counted)) counted.push(person);
  return counted.length;
}

function namesOf(principal: Principal): string[] {
  return [principal.subject, principal.onBehalfOf, principal.actor]
    .filter((name) => name !== undefined)
    .map((name) => name.normalize('NFKC').trim().toLowerCase());
}

/** A token that somebody uses in another's name (RFC 8693): good for asking, not for the decision of a second person. */
export const isDelegated = (principal: Principal): boolean => principal.actor !== undefined || principal.onBehalfOf !== undefined;
