import { dottedParts, type TextMatcher } from './glob.ts';
import { canonicalJson } from './json.ts';
import type { ColumnMask, MaskPolicy } from './mask.ts';
import type { Principal } from './principal.ts';
import type { SecretKey, SnapshotMasking, SnapshotStrategy } from './snapshot.ts';
import { meansAny } from './subject.ts';
import type { Author } from './verdict.ts';

interface CompiledEntry {
  readonly rule: SnapshotMasking;
  readonly author: Author;
  readonly parts: readonly TextMatcher[];
  readonly strategy: SnapshotStrategy;
}

/** What is masked for whom. Policies are cached by the identity of the list of principals, which a session keeps. */
export function compileMasking(rules: readonly SnapshotMasking[]): (principals: readonly Principal[]) => MaskPolicy {
  const entries = rules.flatMap(compileColumns);
  const everything = canonicalJson(rules);
  const policies = new WeakMap<readonly Principal[], MaskPolicy>();
  return (principals) => {
    const known = policies.get(principals);
    if (known !== undefined) return known;
    const policy = maskingFor(rules, entries, everything, principals);
    policies.set(principals, policy);
    return policy;
  };
}

function compileColumns(rule: SnapshotMasking): readonly CompiledEntry[] {
  return rule.columns.map(({ column, strategy }) => {
    const parts = dottedParts(column, 3);
    if (parts === null) throw new TypeError(`not schema.table.column: ${column}`);
    return { rule, author: authorOf(rule, column), parts, strategy };
  });
}

function maskingFor(
  rules: readonly SnapshotMasking[],
  entries: readonly CompiledEntry[],
  everything: string,
  principals: readonly Principal[],
): MaskPolicy {
  const exempting = new Set(rules.filter((rule) => meansAny(rule.exemptSubjects, principals)));
  const masks = new Map<string, ColumnMask | null>();
  return {
    active: rules.length > 0,
    column(schema, relation, column) {
      // No name of PostgreSQL holds a NUL.
      const key = `${schema}\0${relation}\0${column}`;
      const known = masks.get(key);
      if (known !== undefined) return known;
      const covering = entries.filter(({ parts }) => parts[0]?.(schema) && parts[1]?.(relation) && parts[2]?.(column));
      const mask = covering.every(({ rule }) => exempting.has(rule)) ? null : strictestMask(covering);
      if (masks.size >= MAX_REMEMBERED) masks.clear();
      masks.set(key, mask);
      return mask;
    },
    detectors: rules
      .filter((rule) => !exempting.has(rule))
      .flatMap((rule) => rule.detectors.map((each) => ({ ...each, author: authorOf(rule, each.name) }))),
    functions: functionsOf(rules.filter((rule) => !exempting.has(rule))),
    key: `${rules.map((rule) => (exempting.has(rule) ? '-' : '+')).join('')} ${everything}`,
  };
}

/** What one rule does not list may show what it masks. */
function functionsOf(rules: readonly SnapshotMasking[]): ReadonlySet<string> {
  const [first, ...others] = rules;
  return new Set(first?.functions?.filter((hash) => others.every((rule) => rule.functions?.includes(hash) === true)));
}

const MAX_REMEMBERED = 10_000;

function strictestMask(covering: readonly CompiledEntry[]): ColumnMask {
  return {
    strategy: covering.map((entry) => entry.strategy).reduce(stricter),
    authors: covering.map((entry) => entry.author),
    strict: covering.some(({ rule }) => rule.predicates === 'Strict'),
  };
}

/**
 * Null, then Redact, then Partial, then FormatPreserving, then Token. Of two Partials the fewer characters at each end; of two with other keys or
 * domains always the same one, whichever comes first.
 */
export function stricter(a: SnapshotStrategy, b: SnapshotStrategy): SnapshotStrategy {
  if (a.type === 'Partial' && b.type === 'Partial')
    return { type: 'Partial', keepStart: Math.min(a.keepStart, b.keepStart), keepEnd: Math.min(a.keepEnd, b.keepEnd) };
  if (a.type === b.type) return canonicalJson(a) <= canonicalJson(b) ? a : b;
  return strictness(a) > strictness(b) ? a : b;
}

function strictness(strategy: SnapshotStrategy): number {
  switch (strategy.type) {
    case 'Null':
      return 4;
    case 'Redact':
      return 3;
    case 'Partial':
      return 2;
    case 'FormatPreserving':
      return 1;
    case 'Token':
      return 0;
    default:
      return strategy satisfies never;
  }
}

/** Where the keys of the strategies are, each once. */
export function maskingKeys(rules: readonly SnapshotMasking[]): readonly SecretKey[] {
  const keys = new Map<string, SecretKey>();
  for (const { columns, detectors } of rules) {
    for (const { strategy } of [...columns, ...detectors])
      if ('keySecret' in strategy) keys.set(canonicalJson(strategy.keySecret), strategy.keySecret);
  }
  return [...keys.values()];
}

function authorOf({ namespace, name, generation }: SnapshotMasking, rule: string): Author {
  return { kind: 'MaskingRule', namespace, name, generation, rule };
}
