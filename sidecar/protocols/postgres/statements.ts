import type { Analysis } from '../../mask/postgres/analyse.ts';
import type { Recorded } from '../../permit.ts';
import type { Column } from '../../wire/postgres/messages/row_description.ts';
import type { Expect } from './expect.ts';

/** A prepared statement: by Parse, or by SQL's PREPARE (both share one name space on the server). */
export interface Prepared {
  readonly type: 'statement';
  readonly origin: 'parse' | 'sql';
  readonly name: string;
  readonly sql: string;
  /** SHA-256 of the text, hex. */
  readonly digest: string;
  readonly analysis: Analysis;
  /** From Describe, where the client or we asked for it. */
  fields: readonly Column[] | null;
}

export interface Portal {
  readonly type: 'portal';
  readonly name: string;
  readonly statement: Prepared;
  /** As they came: the format of each, and its bytes (null is NULL). */
  readonly parameters: readonly (Buffer | null)[];
  readonly parameterBytes: number;
  readonly parameterFormats: readonly number[];
  readonly resultFormats: readonly number[];
  fields: readonly Column[] | null;
  /** How names were read when the server bound it. */
  readonly basis: string;
  /** Set by the first Execute; one that fetches further rows goes on with it, as long as policy is the same. */
  recorded: Recorded | null;
  allowedUnder: string;
}

const OWN_COLUMNS: ReadonlySet<string> = new Set(['Select', 'Insert', 'Update', 'Delete', 'Merge']);

/** The columns of what a portal returns. EXECUTE and FETCH return those of what they run, which may be another than when they were described. */
function fieldsOf(portal: Portal): readonly Column[] | null {
  if (portal.fields !== null) return portal.fields;
  const own = portal.statement.analysis.statements.every((statement) => OWN_COLUMNS.has(statement.kind));
  return own ? portal.statement.fields : null;
}

/** A plan is held against what this very portal gives, and not against what its statement once gave. */
export function columnsFor(portal: Portal, analysis: Analysis): readonly Column[] | null {
  return analysis.mustDescribe ? portal.fields : fieldsOf(portal);
}

export type Named = Prepared | Portal;

/** The prepared statement that an answer of the extended protocol is about; null where it is about none. */
export function preparedOf(head: Expect | undefined): Prepared | null {
  const named = head?.type === 'parse' || head?.type === 'bind' ? head.change.value : head?.type === 'describe' ? head.of : null;
  return named === null ? null : named.type === 'portal' ? named.statement : named;
}
