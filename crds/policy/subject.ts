import type { JsonValue } from './json.ts';
import type { Principal } from './principal.ts';
import type { SnapshotSubject } from './snapshot.ts';

/** True where one of the subjects means one of the principals: a session is who its workload is, and who its token says. */
export function meansAny(subjects: readonly SnapshotSubject[], principals: readonly Principal[]): boolean {
  return subjects.some((subject) => principals.some((principal) => means(subject, principal)));
}

/**
 * All members of a subject must hold for the same principal. `serviceAccount` is only ever a workload; `user`, `group` and `claims` are only ever a
 * verified token, so a token that calls itself `system:serviceaccount:…` is not one. A subject with no member but the issuer means nobody.
 */
export function means(subject: SnapshotSubject, principal: Principal): boolean {
  if (subject.issuer !== undefined && subject.issuer !== principal.issuer) return false;
  const { serviceAccount, user, group, claims } = subject;
  const asksForToken = user !== undefined || group !== undefined || claims !== undefined;
  if (serviceAccount !== undefined) {
    return (
      !asksForToken && principal.kind === 'ServiceAccount' && principal.subject === `${serviceAccount.namespace}/${serviceAccount.name}`
    );
  }
  if (!asksForToken || principal.kind !== 'User') return false;
  if (user !== undefined && (user !== principal.subject || user.startsWith('system:serviceaccount:'))) return false;
  if (group !== undefined && !principal.groups.includes(group)) return false;
  return claims === undefined || claims.every(({ name, values }) => holdsOneOf(claimOf(principal, name), values));
}

function claimOf(principal: Principal, name: string): JsonValue | undefined {
  return Object.hasOwn(principal.claims, name) ? principal.claims[name] : undefined;
}

/** A claim is one of the strings, or a list that holds one of them. Numbers and booleans are compared as JSON writes them. */
function holdsOneOf(claim: JsonValue | undefined, values: readonly string[]): boolean {
  if (Array.isArray(claim)) return (claim as readonly JsonValue[]).some((item) => isOneOf(item, values));
  return claim !== undefined && isOneOf(claim, values);
}

function isOneOf(value: JsonValue, values: readonly string[]): boolean {
  if (typeof value === 'string') return values.includes(value);
  return (typeof value === 'number' || typeof value === 'boolean') && values.includes(String(value));
}
