/** How well masked columns are kept: docs/masking.md. */
import type { Author } from './verdict.ts';

/** From the least: nothing is masked; detectors alone; rewritten at the source; the database role can't read the column. */
export const ASSURANCES = ['None', 'C', 'B', 'A'] as const;
export type Assurance = (typeof ASSURANCES)[number];

/** Of one session: the lowest level of its masked columns. */
export interface SessionAssurance {
  readonly level: Assurance;
  /** Why it is not A, in words, the masked column first: `public.customers.ssn: app owns the table`. */
  readonly loweredBy: readonly string[];
}

/** What one policy asks for. */
export interface MinimumAssurance {
  readonly level: Assurance;
  readonly author: Author;
}

export function isBelow(level: Assurance, minimum: Assurance): boolean {
  return ASSURANCES.indexOf(level) < ASSURANCES.indexOf(minimum);
}

export function lowestOf(levels: readonly Assurance[]): Assurance | null {
  return ASSURANCES.find((level) => levels.includes(level)) ?? null;
}

const MAX_NAMED = 3;

/** For the client: which level there is, who asks for another one, and what keeps it down. */
export function tooLow(found: SessionAssurance | undefined, { level, author }: MinimumAssurance): string {
  const asked = `minimumAssurance ${level} of AccessPolicy ${author.namespace}/${author.name}`;
  if (found === undefined) return `denied: the assurance of the session is not known, and ${asked} asks for one`;
  if (found.loweredBy.length === 0) return `denied: nothing is masked for this identity, and ${asked} asks for it`;
  const more = found.loweredBy.length - MAX_NAMED;
  const named = found.loweredBy.slice(0, MAX_NAMED).join('; ');
  return `denied: the session has assurance ${found.level}, below ${asked}: ${named}${more > 0 ? `; and ${more} more` : ''}`;
}
