import { type SqlEffect, type SqlName, type SqlStatement, STATEMENT_KINDS } from './action.ts';
import { dottedParts, type TextMatcher } from './glob.ts';
import type { SqlMatch } from './snapshot.ts';

/** Where a rule and a statement part; the later in this list, the closer the rule was. */
export const GAPS = [
  'protocol',
  'access',
  'where',
  'kind',
  'method',
  'host',
  'path',
  'relation',
  'function',
  'effect',
  'rows',
  'unnamed',
  'condition',
] as const;
export interface Gap {
  readonly at: (typeof GAPS)[number];
  readonly name?: SqlName;
  readonly effect?: SqlEffect;
}

export interface SqlMatcher {
  /** Null where the rule covers the statement: everything that it touches is listed. What an Allow asks, and a RequireApproval of what it is to cover. */
  gap(statement: SqlStatement, kinds: number): Gap | null;
  /** Null where the rule meets the statement: anything that it touches is listed. What a Deny and a RequireApproval ask. */
  miss(statement: SqlStatement, kinds: number): Gap['at'] | null;
  /** The effect by which the rule meets the statement; null for a rule that lists none. */
  because(statement: SqlStatement): SqlEffect | null;
  readonly namesKinds: boolean;
}

const KIND_BITS: ReadonlyMap<string, number> = new Map(STATEMENT_KINDS.map((kind, index) => [kind, 1 << index]));
/** A kind that we don't know is listed nowhere, and met by every list that denies. */
const UNKNOWN_KIND = 1 << 30;
const GAP = {
  kind: { at: 'kind' },
  access: { at: 'access' },
  where: { at: 'where' },
  unnamed: { at: 'unnamed' },
} as const satisfies { [at: string]: Gap };

/** The kinds of a statement at any depth, as bits. */
export function kindBits(statement: SqlStatement): number {
  let bits = KIND_BITS.get(statement.kind) ?? UNKNOWN_KIND;
  for (const kind of statement.kinds) bits |= KIND_BITS.get(kind) ?? UNKNOWN_KIND;
  return bits;
}

/**
 * `kinds` holds every statement inside, so an Allow of `[Insert]` covers `INSERT … VALUES` and not `INSERT … SELECT`, which also reads: that takes
 * `[Insert, Select]` in one rule. In the same way EXPLAIN, PREPARE and DECLARE CURSOR take their own kind and that of what is inside.
 *
 * A statement that may write and names nothing that the rule's lists speak of (CREATE ROLE, DO) can't be shown to stay inside of them: a rule with
 * a list of relations or functions does not cover it.
 */
export function compileSql(match: SqlMatch): SqlMatcher {
  const listed = match.statements?.reduce((bits, kind) => bits | (KIND_BITS.get(kind) ?? 0), 0);
  const relations = match.relations && compileNames(match.relations);
  const functions = match.functions && compileNames(match.functions);
  const { access, missingWhere } = match;
  const trusted = match.trustedFunctions && compileNames(match.trustedFunctions);
  const seen = ({ effects }: SqlStatement): readonly SqlEffect[] =>
    trusted === undefined ? effects : effects.filter((effect) => !isTrusted(trusted, effect));
  const effects = match.effects && new Set<string>(match.effects);
  const because = (statement: SqlStatement): SqlEffect | null =>
    effects === undefined ? null : (seen(statement).find(({ kind }) => effects.has(kind)) ?? null);

  return {
    namesKinds: listed !== undefined,
    because,
    gap(statement, kinds) {
      if (listed !== undefined && (kinds & ~listed) !== 0) return GAP.kind;
      if (access !== undefined && statement.access !== access) return GAP.access;
      if (missingWhere !== undefined && statement.missingWhere !== missingWhere) return GAP.where;
      if (relations !== undefined) {
        const name = firstOutside(relations, statement.reads) ?? firstOutside(relations, statement.writes);
        if (name !== undefined) return { at: 'relation', name };
      }
      if (functions !== undefined) {
        const name = firstOutside(functions, statement.functions);
        if (name !== undefined) return { at: 'function', name };
      }
      if (effects !== undefined) {
        const effect = seen(statement).find(({ kind }) => !effects.has(kind));
        if (effect !== undefined) return { at: 'effect', effect };
      }
      if (statement.access !== 'Read' && (relations !== undefined || functions !== undefined)) {
        const named = (relations ? statement.reads.length + statement.writes.length : 0) + (functions ? statement.functions.length : 0);
        if (named === 0) return GAP.unnamed;
      }
      return null;
    },
    miss(statement, kinds) {
      if (listed !== undefined && (kinds & (listed | UNKNOWN_KIND)) === 0) return 'kind';
      if (access !== undefined && statement.access !== access) return 'access';
      if (missingWhere !== undefined && statement.missingWhere !== missingWhere) return 'where';
      if (relations !== undefined) {
        const { reads, writes, reached } = statement;
        if (!anyInside(relations, reads) && !anyInside(relations, writes) && !anyInside(relations, reached)) return 'relation';
      }
      if (functions !== undefined && !anyInside(functions, statement.functions)) return 'function';
      if (effects !== undefined && because(statement) === null) return 'effect';
      return null;
    },
  };
}

function isTrusted(trusted: NameMatcher, { function: name }: SqlEffect): boolean {
  return name !== null && name.schema !== null && trusted(name.schema, name.name);
}

type NameMatcher = (schema: string, name: string) => boolean;

/** Names without a wildcard are looked up, the others are tried one by one. */
function compileNames(globs: readonly string[]): NameMatcher {
  const exact = new Map<string, Set<string>>();
  const patterns: (readonly [TextMatcher, TextMatcher])[] = [];
  for (const glob of globs) {
    const [schema = '', name = ''] = glob.split('.');
    if (!glob.includes('*')) exact.set(schema, (exact.get(schema) ?? new Set()).add(name));
    else {
      const parts = dottedParts(glob, 2);
      if (parts !== null) patterns.push([parts[0] as TextMatcher, parts[1] as TextMatcher]);
    }
  }
  return (schema, name) => {
    if (exact.get(schema)?.has(name)) return true;
    for (const [schemaMatches, nameMatches] of patterns) if (schemaMatches(schema) && nameMatches(name)) return true;
    return false;
  };
}

function firstOutside(list: NameMatcher, names: readonly SqlName[]): SqlName | undefined {
  for (const name of names) if (name.schema === null || !list(name.schema, name.name)) return name;
  return undefined;
}

function anyInside(list: NameMatcher, names: readonly SqlName[]): boolean {
  for (const { schema, name } of names) if (schema === null || list(schema, name)) return true;
  return false;
}
