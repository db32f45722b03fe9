/**
 * Up to where the operator's replica that answers knows the cluster: the resourceVersion that it has reached, by kind. Within one API server they are
 * comparable as integers (Kubernetes says so from 1.35 on; before that it was so all the same). They travel as the control plane's identifier in ADS.
 */

export type Revisions = ReadonlyMap<string, bigint>;

const PREFIX = 'revisions';

/** Null where it is no number: such a server's can't be compared. */
export function revisionOf(resourceVersion: string | null | undefined): bigint | null {
  return typeof resourceVersion === 'string' && /^[0-9]{1,20}$/.test(resourceVersion) ? BigInt(resourceVersion) : null;
}

/** Empty where there is none. */
export function formatRevisions(revisions: Revisions): string {
  if (revisions.size === 0) return '';
  return [PREFIX, ...[...revisions].map(([kind, revision]) => `${kind}=${revision}`)].join(' ');
}

/** None where the text is something else: an operator of before. */
export function parseRevisions(text: string): Revisions {
  const [prefix, ...pairs] = text.split(' ');
  const revisions = new Map<string, bigint>();
  if (prefix !== PREFIX) return revisions;
  for (const pair of pairs.slice(0, 16)) {
    const [kind = '', value] = pair.split('=');
    const revision = revisionOf(value);
    if (/^[A-Za-z]{1,63}$/.test(kind) && revision !== null) revisions.set(kind, revision);
  }
  return revisions;
}

/** The kinds of which `next` knows less than `seen`. */
export function goneBack(seen: Revisions, next: Revisions): string[] {
  return [...next].filter(([kind, revision]) => revision < (seen.get(kind) ?? 0n)).map(([kind]) => kind);
}
